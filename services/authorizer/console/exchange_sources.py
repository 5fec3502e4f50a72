"""Decides where the mailboxes of an Exchange server are listed, as a form has it: the sources, or what is wrong.

Pure. At least one source must be chosen; what belongs to one that is not chosen counts for nothing.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from services.authorizer.address_lists import addresses, is_address
from services.authorizer.console.exchange_places import ldap_address
from shared.contracts.messages import GroupSource, LdapSource, ListSource, RoomListsSource, Source

MOST_GROUPS: Final = 12
_ON: Final = "yes"
_DN: Final = re.compile(r"(?i)^[a-z][a-z0-9-]*=.+$")

Found = tuple[list[Source], dict[str, str]]  # the sources, and what is wrong with which field


def sources(values: Mapping[str, str]) -> tuple[tuple[Source, ...], dict[str, str]]:
    """Return the sources that a form names, and what is wrong with which field."""
    found: list[Source] = []
    problems: dict[str, str] = {}
    for name, reading in _READINGS.items():
        if values[name] == _ON:
            ones, wrong = reading(values)
            found += ones
            problems |= wrong
    if not any(values[name] == _ON for name in _READINGS):
        problems["with_group"] = "exchange.missing.sources"
    return tuple(found), problems


def lists(text: str) -> list[str]:
    """Return the lines of a field that hold something."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _ldap(values: Mapping[str, str]) -> Found:
    url = ldap_address(values["ldap_url"])
    problems = {}
    if not url:
        problems["ldap_url"] = "exchange.wrong.ldap_url" if values["ldap_url"] else "exchange.missing.ldap_url"
    if not _DN.match(values["ldap_base"]):
        problems["ldap_base"] = "exchange.wrong.dn" if values["ldap_base"] else "exchange.missing.ldap_base"
    if values["ldap_group"] and not _DN.match(values["ldap_group"]):
        problems["ldap_group"] = "exchange.wrong.dn"
    if problems:
        return [], problems
    return [LdapSource(url=url, base=values["ldap_base"], group=values["ldap_group"])], {}


def _groups(values: Mapping[str, str]) -> Found:
    given = list(dict.fromkeys(line.lower() for line in lists(values["groups"])))
    if not given:
        return [], {"groups": "exchange.missing.groups"}
    if len(given) > MOST_GROUPS:
        return [], {"groups": "exchange.wrong.many_groups"}
    if not all(is_address(one) for one in given):
        return [], {"groups": "exchange.wrong.groups"}
    return [GroupSource(address=one) for one in given], {}


def _list(values: Mapping[str, str]) -> Found:
    if not lists(values["list"]):
        return [], {"list": "exchange.missing.list"}
    try:
        return [ListSource(addresses=addresses(values["list"]))], {}
    except ValueError:
        return [], {"list": "exchange.wrong.list"}


def _rooms(_: Mapping[str, str]) -> Found:
    return [RoomListsSource()], {}


_READINGS: Final[Mapping[str, Callable[[Mapping[str, str]], Found]]] = {
    "with_group": _groups,
    "with_ldap": _ldap,
    "with_rooms": _rooms,
    "with_list": _list,
}
