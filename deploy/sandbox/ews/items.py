"""Answers FindItem with a calendar view, and GetItem: the instances of one mailbox's calendar, and what each one says.

It refuses views longer than two years or with more items than the limit, and every FindItem that is no calendar view.
Items are found only by those who act as the mailbox that holds them.
"""

from collections.abc import Iterator, Mapping
from datetime import MAXYEAR, UTC, datetime

from lxml import etree
from msgspec import Struct
from msgspec.structs import replace

from deploy.sandbox.calendar.values import Item
from deploy.sandbox.directory import Person
from deploy.sandbox.ews import folders, item_printing, reading, scopes, soap
from deploy.sandbox.ews.call import EwsCall, Failed, Operation
from deploy.sandbox.ews.folders import Folder
from deploy.sandbox.ews.item_printing import Shape, item_xml
from deploy.sandbox.ews.soap import M, T
from deploy.sandbox.rendering import IMMUTABLE_ID, PLAIN_ID, View, item_id_of
from shared.contracts.values import Window
from shared.zones import resolve, windows_name

_TOO_MANY = "The find operation would return more objects than are allowed. Ask for less, or for pages."


class _CalendarView(Struct, frozen=True, kw_only=True):
    window: Window
    most: int | None


def view_of(call: EwsCall, person: Person) -> View:
    """Return how a person's items are printed: under the ids that Graph prints as immutable ones."""
    return View(
        prefix=IMMUTABLE_ID,
        home=resolve(person.time_zone),
        home_name=windows_name(person.time_zone),
        revision=call.state.book(call.tenant, person).revision,
    )


def find_item(call: EwsCall) -> bytes:
    """Answer FindItem, each folder on its own. Raises SoapFault, Failed."""
    asked = reading.child(call.request, f"{M}ItemShape")
    call.state.counts.select("EWS FindItem", item_printing.asked(asked))
    shape = item_printing.shape(asked, whole=False)
    view = _calendar_view(call.request.find(f"{M}CalendarView"))
    parents = reading.child(call.request, f"{M}ParentFolderIds")
    return soap.response("FindItem", (_found(call, parent, view, shape) for parent in parents))


def _calendar_view(element: etree._Element | None) -> _CalendarView:
    if element is None:
        raise Failed("ErrorInvalidOperation", "Only calendar views are served here.")
    start = reading.moment(element.get("StartDate"))
    end = reading.moment(element.get("EndDate"), up=True)
    stated = element.get("MaxEntriesReturned")
    most = None if stated is None else reading.number(stated)
    if end <= start:
        raise Failed("ErrorCalendarEndDateIsEarlierThanStartDate", "EndDate is earlier than StartDate.")
    if _years_later(start) < end:
        message = "The specified view range exceeds the maximum range of two years."
        raise Failed("ErrorCalendarViewRangeTooBig", message)
    if most is not None and most < 1:
        raise Failed("ErrorInvalidPagingMaxRows", "The number of entries asked for is invalid.")
    return _CalendarView(window=Window(start, end), most=most)


def _years_later(start: int) -> float:
    when = datetime.fromtimestamp(start, UTC)
    year = when.year + 2
    if year > MAXYEAR:
        return float("inf")
    leap = (when.month, when.day) == (2, 29)  # two years after it there is none
    return when.replace(year=year, day=28 if leap else when.day).timestamp()


def _found(call: EwsCall, parent: etree._Element, view: _CalendarView, shape: Shape) -> str:
    try:
        where = folders.folder(call, parent)
        items = _overlapping(call, where, view)
    except Failed as failed:
        return soap.failure("FindItem", failed)
    kept = items[: view.most] if view.most is not None else items
    limited = kept[: call.state.options.ews_items]
    printed = view_of(call, where.person)
    written = "".join([item_xml(item, printed, shape) for item in limited])
    last = "true" if len(limited) == len(items) else "false"
    range_ = f'TotalItemsInView="{len(items)}" IncludesLastItemInRange="{last}"'
    return soap.success("FindItem", f"<m:RootFolder {range_}><t:Items>{written}</t:Items></m:RootFolder>")


def _overlapping(call: EwsCall, where: Folder, view: _CalendarView) -> list[Item]:
    """Return the items of a view by their start, those that end where it begins too, as Exchange does.

    Raises Failed.
    """
    if where.name != folders.CALENDAR:
        raise Failed("ErrorCalendarFolderIsInvalidForCalendarView", "A calendar view needs a calendar folder.")
    state, person = call.state, where.person
    state.counts.views[person.address] += 1
    book = state.book(call.tenant, person)
    listed = state.expansions.listed((call.tenant.tenant_id, person.user_id), book, view.window)
    items = [listed.items[place] for place in listed.spans.within(view.window, touching=True)]
    limit = state.options.ews_items
    if view.most is None and len(items) > limit:
        raise Failed("ErrorExceededFindCountLimit", _TOO_MANY, values={"PolicyLimit": str(limit)})
    return items


def get_item(call: EwsCall) -> bytes:
    """Answer GetItem, each id on its own. Raises SoapFault."""
    asked = reading.child(call.request, f"{M}ItemShape")
    call.state.counts.select("EWS GetItem", item_printing.asked(asked))
    return soap.response("GetItem", _items(call, scopes.owner(call), item_printing.shape(asked, whole=True)))


def _items(call: EwsCall, person: Person, shape: Shape) -> Iterator[str]:
    view = view_of(call, person)
    for element in reading.child(call.request, f"{M}ItemIds"):
        try:
            item = _item(call, person, element)
        except Failed as failed:
            yield soap.failure("GetItem", failed, "<m:Items/>")
        else:
            yield soap.success("GetItem", f"<m:Items>{item_xml(item, view, shape)}</m:Items>")


def _item(call: EwsCall, person: Person, element: etree._Element) -> Item:
    """Return the item, or the master of a series, that an ItemId or RecurringMasterItemId names. Raises Failed."""
    if element.tag == f"{T}RecurringMasterItemId":
        instance = item_of(call, person, element.get("OccurrenceId", ""))
        if instance.series_id is None:
            raise Failed("ErrorCalendarCannotUseIdForOccurrenceId", "The id does not name an occurrence.")
        return master(instance)
    if element.tag != f"{T}ItemId":
        raise Failed("ErrorInvalidIdMalformed", "Items are served by their own ids only.")
    return item_of(call, person, element.get("Id", ""))


def item_of(call: EwsCall, person: Person, printed: str) -> Item:
    """Return the item of a mailbox that a printed id names; a series' id names its master. Raises Failed."""
    if not printed.startswith((IMMUTABLE_ID, PLAIN_ID)):
        raise Failed("ErrorInvalidIdMalformed", "Id is malformed.")
    wanted = item_id_of(printed)
    book = call.state.book(call.tenant, person)
    key = (call.tenant.tenant_id, person.user_id)
    found = call.state.expansions.find(key, book, wanted, call.state.clock())
    if found is None:
        raise Failed("ErrorItemNotFound", "The specified object was not found in the store.")
    return found if found.item_id == wanted else master(found)


def master(instance: Item) -> Item:
    """Return the master of an instance's series, which says what its instances say."""
    assert instance.series_id is not None, "only an instance has a master"
    return replace(instance, item_id=instance.series_id, series_id=None, type="seriesMaster")


OPERATIONS: Mapping[str, Operation] = {"FindItem": find_item, "GetItem": get_item}
