"""A town for the tests of complaints: one org around the sandbox in one process, a mailbox for each complaint.

Calendars come from files written here; spies count requests that must never be made; the clock may be moved on.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4
from zoneinfo import ZoneInfo

import aiohttp
from sqlalchemy import func, select

from deploy.command.published import progress
from deploy.command.trial import Trial, TrialOptions, trial
from deploy.sandbox import Fault, FaultKind, Sandbox, SandboxOptions
from deploy.sandbox.calendar import Item
from deploy.sandbox.directory import Reach
from shared import clock
from shared.broker import topology
from shared.contracts.messages import MailboxEnumerate, PolicyChanged
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import DAY, Kind
from shared.tables import enumerations, mailboxes, metadata, relay, subscriptions, timelines, updates
from tests.pipeline.expected import published_line
from tests.pipeline.oracle import Line
from tests.waiting import until

HOUR = 3600
TODAY = datetime.fromtimestamp(clock.now(), UTC).date()
DETAILS = Policy(detail=Detail.DETAILS)  # polled every six hours where subscribed: what is told sooner was hinted at
READINGS, DELTA, SCHEDULES = SPIES = ("calendarView[?]", "(?i)delta", "(?i)getSchedule|findMeetingTimes")
EMPTY = ("declined", "elsewhere", "failing", "immutable", "leaver", "married", "private", "repeated", "silent", "storm",
         "switched", "vanished", "words")  # fmt: skip
ZONES = {"auckland": "Pacific/Auckland", "newyork": "America/New_York", "tokyo": "Asia/Tokyo"}


def _rule(part: str, start: str, day: str, offsets: tuple[str, str]) -> str:
    rule = f"DTSTART:{start}T020000\nRRULE:FREQ=YEARLY;BYDAY={day}"
    return f"BEGIN:{part}\n{rule}\nTZOFFSETFROM:{offsets[0]}\nTZOFFSETTO:{offsets[1]}\nEND:{part}\n"


CUSTOMIZED = (  # the rules of New York under a name nobody knows
    "BEGIN:VTIMEZONE\nTZID:Customized Time Zone\n"
    + _rule("STANDARD", "20071104", "1SU;BYMONTH=11", ("-0400", "-0500"))
    + _rule("DAYLIGHT", "20070311", "2SU;BYMONTH=3", ("-0500", "-0400"))
    + "END:VTIMEZONE\n"
)


def soon(number: int) -> date:
    return TODAY + timedelta(number)


MOVED = soon(2)  # the day on which the daily meeting at nine is at eleven, out of office


def at(day: date, hour: int, zone: str = "UTC") -> int:
    """Return the instant of a whole hour of a day on a zone's clock; 24 is the next midnight."""
    return int(datetime.combine(day + timedelta(hour // 24), time(hour % 24), ZoneInfo(zone)).timestamp())


def block(number: int, hour: int, status: str = "busy") -> tuple[int, int, str]:
    return at(soon(number), hour), at(soon(number), hour + 1), status


def item(number: int, hour: int, show_as: str = "busy", *, lasting: int = 1, **more: Any) -> Item:
    start = at(soon(number), hour)
    return Item(item_id="", start=start, end=start + lasting * HOUR, show_as=show_as, **more)


def days() -> list[date]:
    window = DETAILS.window_at(clock.now())
    return [datetime.fromtimestamp(each, UTC).date() for each in range(window.start, window.end, DAY)]


def daily(*without: date) -> Line:
    hours = {day: (11, "oof") if day == MOVED else (9, "busy") for day in days() if day not in without}
    return [(at(day, hour), at(day, hour + 1), status) for day, (hour, status) in hours.items()]


def address(name: str) -> str:
    return f"{name}@sandbox.example"


def write_calendars(folder: Path) -> None:
    """Write a file for each mailbox: some have series that began long ago, the others are empty."""
    folder.mkdir()
    series = "DTSTART:20240101T090000Z\nRRULE:FREQ=DAILY\nUID:s"
    override = f"UID:s\nRECURRENCE-ID:{MOVED:%Y%m%d}T090000Z\nDTSTART:{MOVED:%Y%m%d}T110000Z"
    mondays = "DTSTART;TZID={}:20240101T090000\nRRULE:FREQ=WEEKLY\nUID:w"
    written = {
        **{name: _calendar("UTC") for name in EMPTY},
        **{name: _calendar(zone) for name, zone in ZONES.items()},
        **{name: _calendar("UTC", series, f"{override}\nX-MICROSOFT-CDO-BUSYSTATUS:OOF") for name in
           ("heavy", "rolling", "series")},
        "berlin": _calendar("Asia/Tokyo", mondays.format("Europe/Berlin")),
        "customized": _calendar("UTC", mondays.format("Customized Time Zone"), zone=CUSTOMIZED),
    }  # fmt: skip
    for name, text in written.items():
        (folder / f"{name}.ics").write_text(text.replace("\n", "\r\n"))


def _calendar(home: str, *events: str, zone: str = "") -> str:
    inner = "".join(f"BEGIN:VEVENT\n{event}\nDURATION:PT1H\nEND:VEVENT\n" for event in events)
    return f"BEGIN:VCALENDAR\nX-WR-TIMEZONE:{home}\n{zone}{inner}END:VCALENDAR\n"


class Town:
    """The org under trial, what its consumers were told, and what its directory is made to do."""

    def __init__(self, trial: Trial, told: list[dict[str, Any]]) -> None:
        self.trial, self.api, self.store = trial, trial.api, trial.store
        self.sandbox: Sandbox = trial.sandbox
        self.policy = DETAILS
        self._told = told

    def told(self, name: str = "") -> list[dict[str, Any]]:
        return [each for each in self._told if not name or each["data"].get("mailbox") == address(name)]

    def seen(self, spy: str) -> int:
        return next(order.seen for order in self.sandbox.state.faults.orders if order.fault.match == spy)

    def add(self, name: str, what: Item) -> str:
        return self.sandbox.add_event(address(name), what)

    def occurrence(self, name: str, number: int) -> str:
        items = self.sandbox.events(address(name))
        return next(each.item_id for each in items if each.start == at(soon(number), 9))

    async def availability(self, name: str) -> dict[str, Any] | None:
        """Return what consumers see of a mailbox; None for nothing."""
        try:
            return await self.api.availability(address(name))
        except aiohttp.ClientResponseError as refused:
            if refused.status not in {404, 409}:
                raise
            return None

    async def shows(self, name: str, line: Line, *, seconds: float = 30) -> dict[str, Any]:
        seen: list[dict[str, Any]] = []

        async def same() -> bool:
            seen[:] = [await self.availability(name) or {"busy": []}]
            return published_line(seen[0]) == line

        with suppress(AssertionError):
            await until(same, seconds)
        assert published_line(seen[0]) == line  # which says how they differ
        return seen[0]

    async def entry(self, name: str) -> dict[str, Any]:
        return next(each for each in await self.api.mailboxes() if each["mailbox"] == address(name))

    async def status(self) -> dict[str, Any]:
        return await self.api.status() or {}

    async def complete(self) -> bool:
        return progress(await self.api.status()).complete

    async def under(self, policy: Policy) -> None:
        if policy == self.policy:
            return
        before, self.policy = (await self.status())["generation"], policy
        await self.trial.broker.publish([PolicyChanged(org_id=self.trial.org_id, policy=policy)])
        await until(lambda: self._published_since(before))

    async def _published_since(self, generation: int) -> bool:
        query = select(func.count()).where(timelines.c.generation > generation, timelines.c.coverage == "full")
        async with self.store.read() as connection:
            return int((await connection.execute(query)).scalar_one()) >= len(self.sandbox.mailboxes())

    async def search(self) -> None:
        run, now = uuid4().hex, (await self.status())["generation"]
        await self.trial.broker.publish([MailboxEnumerate(org_id=self.trial.org_id, generation=now, run=run)])

        async def over() -> bool:
            async with self.store.read() as connection:
                row = (await connection.execute(select(enumerations))).one()
            return row.run == run and await self.complete()

        await until(over)

    async def quiet(self) -> None:
        """Wait until no subscription, no notification, no hint and no announcement is owed."""
        making = select(func.count()).where(subscriptions.c.reason.is_not(None))
        owing = select(func.count()).where(mailboxes.c.dirty | mailboxes.c.lease_id.is_not(None))
        announced = select(func.max(relay.c.position)).scalar_subquery()
        behind = select(func.count()).where(updates.c.position > announced)

        async def over() -> bool:
            waiting = self.sandbox.notifications.counts.waiting + await self.trial.broker.depth("fetcher.live")
            async with self.store.read() as connection:
                owed = [(await connection.execute(each)).scalar_one() for each in (making, owing, behind)]
            return not any((waiting, *owed))

        await until(over)

    async def holding(self, word: str) -> list[str]:
        async with self.store.read() as connection:
            kept = {each.name: (await connection.execute(select(each))).all() for each in metadata.sorted_tables}
        return [name for name, rows in kept.items() if word in repr([tuple(row) for row in rows])]  # a row's own is cut


def pass_time(seconds: int) -> None:
    """Move the clock of everything on, until the town ends."""
    now, exact = clock.now, clock.exact
    clock.now, clock.exact = (lambda: now() + seconds), (lambda: exact() + seconds)


@asynccontextmanager
async def town(folder: Path, log: TextIO) -> AsyncIterator[Town]:
    told: list[dict[str, Any]] = []
    kept = clock.now, clock.exact

    def tap(queue: str, body: bytes, _: Mapping[str, object]) -> None:
        if queue == topology.AVAILABILITY:
            told.append(json.loads(body))

    await asyncio.to_thread(write_calendars, folder / "calendars")
    spies = tuple(Fault(kind=FaultKind.SLOW, match=spy, after=10**9) for spy in SPIES)  # they never strike
    sandbox = SandboxOptions(folder=folder, calendars=folder / "calendars", canaries=True)
    options = TrialOptions(folder=folder, sandbox=sandbox, policy=DETAILS, log=log, tap=tap, faults=spies)
    try:
        async with trial(options) as started:
            made = Town(started, told)
            _inhabit(made.sandbox)
            await until(made.complete)
            await made.search()
            pass_time(6)  # who is read is looked up for subscriptions every five seconds
            await until(lambda: len(made.sandbox.subscriptions()) >= len(made.sandbox.mailboxes()))
            await made.quiet()
            yield made
    finally:
        clock.now, clock.exact = kept


def _inhabit(sandbox: Sandbox) -> None:
    for kind in (Kind.ROOM, Kind.SHARED):
        sandbox.add_user(address(kind.value), kind=kind, enabled=False, licensed=False, items=[item(0, 9)])
    sandbox.add_user(address("guest"), guest=True, licensed=False, reach=Reach.MISSING)
    sandbox.add_user(address("deleted"), enabled=False, reach=Reach.MISSING)
    sandbox.add_user(address("denied"), reach=Reach.DENIED)
    for name, reach in (("unlicensed", Reach.MISSING), ("premises", Reach.ON_PREMISES)):
        sandbox.add_user(address(name), licensed=False, reach=reach)
