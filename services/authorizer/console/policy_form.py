"""Decides what the settings' form means: a policy, or what is wrong with which field.

Pure. What the form does not show, how often calendars are read, stays as it is. Join links are never kept on under
free/busy only.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from services.authorizer.address_lists import is_address
from shared.contracts.policy import Detail, Policy, Scope
from shared.contracts.values import Status

ON: Final = "yes"  # what a ticked box sends
FIXED: Final = "fixed"  # the span that is in force stays as it is
ROLLING: Final = "rolling"
STATUSES: Final = (Status.FREE, Status.ELSEWHERE, Status.TENTATIVE, Status.BUSY, Status.OOF)
WORDS: Final = ("tentative", "oof", "elsewhere")  # what may be shown as another status
DAYS: Final = {"days_back": (0, 1825), "days_ahead": (1, 1825)}  # five years; a policy that has more keeps it
MOST_GROUPS: Final = 50
MOST_ADDRESSES: Final = 20_000
FIELDS: Final = (
    "detail", "conferencing", "show_free", *WORDS, "span", "days_back", "days_ahead",
    "groups", "include", "exclude", "rooms",
)  # fmt: skip
_OBJECT: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,127}")
_NUMBER: Final = re.compile(r"[0-9]{1,6}")

Problems = dict[str, str]  # a field, and the key of the text that says what is wrong with it


class Reading(Struct, frozen=True, kw_only=True):
    """What a form means. There is a policy only where there are no problems."""

    values: dict[str, str]
    problems: Problems
    policy: Policy | None = None


def values_of(policy: Policy) -> dict[str, str]:
    """Return the values of a form that means a policy."""
    scope = policy.scope
    return {
        "detail": policy.detail.value,
        "conferencing": ON if policy.conferencing else "",
        "show_free": ON if policy.show_free else "",
        **{word: getattr(policy, word).value for word in WORDS},
        "span": ROLLING if policy.window is None else FIXED,
        "days_back": str(policy.days_back),
        "days_ahead": str(policy.days_ahead),
        "groups": "\n".join(scope.groups),
        "include": "\n".join(scope.include),
        "exclude": "\n".join(scope.exclude),
        "rooms": ON if scope.rooms else "",
    }


def read(given: Mapping[str, str], old: Policy, *, by_address: bool) -> Reading:
    """Return what the fields of a form mean for an org that has a policy.

    `by_address`: groups are named by their addresses, as at an Exchange server; else by their object ids.
    """
    values = {name: given.get(name, "").strip() for name in FIELDS}
    problems = _problems(values, old, by_address=by_address)
    if problems:
        return Reading(values=values, problems=problems)
    detail = Detail(values["detail"])
    wanted = replace(
        old,
        detail=detail,
        conferencing=values["conferencing"] == ON and detail is Detail.DETAILS,
        show_free=values["show_free"] == ON,
        **{word: Status(values[word]) for word in WORDS},
        window=old.window if values["span"] == FIXED else None,
        days_back=int(values["days_back"]),
        days_ahead=int(values["days_ahead"]),
        scope=_scope(values),
    )
    try:
        checked = msgspec.json.decode(msgspec.json.encode(wanted), type=Policy)
    except msgspec.ValidationError:  # whatever the rules above left open
        return Reading(values=values, problems={"detail": "policy.wrong.form"})
    return Reading(values=values, problems={}, policy=checked)


def lines(text: str) -> tuple[str, ...]:
    """Return what stands in a field of several entries, in lower case, each once."""
    return tuple(dict.fromkeys(part.lower() for part in re.split(r"[\s,;]+", text) if part))


def _scope(values: Mapping[str, str]) -> Scope:
    lists = {name: lines(values[name]) for name in ("groups", "include", "exclude")}
    return Scope(**lists, rooms=values["rooms"] == ON)


def _problems(values: Mapping[str, str], old: Policy, *, by_address: bool) -> Problems:
    found: Problems = {}
    if values["detail"] not in {detail.value for detail in Detail}:
        found["detail"] = "policy.wrong.form"
    for word in WORDS:
        if values[word] not in {status.value for status in Status}:
            found[word] = "policy.wrong.form"
    for name in DAYS:
        if not _is_days(name, values[name], old):
            found[name] = f"policy.wrong.{name}"
    return found | _of_scope(values, by_address=by_address)


def _is_days(name: str, text: str, old: Policy) -> bool:
    if not _NUMBER.fullmatch(text):
        return False
    least, most = DAYS[name]
    return least <= int(text) <= most or int(text) == getattr(old, name)


def _of_scope(values: Mapping[str, str], *, by_address: bool) -> Problems:
    found: Problems = {}
    groups = lines(values["groups"])
    if len(groups) > MOST_GROUPS:
        found["groups"] = "policy.wrong.many_groups"
    elif not all(is_address(one) if by_address else _OBJECT.fullmatch(one) for one in groups):
        found["groups"] = "policy.wrong.groups_by_address" if by_address else "policy.wrong.groups_by_id"
    for name in ("include", "exclude"):
        listed = lines(values[name])
        if len(listed) > MOST_ADDRESSES:
            found[name] = "policy.wrong.many_addresses"
        elif not all(map(is_address, listed)):
            found[name] = "policy.wrong.addresses"
    return found
