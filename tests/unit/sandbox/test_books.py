"""What a mailbox's calendar shows of a file, whatever window is asked for."""

from functools import partial
from zoneinfo import ZoneInfo

from deploy.sandbox.calendar import instances, read_calendar
from deploy.sandbox.calendars import Book, from_file
from shared.contracts.values import DAY, Window

HALF_HOURLY = b"""BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
UID:half-hourly
DTSTART:20070409T070000Z
DTEND:20070409T080000Z
RRULE:FREQ=MINUTELY;INTERVAL=30
END:VEVENT
END:VCALENDAR
"""
SPAN = 1825 * DAY
FIRST = 631_152_000  # 1990-01-01


def test_an_instance_joined_from_many_is_the_same_in_every_long_window() -> None:
    source = from_file(partial(instances, read_calendar(HALF_HOURLY)), lambda _: None)
    book = Book(source=source, zone=ZoneInfo("UTC"))
    windows = [Window(FIRST + number * SPAN, FIRST + (number + 1) * SPAN) for number in range(8)]
    seen = [{(item.item_id, item.start, item.end) for item in book.items(window)} for window in windows]
    assert len(set().union(*seen)) == 1
    assert [len(items) for items in seen] == [0, 0, 0, 1, 1, 1, 1, 1]
