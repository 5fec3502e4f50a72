"""One org under trial: its calendars in the sandbox, what is published of it, and whether the two agree.

What is published is read from the store in one statement; that HTTP says the same has tests of its own.
"""

import asyncio
import time
from collections.abc import Mapping
from random import Random

import asyncpg
import msgspec
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from deploy.sandbox import Sandbox
from deploy.sandbox.calendar import Item
from deploy.sandbox.directory import Person
from shared import clock
from shared.broker import Parked
from shared.contracts.policy import Policy
from shared.contracts.values import Window
from shared.store import Store
from shared.tables import timelines
from tests.pipeline import oracle
from tests.pipeline.expected import wider

SHOWN = ("busy", "tentative", "oof", "workingElsewhere", "free")
AWAY = (SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Told(msgspec.Struct, frozen=True):
    """What is published of one mailbox with full coverage."""

    window: Window
    as_of: int
    line: oracle.Line


class Scene:
    """Compares what is published of one org with an evaluation of its own of the same calendars."""

    def __init__(self, sandbox: Sandbox, store: Store, *, org_id: str, policy: Policy, tenant: str = "") -> None:
        """Take the org and its tenant in the sandbox; the first tenant where none is named."""
        self.sandbox = sandbox
        self.store = store
        self.org_id = org_id
        self.policy = policy
        self.tenant = tenant
        self._chance = Random(org_id)
        self._made: dict[str, list[str]] = {}
        self._known: dict[tuple[str, int, Window], oracle.Line] = {}

    def people(self) -> list[Person]:
        """Return those whose mailboxes must be readable."""
        return self.sandbox.mailboxes(tenant=self.tenant)

    def stir(self, count: int) -> None:
        """Add, move or delete a coming event of so many mailboxes, drawn by lot."""
        people = self.people()
        for _ in range(count):
            self._stir(self._chance.choice(people).address)

    def _stir(self, address: str) -> None:
        made, chance = self._made.setdefault(address, []), self._chance
        lot = chance.random()
        if not made or lot < 0.5:
            start = clock.now() - clock.now() % 900 + chance.randrange(-10 * 96, 60 * 96) * 900
            item = Item(
                item_id="", start=start, end=start + chance.randrange(1, 16) * 900, show_as=chance.choice(SHOWN)
            )
            made.append(self.sandbox.add_event(address, item, tenant=self.tenant))
        elif lot < 0.75:
            self.sandbox.move_event(
                address, chance.choice(made), seconds=chance.randrange(-8, 9) * 900, tenant=self.tenant
            )
        else:
            self.sandbox.delete_event(address, made.pop(), tenant=self.tenant)

    async def told(self) -> dict[str, Told]:
        """Return address -> what is published, of every mailbox with full coverage."""
        query = select(timelines).where(timelines.c.org_id == self.org_id, timelines.c.coverage == "full")
        async with self.store.read() as connection:
            rows = (await connection.execute(query)).all()
        return {
            row.address: Told(
                Window(row.window_start, row.window_end),
                row.as_of,
                [(start, end, status) for start, end, status in msgspec.json.decode(row.blocks)],
            )
            for row in rows
        }

    async def differences(self) -> dict[str, str]:
        """Return address -> how what is published of it differs from its calendar; empty where all agree."""
        try:
            told = await self.told()
        except AWAY as error:
            return {"": type(error).__name__}
        people = {person.address: person for person in self.people()}
        found = dict.fromkeys(told.keys() - people.keys(), "told of somebody who is not read")
        for address, person in people.items():
            if how := self._difference(person, told):
                found[address] = how
        return found

    def _difference(self, person: Person, told: Mapping[str, Told]) -> str:
        known = told.get(person.address)
        if known is None:
            return "nothing is told"
        if known.window != self.policy.window_at(clock.now()):
            return "another window"
        return "" if known.line == self.line(person, known.window) else "another line"

    def line(self, person: Person, window: Window) -> oracle.Line:
        """Return what must be published of a person, kept until the calendar changes."""
        where = (
            self.sandbox.state.tenant(self.tenant) if self.tenant else next(iter(self.sandbox.state.tenants.values()))
        )
        assert where is not None
        key = (person.user_id, self.sandbox.state.book(where, person).revision, window)
        if key not in self._known:
            items = self.sandbox.events(person.address, tenant=self.tenant, window=wider(window))
            self._known[key] = oracle.blocks(items, window, person.time_zone)
        return self._known[key]

    async def agrees(self, *, within: float = 120) -> None:
        """Wait until what is published is what the calendars say. Raises AssertionError, naming what differs."""
        end = time.monotonic() + within
        while found := await self.differences():
            if time.monotonic() > end:
                some = dict(sorted(found.items())[:5])
                raise AssertionError(f"{len(found)} mailboxes differ after {within:.0f} s: {some}")
            await asyncio.sleep(0.1)


def said(parked: list[Parked]) -> list[tuple[str, str, str]]:
    """Return what is parked as (queue, reason, where), to be read in a failure."""
    return sorted((letter.queue, letter.reason, letter.where) for letter in parked)
