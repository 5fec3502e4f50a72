"""Histories of an org as the real publisher writes them: an update log, what of it may be told, what is published."""

import msgspec
from hypothesis import strategies as st
from msgspec.structs import replace

from services.publisher import news
from services.publisher.envelope import Told, announcement
from services.publisher.news import UPDATED, told_of_departure
from services.publisher.plan import Found, plan
from services.publisher.timeline import Timeline
from shared.client.applying import applied
from shared.client.over_http import Entry
from shared.client.updates import Update, update_of
from shared.contracts.public import AvailabilityUpdated, EventDetails
from shared.contracts.values import Bucket
from tests.unit.publisher.readings import MONDAY, erased, snapshots, unreadable

MAILBOXES = ("m-1", "m-2", "m-3")


class History:
    """One org's log and what is published of it, as readings come."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, Told]] = []  # generation and row, in order of position
        self.published: dict[str, Timeline] = {}
        self.generation = 1
        self.version = 0
        self.position = 0

    def read(self, found: Found) -> None:
        """Publish one reading, as of the present generation and the next version."""
        self.version += 1
        found = replace(found, generation=self.generation, version=self.version)
        held = {("acme", each): timeline for each, timeline in self.published.items()}
        planned = plan([found], {"acme": self.generation}, held, now=MONDAY + self.version)
        for timeline in planned.timelines:
            self.published[timeline.mailbox_id] = timeline
            if timeline.gone:
                self._forget(timeline.mailbox_id)
        for row in planned.updates:
            self._write(row)

    def leave(self) -> None:
        """Let the org leave and connect anew at once: versions begin again."""
        self.published.clear()
        self.rows.clear()
        self._write(told_of_departure("acme", self.generation, now=MONDAY))
        self.generation += 1
        self.version = 0

    def tighten(self) -> None:
        """Put another policy in force: what was told before is not told any more."""
        self.generation += 1

    def last(self) -> int:
        """The log's head."""
        return self.position

    def told_after(self, position: int) -> tuple[Update, ...]:
        """Return what may be told now after a position."""
        may = (row for generation, row in self.rows if row.type != UPDATED or generation == self.generation)
        return tuple(update(row) for row in may if row.position > position)

    def snapshot(self) -> tuple[Entry, ...]:
        """Return what is published now, each mailbox with its last update's position."""
        last = {row.mailbox_id: row.position for _, row in self.rows}
        return tuple(
            Entry(position=last.get(each, 0), held=news.update(timeline, timeline.window))
            for each, timeline in self.published.items()
            if not timeline.gone
        )

    def _forget(self, mailbox_id: str) -> None:
        self.rows = [(gen, row) for gen, row in self.rows if row.mailbox_id != mailbox_id or row.type != UPDATED]

    def _write(self, row: dict[str, object]) -> None:
        self.position += 1
        told = {name: row[name] for name in ("org_id", "mailbox_id", "type", "created_at", "body")}
        self.rows.append((self.generation, msgspec.convert({"position": self.position, **told}, Told)))


def update(row: Told) -> Update:
    """Return a row as a consumer reads it."""
    found = update_of(announcement(row)[1])
    assert found is not None
    return found


@st.composite
def steps(draw: st.DrawFn, *, most: int = 12) -> list[object]:
    """Return what happens to an org: readings of its mailboxes, "leave" and "tighten"."""
    kinds = st.sampled_from(["read"] * 7 + ["fail", "remove", "erase", "leave", "tighten"])
    found: list[object] = []
    for kind in draw(st.lists(kinds, min_size=2, max_size=most)):
        mailbox_id = draw(st.sampled_from(MAILBOXES))
        match kind:
            case "read":
                found.append(_of(draw(snapshots()), mailbox_id))
            case "fail":
                found.append(unreadable(Bucket.FAILING, mailbox_id=mailbox_id))
            case "remove":
                found.append(unreadable(Bucket.REMOVED, mailbox_id=mailbox_id))
            case "erase":
                found.append(erased(mailbox_id, version=1))
            case _:
                found.append(kind)
    return found + [_of(draw(snapshots()), each) for each in MAILBOXES]  # under the last policy each is read once


def happen(history: History, step: object) -> None:
    """Let one step happen."""
    match step:
        case "leave":
            history.leave()
        case "tighten":
            history.tighten()
        case _:
            history.read(step)  # type: ignore[arg-type]


def _of(found: Found, mailbox_id: str) -> Found:
    return replace(found, mailbox=replace(found.mailbox, mailbox_id=mailbox_id, address=f"{mailbox_id}@example.com"))


def known(held: AvailabilityUpdated) -> tuple[object, ...]:
    """Return what counts of a mailbox's state; a reading that changed nothing is not told, so `as_of` may lag."""
    events = None if held.events is None else sorted(map(_all, held.events))
    terms = (held.mailbox_id, held.mailbox, held.time_zone, held.coverage, held.privacy, held.reason)
    return (*terms, held.window, held.busy, events, held.working_hours)


def state(held: tuple[AvailabilityUpdated, ...]) -> dict[str, tuple[object, ...]]:
    """Return what counts of every mailbox."""
    return {each.mailbox_id: known(each) for each in held}


def followed(updates: tuple[Update, ...]) -> dict[str, tuple[object, ...]]:
    """Return what counts for whoever applies these updates to nothing."""
    held: dict[str, AvailabilityUpdated] = {}
    for each in updates:
        if isinstance(each.data, AvailabilityUpdated):
            held[each.mailbox_id] = applied(held.get(each.mailbox_id), each.data)
        elif each.mailbox_id:
            held.pop(each.mailbox_id, None)
        else:
            held.clear()
    return state(tuple(held.values()))


def _all(event: EventDetails) -> tuple[object, ...]:
    return tuple(getattr(event, name) for name in event.__struct_fields__)
