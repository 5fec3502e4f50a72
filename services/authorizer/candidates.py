"""Edge: is one mailbox readable? Which users are tried, those in the policy's scope first, and what their answers say.

One readable mailbox is enough; a directory object without a mailbox (404) says nothing against the connection.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote

from msgspec import Struct

from services.authorizer.refusals import Refusal, of_graph
from shared.contracts.policy import Scope
from shared.contracts.values import DAY, Instant
from shared.errors import Retry
from shared.graph import GraphError

T = TypeVar("T")

TRIED: Final = 25
_GROUPS_TRIED: Final = 3
_SETTINGS: Final = "$select=timeZone,userPurpose"  # the rest holds automatic replies
_SELECT: Final = f"$top={TRIED}&$select=id,userType"
_ADVANCED: Final[Mapping[str, str]] = {"ConsistencyLevel": "eventual"}
_CALENDAR_ROLES: Final = frozenset({"Calendars.Read", "Calendars.ReadWrite", "Calendars.ReadBasic.All"})
_ABSENT: Final = frozenset({400, 404})  # some codes for "no mailbox here" come with 400


class Graph(Protocol):
    """What is needed of shared.graph.GraphClient."""

    async def get(self, url: str, kind: type[T], *, headers: Mapping[str, str] = ...) -> T:
        """Return one answer decoded into `kind`. Raises GraphError."""
        ...


class User(Struct, frozen=True):
    """A directory object, as far as it matters here."""

    id: str
    userType: str | None = None  # noqa: N815 -- Graph's own name


class Users(Struct, frozen=True):
    """A page of the directory."""

    value: list[User]


async def try_mailboxes(graph: Graph, scope: Scope, roles: Collection[str], *, now: Instant) -> None:
    """Return once one mailbox in the scope was really read. Raises Refusal or Retry where none could be."""
    denied: set[str] = set()
    passing: Retry | None = None
    for user_id in await candidates(graph, scope):
        try:
            await read(graph, user_id, now=now)
        except Refusal as refusal:
            denied.add(refusal.reason)
        except Retry as retry:
            if retry.reason == "graph_throttled":  # more requests would make it worse
                raise
            passing = retry
        else:
            return
    if passing is not None:
        raise passing
    raise Refusal(verdict(denied, roles))


def verdict(denied: Collection[str], roles: Collection[str]) -> str:
    """Return why none of the mailboxes tried could be read, from what was denied and what the token allows."""
    if "no_readable_mailbox" in denied and len(set(denied)) == 1:
        return "no_readable_mailbox"
    if "calendar_permission_missing" in denied:
        return "calendars_out_of_scope" if _CALENDAR_ROLES & set(roles) else "calendar_permission_missing"
    return "settings_permission_missing"


async def read(graph: Graph, user_id: str, *, now: Instant) -> None:
    """Read one mailbox's settings and one day of its calendar, times only. Raises Refusal or Retry."""
    user = quote(user_id, safe="")
    start, end = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for at in (now, now + DAY))
    day = f"startDateTime={start}&endDateTime={end}&$select=start,end,showAs&$top=1"
    await _ask(graph, f"/users/{user}/calendarView?{day}", denied="calendar_permission_missing")
    await _ask(graph, f"/users/{user}/mailboxSettings?{_SETTINGS}", denied="settings_permission_missing")


async def _ask(graph: Graph, url: str, *, denied: str) -> None:
    try:
        await graph.get(url, dict[str, Any])
    except GraphError as error:
        if error.status in _ABSENT:
            raise Refusal("no_readable_mailbox") from None
        raise of_graph(error, denied=denied) from None


async def candidates(graph: Graph, scope: Scope) -> list[str]:
    """Return up to some 25 users to try: the addresses that the scope includes, then its groups' members or everybody.

    Raises Refusal (an empty directory or group, a permission missing) or Retry.
    """
    found = list(scope.include[:TRIED])
    if scope.groups:
        found += await _members(graph, scope.groups[:_GROUPS_TRIED])
        empty = "group_empty"
    else:
        found += _ids(await _page(graph, f"/users?{_SELECT}", denied="directory_permission_missing"))
        empty = "directory_empty"
    if not found:
        raise Refusal(empty)
    return found[:TRIED]


async def _members(graph: Graph, groups: Collection[str]) -> list[str]:
    found: list[str] = []
    unknown = 0
    for group in groups:
        url = f"/groups/{quote(group, safe='')}/transitiveMembers/microsoft.graph.user?$count=true&{_SELECT}"
        try:
            found += _ids(await graph.get(url, Users, headers=_ADVANCED))
        except GraphError as error:
            if error.status not in _ABSENT:
                raise of_graph(error, denied="group_permission_missing") from None
            unknown += 1
    if unknown == len(groups):
        raise Refusal("group_unknown")
    return found


async def _page(graph: Graph, url: str, *, denied: str) -> Users:
    try:
        return await graph.get(url, Users)
    except GraphError as error:
        raise of_graph(error, denied=denied) from None


async def list_one(graph: Graph) -> None:
    """See that the directory answers at all. Raises Refusal or Retry."""
    await _page(graph, "/users?$top=1&$select=id", denied="directory_permission_missing")


def _ids(page: Users) -> list[str]:
    """Return the members: a guest's mailbox lies elsewhere."""
    return [user.id for user in page.value if (user.userType or "Member").lower() != "guest"]
