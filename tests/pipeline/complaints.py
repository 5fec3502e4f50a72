"""A town for the tests of complaints: one org around the sandbox in one process, a mailbox for each complaint.

Calendars come from files written here; spies count requests that must never be made; the clock may be moved on.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4
from zoneinfo import ZoneInfo

import aiohttp
from sqlalchemy import and_, func, select

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
from shared.tables import enumerations, mailboxes, metadata, orgs, timelines
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
CUSTOMIZED = """BEGIN:VTIMEZONE
TZID:Customized Time Zone
BEGIN:STANDARD
DTSTART:20071104T020000
RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=11
TZOFFSETFROM:-0400
TZOFFSETTO:-0500
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:20070311T020000
RRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
END:DAYLIGHT
END:VTIMEZONE
"""  # the rules of New York under a name nobody knows


def soon(number: int) -> date:
    return TODAY + timedelta(number)


MOVED = soon(2)  # the day on which the daily meeting at nine is at eleven, out of office


def at(day: date, hour: int, zone: str = "UTC") -> int:
    """Return the instant of a whole hour of a day on a zone's clock; 24 is the next day's midnight."""
    return int(datetime.combine(day + timedelta(hour // 24), time(hour % 24), ZoneInfo(zone)).timestamp())


def block(number: int, hour: int, status: str = "busy") -> tuple[int, int, str]:
    """Return the block that a meeting of an hour, so many days ahead, is published as."""
    return at(soon(number), hour), at(soon(number), hour + 1), status


def item(number: int, hour: int, show_as: str = "busy", **more: Any) -> Item:
    """Return a meeting of an hour, so many days ahead, in UTC."""
    return Item(item_id="", start=at(soon(number), hour), end=at(soon(number), hour + 1), show_as=show_as, **more)


def days() -> list[date]:
    """Return the UTC days of the window."""
    window = DETAILS.window_at(clock.now())
    return [datetime.fromtimestamp(each, UTC).date() for each in range(window.start, window.end, DAY)]


def daily(*without: date) -> Line:
    """Return what the daily meeting at nine must be published as, without those deleted."""
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
        """Return the announcements about a mailbox, or all, in their order."""
        return [each for each in self._told if not name or each["data"].get("mailbox") == address(name)]

    def seen(self, spy: str) -> int:
        """Return how many requests a spy saw."""
        return next(order.seen for order in self.sandbox.state.faults.orders if order.fault.match == spy)

    def readings(self, name: str) -> int:
        return self.sandbox.requests.views[address(name)]

    def add(self, name: str, what: Item) -> str:
        """Put a meeting into a mailbox, and return its id."""
        return self.sandbox.add_event(address(name), what)

    def occurrence(self, name: str, number: int) -> str:
        """Return the id of the daily meeting so many days ahead."""
        items = self.sandbox.events(address(name))
        return next(each.item_id for each in items if each.start == at(soon(number), 9))

    async def availability(self, name: str) -> dict[str, Any] | None:
        """Return what consumers see of a mailbox; None where they are refused an answer."""
        try:
            return await self.api.availability(address(name))
        except aiohttp.ClientResponseError as refused:
            assert refused.status in {404, 409}
            return None

    async def shows(self, name: str, line: Line, *, seconds: float = 8) -> dict[str, Any]:
        """Wait until a mailbox's blocks are exactly these, and return what consumers see."""
        found = await self.availability(name)
        end = asyncio.get_running_loop().time() + seconds
        while found is None or published_line(found) != line:
            if asyncio.get_running_loop().time() > end:
                assert (published_line(found) if found else None) == line  # which says how they differ
            await asyncio.sleep(0.02)
            found = await self.availability(name)
        return found

    async def entry(self, name: str) -> dict[str, Any]:
        """Return a mailbox's row in the listing."""
        return next(each for each in await self.api.mailboxes() if each["mailbox"] == address(name))

    async def status(self) -> dict[str, Any]:
        found = await self.api.status()
        assert found is not None
        return found

    async def said(self, name: str, **words: Any) -> None:
        """Wait until the listing says this of a mailbox."""

        async def says() -> bool:
            return (await self.entry(name)).items() >= words.items()

        await until(says)

    async def under(self, policy: Policy) -> None:
        """Change the policy, if it is another one, and wait until all is read and published under it."""
        if policy == self.policy:
            return
        before, self.policy = (await self.status())["generation"], policy
        await self.trial.broker.publish([PolicyChanged(org_id=self.trial.org_id, policy=policy)])
        await until(lambda: self._published_since(before))

    async def _published_since(self, generation: int) -> bool:
        same = and_(timelines.c.mailbox_id == mailboxes.c.mailbox_id, timelines.c.generation > generation)
        query = select(func.count()).select_from(mailboxes.outerjoin(timelines, same))
        query = query.where(mailboxes.c.bucket == "active", timelines.c.mailbox_id.is_(None))
        async with self.store.read() as connection:
            risen = bool((await connection.execute(select(orgs.c.generation))).scalar_one() > generation)
            return risen and (await connection.execute(query)).scalar_one() == 0

    async def search(self) -> None:
        """Search the directory anew, and wait until whoever was found is read."""
        run, generation = uuid4().hex, (await self.status())["generation"]
        await self.trial.broker.publish(
            [MailboxEnumerate(org_id=self.trial.org_id, generation=generation, run=run)]
        )  # fmt: skip

        async def over() -> bool:
            async with self.store.read() as connection:
                row = (await connection.execute(select(enumerations))).one()
            return row.run == run and progress(await self.api.status()).complete

        await until(over)

    async def quiet(self) -> None:
        """Wait until every notification has arrived and no hint waits for its reading."""
        owing = select(func.count()).where(mailboxes.c.dirty | mailboxes.c.lease_id.is_not(None))

        async def over() -> bool:
            arrived = self.sandbox.notifications.counts.waiting == 0
            async with self.store.read() as connection:
                return arrived and (await connection.execute(owing)).scalar_one() == 0

        await until(over)

    async def holding(self, word: str, *, but: frozenset[str] = frozenset()) -> list[str]:
        """Return the tables that hold a word anywhere."""
        async with self.store.read() as connection:
            kept = {each.name: repr((await connection.execute(select(each))).all()) for each in metadata.sorted_tables}
        return [name for name, rows in kept.items() if word in rows and name not in but]


