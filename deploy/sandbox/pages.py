"""Serves calendarView: the instances of a mailbox's calendar in a window, page by page; what was serialised is kept.

The window's bounds are instants; the zone of a Prefer header changes only how times are printed.
"""

from functools import lru_cache
from urllib.parse import quote

from msgspec import Struct

from deploy.sandbox import odata, rendering
from deploy.sandbox.answers import Answer, Ask, Refusal, parameters
from deploy.sandbox.calls import Call
from deploy.sandbox.directory import Person
from deploy.sandbox.rendering import View
from shared.contracts.values import DAY, Window
from shared.zones import resolve, windows_name

MOST_DAYS = 1825
DEFAULT_PAGE = 10
LARGEST_PAGE = 1000
_BASIC_HIDES = frozenset({"body", "bodyPreview", "hasAttachments"})
_DEFAULT = tuple(name for name in rendering.PROPERTIES if name not in _BASIC_HIDES)
_ALL = rendering.PROPERTIES
_KNOWN = frozenset({"startdatetime", "enddatetime", "$select", "$top", "$skip", "$count", "$orderby"})


class Query(Struct, frozen=True, kw_only=True):
    """One calendarView query, read; `select` None asks for everything."""

    window: Window
    select: tuple[str, ...] | None
    top: int | None
    skip: int
    descending: bool
    count: bool
    rest: str  # the query again, without $skip and $top, for the next link


def calendar_view(call: Call, person: Person, *, basic: bool = False) -> Answer:
    """Answer GET /users/{id}/calendarView; `basic` hides what Calendars.ReadBasic may not see. Raises Refusal."""
    ask = call.ask
    query = read(ask.query)
    prefer = odata.preferences(ask.headers.get("prefer", ""))
    call.state.counts.views[person.address] += 1
    written = _fragments(call, person, query=query, prefer=prefer, basic=basic)
    size = query.top or min(prefer.page_size or DEFAULT_PAGE, LARGEST_PAGE)
    end = query.skip + size
    body = ",".join(written[query.skip : end])
    link = _next_link(ask, query, end, size) if end < len(written) else ""
    count = f'"@odata.count":{len(written)},' if query.count and not query.skip else ""
    context = f"{ask.base}/v1.0/$metadata#users('{person.user_id}')/calendarView"
    chosen = f"({','.join(query.select)})" if query.select else ""
    text = f'{{"@odata.context":"{quote(context + chosen, safe=_CONTEXT)}",{count}"value":[{body}]{link}}}'
    headers = {"Preference-Applied": prefer.applied} if prefer.applied else {}
    return Answer(body=text.encode(), headers=headers)


_CONTEXT = ":/?#[]@!$&'()*+,;=%"


def _next_link(ask: Ask, query: Query, end: int, size: int) -> str:
    link = rendering.text(f"{ask.base}{ask.path}?{query.rest}&$top={size}&$skip={end}")
    return f',"@odata.nextLink":{link}'


def _fragments(call: Call, person: Person, *, query: Query, prefer: odata.Preferences, basic: bool) -> list[str]:
    book, kept = call.state.book(call.tenant, person), call.state.kept
    key = (
        call.tenant.number,
        person.user_id,
        book.revision,
        query.window,
        query.select,
        query.descending,
        prefer,
        basic,
    )
    written = kept.get(key)
    if written is None:
        select = _select(query.select, basic=basic)
        items = book.items(query.window, private=query.select is None or not rendering.PRIVATE.isdisjoint(select))
        if query.descending:
            items.reverse()
        written = rendering.fragments(items, select, view_of(prefer, person, book.revision))
        kept.put(key, written)
    return written


def view_of(prefer: odata.Preferences, person: Person, revision: int) -> View:
    """Return how a person's events are printed for a request with these preferences."""
    return View(
        prefix=rendering.IMMUTABLE_ID if prefer.immutable else rendering.PLAIN_ID,
        zone_name=prefer.zone_name,
        zone=prefer.zone,
        home=resolve(person.time_zone),
        home_name=windows_name(person.time_zone),
        revision=revision,
    )


def _select(asked: tuple[str, ...] | None, *, basic: bool) -> tuple[str, ...]:
    if asked is None:
        return _DEFAULT if basic else _ALL
    return tuple(name for name in asked if not (basic and name in _BASIC_HIDES))


@lru_cache(maxsize=4096)
def read(raw: str) -> Query:
    """Read a calendarView query. Raises Refusal with Microsoft's words."""
    given = parameters(raw)
    if unknown := [name for name in given if name.startswith("$") and name not in _KNOWN]:
        raise Refusal(400, "ErrorInvalidUrlQuery", f"The query option {unknown[0]} is not supported here.")
    top = odata.number(given["$top"], least=1, most=LARGEST_PAGE, name="$top") if "$top" in given else None
    skip = odata.number(given["$skip"], least=0, most=10**9, name="$skip") if "$skip" in given else 0
    rest = "&".join(part for part in raw.split("&") if not _is_paging(part))
    return Query(
        window=_window(given.get("startdatetime"), given.get("enddatetime")),
        select=selected(given["$select"]) if given.get("$select") else None,
        top=top,
        skip=skip,
        descending=_descending(given.get("$orderby", "")),
        count=given.get("$count", "").lower() == "true",
        rest=rest,
    )


def _is_paging(part: str) -> bool:
    return part.partition("=")[0].lower().replace("%24", "$") in {"$skip", "$top"}


def _window(start: str | None, end: str | None) -> Window:
    if not start or not end:
        words = "This request requires a time window specified by the query string parameters"
        raise Refusal(400, "ErrorInvalidParameter", f"{words} StartDateTime and EndDateTime.")
    bounds = odata.instant(start), odata.instant(end)
    if bounds[0] is None or bounds[1] is None:
        name = "StartDateTime" if bounds[0] is None else "EndDateTime"
        raise Refusal(400, "ErrorInvalidParameter", f"The value of the parameter '{name}' is invalid.")
    if bounds[1] <= bounds[0]:
        raise Refusal(400, "ErrorInvalidParameter", "The end of the time window must lie after its start.")
    if bounds[1] - bounds[0] > MOST_DAYS * DAY:
        words = "Your request can't be completed. The range between the start and end dates is greater than the allowed"
        message = f"{words} range. Maximum number of days: {MOST_DAYS}"
        raise Refusal(400, "ErrorInvalidRequest", message)
    return Window(bounds[0], bounds[1])


def selected(value: str) -> tuple[str, ...]:
    """Return the properties a $select on events names, without id, which is always there. Raises Refusal."""
    asked = odata.names(value)
    for name in asked:
        if name not in rendering.PROPERTIES and name != "id":
            message = f"Could not find a property named '{name}' on type 'Microsoft.OutlookServices.Event'."
            raise Refusal(400, "RequestBroker--ParseUri", message)
    return tuple(name for name in asked if name != "id" and name not in rendering.NEVER_SELECTED)


def _descending(order: str) -> bool:
    match order.lower().split():
        case [] | ["start/datetime"] | ["start/datetime", "asc"]:
            return False
        case ["start/datetime", "desc"]:
            return True
    raise Refusal(400, "ErrorInvalidUrlQuery", "The $orderby clause is not supported here.")
