"""Timelines, readings and a consumer for the publisher's tests."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import strategies as st

from services.publisher.moments import instant
from services.publisher.timeline import Timeline, covered
from shared.contracts.messages import AvailabilitySnapshot, GraphConnection, MailboxUnreadable, PublicEvent
from shared.contracts.policy import Policy
from shared.contracts.public import AvailabilityUpdated, BusyBlock, EventDetails, MailboxRemoved
from shared.contracts.values import DAY, Block, Bucket, Mailbox, Status, Window
from shared.store import Store
from shared.tables import orgs

MONDAY = 1_767_571_200  # 2026-01-05T00:00:00Z
WINDOW = Window(MONDAY, MONDAY + 60 * DAY)
HOUR = 3600


def snapshot(
    *blocks: Block,
    version: int = 1,
    org_id: str = "acme",
    mailbox_id: str = "m-0001",
    generation: int = 1,
    window: Window = WINDOW,
    events: tuple[PublicEvent, ...] | None = None,
) -> AvailabilitySnapshot:
    """Return a public snapshot of one mailbox."""
    return AvailabilitySnapshot(
        org_id=org_id,
        generation=generation,
        mailbox=Mailbox(mailbox_id=mailbox_id, address=f"{mailbox_id}@example.com", time_zone="UTC"),
        version=version,
        window=window,
        as_of=MONDAY + version,
        time_zone="UTC",
        blocks=blocks,
        events=events,
    )


def erased(mailbox_id: str = "m-0001", *, version: int) -> MailboxUnreadable:
    """Return the message that says a mailbox was erased: it bears the id where an address would be."""
    return MailboxUnreadable(
        org_id="acme",
        generation=1,
        mailbox=Mailbox(mailbox_id=mailbox_id, address=mailbox_id),
        version=version,
        as_of=MONDAY + version,
        bucket=Bucket.EXCLUDED,
        reason="erased",
    )


def unreadable(
    bucket: Bucket, *, version: int = 1, org_id: str = "acme", mailbox_id: str = "m-0001", generation: int = 1
) -> MailboxUnreadable:
    """Return the message that says a mailbox cannot or must not be read."""
    return MailboxUnreadable(
        org_id=org_id,
        generation=generation,
        mailbox=Mailbox(mailbox_id=mailbox_id, address=f"{mailbox_id}@example.com"),
        version=version,
        as_of=MONDAY + version,
        bucket=bucket,
        reason=bucket.value,
    )


def busy(start: int, end: int, status: Status = Status.BUSY) -> Block:
    """Return a block given in hours after Monday."""
    return Block(MONDAY + start * HOUR, MONDAY + end * HOUR, status)


def event(start: int, end: int, subject: str = "") -> PublicEvent:
    """Return an event given in hours after Monday."""
    return PublicEvent(start=MONDAY + start * HOUR, end=MONDAY + end * HOUR, status="busy", subject=subject)


async def connect(
    store: Store, org_id: str = "acme", *, generation: int = 1, state: str = "connected", shown_from: int = 0
) -> None:
    """Put an org into the store, or change its generation, its state and what is shown of it."""
    values: dict[str, Any] = {
        "org_id": org_id,
        "generation": generation,
        "state": state,
        "connection": msgspec.json.encode(GraphConnection(tenant_id="t")),
        "tenant_id": f"tenant-{org_id}",
        "policy": msgspec.json.encode(Policy()),
        "shown_from": shown_from,
    }
    changed = {"generation": generation, "state": state, "shown_from": shown_from}
    async with store.write() as connection:
        insert = store.upsert(orgs).values(values)
        await connection.execute(insert.on_conflict_do_update(index_elements=["org_id"], set_=changed))


class Copy:
    """What a consumer holds of one mailbox, knowing nothing but the updates it was told."""

    def __init__(self) -> None:
        self.window: Window | None = None
        self.line: dict[int, Status] = {}  # by the hour: slow and plainly right
        self.events: list[EventDetails] | None = None
        self.known = False
        self.removed = False

    def apply(self, told: AvailabilityUpdated | MailboxRemoved) -> None:
        """Replace the range told, and drop what lies outside the window."""
        if isinstance(told, MailboxRemoved):
            self.__init__()  # type: ignore[misc]
            self.removed = True
            return
        self.removed, self.known = False, told.coverage.value == "full"
        start, end = instant(told.start), instant(told.end)
        self.window = Window(instant(told.window.start), instant(told.window.end))
        assert self.window.start <= start < end <= self.window.end
        kept = {hour: status for hour, status in self.line.items() if not start <= hour < end}
        self.line = self._inside(kept | hourly(told.busy))
        if told.events is None:
            self.events = None
            return
        kept_events = [seen for seen in self.events or [] if not overlaps(seen, start, end)]
        self.events = [
            seen for seen in kept_events + list(told.events) if overlaps(seen, self.window.start, self.window.end)
        ]

    def _inside(self, line: dict[int, Status]) -> dict[int, Status]:
        assert self.window is not None
        return {hour: status for hour, status in line.items() if self.window.start <= hour < self.window.end}


def overlaps(seen: EventDetails, start: int, end: int) -> bool:
    """Say whether an event shares time with [start, end)."""
    return instant(seen.start) < end and start < instant(seen.end)


def hourly(blocks: Iterable[BusyBlock]) -> dict[int, Status]:
    """Return the status at each hour."""
    return {hour: block.status for block in blocks for hour in range(instant(block.start), instant(block.end), HOUR)}


def told_of(body: bytes) -> AvailabilityUpdated | MailboxRemoved:
    """Decode the body of a row of the update log."""
    kind = AvailabilityUpdated if b'"window"' in body else MailboxRemoved
    return msgspec.json.decode(body, type=kind)


@st.composite
def lines(draw: st.DrawFn, window: Window) -> tuple[Block, ...]:
    """Return a sorted line of blocks within a window, touching ones of one status joined."""
    hours = (window.end - window.start) // HOUR
    marks = draw(st.lists(st.integers(0, hours), max_size=12, unique=True).map(sorted))
    line: list[Block] = []
    for start, end in pairwise(marks):
        status = draw(st.sampled_from([None, *Status]))
        if status is None:
            continue
        if line and line[-1].end == window.start + start * HOUR and line[-1].status is status:
            line[-1] = Block(line[-1].start, window.start + end * HOUR, status)
        else:
            line.append(Block(window.start + start * HOUR, window.start + end * HOUR, status))
    return tuple(line)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Return windows that move about as days pass."""
    start = draw(st.integers(-3, 40))
    return Window(MONDAY + start * DAY, MONDAY + (start + draw(st.integers(1, 40))) * DAY)


@st.composite
def shown_events(draw: st.DrawFn, window: Window) -> tuple[PublicEvent, ...]:
    """Return events that share time with a window; some alike, some reaching beyond it."""
    days = (window.end - window.start) // DAY
    found = []
    for _ in range(draw(st.integers(0, 6))):
        start = window.start + draw(st.integers(-2, days - 1)) * DAY
        end = max(start, window.start) + draw(st.integers(1, 300)) * HOUR
        found.append(PublicEvent(start=start, end=end, status="busy", subject=draw(st.sampled_from("ab"))))
    return tuple(sorted(found, key=lambda seen: (seen.start, seen.end, seen.subject)))


@st.composite
def snapshots(draw: st.DrawFn, *, version: int = 1, generation: int = 1) -> AvailabilitySnapshot:
    """Return snapshots of one mailbox, with or without details."""
    window = draw(windows())
    events = draw(st.one_of(st.none(), shown_events(window)))
    return snapshot(*draw(lines(window)), version=version, generation=generation, window=window, events=events)


def timelines() -> st.SearchStrategy[Timeline]:
    """Return timelines of one mailbox."""
    return snapshots().map(covered)
