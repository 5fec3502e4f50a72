"""Calendars of the sandbox: .ics files in, the instances that a mailbox would show in a window out."""

from deploy.sandbox.calendar.editing import with_event, without_event
from deploy.sandbox.calendar.expansion import instances
from deploy.sandbox.calendar.reading import read_calendar
from deploy.sandbox.calendar.values import Calendar, Item, Person, Problem

__all__ = [
    "Calendar",
    "Item",
    "Person",
    "Problem",
    "instances",
    "read_calendar",
    "with_event",
    "without_event",
]
