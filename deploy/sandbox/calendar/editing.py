"""Decides what a calendar is after one item was put into it or taken out; the calendar given stays as it was."""

from msgspec import structs

from deploy.sandbox.calendar.values import Calendar, Item


def with_event(calendar: Calendar, item: Item) -> Calendar:
    """Return the calendar with an item added, or put in the place of the one that has its id."""
    removed = without_event(calendar, item.item_id)
    return structs.replace(removed, placed=(*removed.placed, item))


def without_event(calendar: Calendar, item_id: str) -> Calendar:
    """Return the calendar without the item, or without the whole series, that has an id; unknown ids change nothing."""
    kept = tuple(item for item in calendar.placed if item.item_id != item_id)
    return structs.replace(calendar, placed=kept, hidden=calendar.hidden | {item_id})