def pass_time(seconds: int) -> None:
    """Move the clock of everything on, until the town ends."""
    now, exact = clock.now, clock.exact
    clock.now, clock.exact = (lambda: now() + seconds), (lambda: exact() + seconds)


@asynccontextmanager
async def town(folder: Path, log: TextIO) -> AsyncIterator[Town]:
    """Run a town whose mailboxes are read and subscribed."""
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
            await until(lambda: _connected(made))
            await made.search()
            pass_time(6)  # who is read is looked up for subscriptions every five seconds
            await until(lambda: len(made.sandbox.subscriptions()) >= len(made.sandbox.mailboxes()))
            await made.quiet()
            yield made
    finally:
        clock.now, clock.exact = kept


async def _connected(made: Town) -> bool:
    return progress(await made.api.status()).complete


def _inhabit(sandbox: Sandbox) -> None:
    """Add a room, a shared mailbox, and every sort of object that is none to read."""
    sandbox.add_user(address("room"), kind=Kind.ROOM, enabled=False, licensed=False, items=[item(0, 9)])
    sandbox.add_user(address("shared"), kind=Kind.SHARED, enabled=False, licensed=False, items=[item(0, 9)])
    sandbox.add_user(address("guest"), guest=True, licensed=False, reach=Reach.MISSING)
    sandbox.add_user(address("unlicensed"), licensed=False, reach=Reach.MISSING)
    sandbox.add_user(address("deleted"), enabled=False, reach=Reach.MISSING)
    sandbox.add_user(address("premises"), licensed=False, reach=Reach.ON_PREMISES)
    sandbox.add_user(address("denied"), reach=Reach.DENIED)
