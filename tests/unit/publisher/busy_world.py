"""A publisher to whom things happen: readings, removals, policies, departures, forgetting; each step is one word."""

import random
from collections.abc import Sequence

import msgspec
from sqlalchemy import delete, func, select, update

from services.publisher.consumers import add
from services.publisher.departure import depart
from services.publisher.plan import Found
from services.publisher.relay import NAME
from services.publisher.retention import forget_old
from services.publisher.timelines import publish
from shared.contracts.messages import MailboxUnreadable
from shared.contracts.values import DAY, Block, Bucket, Status, Window
from shared.store import Store
from shared.tables import consumers, orgs, relay, timelines, updates
from tests.unit.publisher.readings import HOUR, MONDAY, connect, event, snapshot, unreadable

ORGS = ("acme", "beta")
WEEK = Window(MONDAY, MONDAY + 14 * DAY)
STEPS = (
    "publish",
    "publish",
    "publish",
    "publish",
    "publish",
    "move",
    "fail",
    "remove",
    "erase",
    "policy",
    "stricter",
    "depart",
    "forget",
)


class World:
    """Two orgs with a few mailboxes each, and one consumer that may see both."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.chance = random.Random(1)
        self.generations = dict.fromkeys(ORGS, 1)
        self.version = 0
        self.lines: dict[tuple[str, str], dict[int, Block]] = {}
        self.token = ""

    async def begin(self, chance: random.Random, *scope: str) -> None:
        """Empty the store; connect both orgs; add the consumer."""
        self.__init__(self.store)  # type: ignore[misc]
        self.chance = chance
        async with self.store.write() as connection:
            for table in (timelines, updates, orgs, consumers, relay):
                await connection.execute(delete(table))
        for org_id in ORGS:
            await connect(self.store, org_id)
        self.token = await add(self.store, "app", scope or ORGS, now=MONDAY)

    async def step(self, word: str) -> None:
        """Do one thing."""
        match word:
            case "policy" | "stricter":
                await self.policy(self.org(), stricter=word == "stricter")
            case "depart":
                await self.depart(self.org())
            case "forget":
                await self.forget()
            case _:
                await self.put(self.found(word))

    def found(self, word: str) -> Found:
        """Return what comes of a mailbox."""
        match word:
            case "move":
                days = self.chance.randint(-3, 9)
                return self.reading(window=Window(WEEK.start + days * DAY, WEEK.end + (days + 2) * DAY))
            case "fail":
                return self.trouble(self.chance.choice([Bucket.FAILING, Bucket.DENIED]))
            case "remove":
                return self.trouble(self.chance.choice([Bucket.REMOVED, Bucket.EXCLUDED]))
            case "erase":
                return msgspec.structs.replace(self.trouble(Bucket.EXCLUDED), reason="erased")
            case _:
                return self.reading()

    def org(self) -> str:
        """Choose an org."""
        return self.chance.choice(ORGS)

    def reading(self, org_id: str = "", mailbox_id: str = "", *, window: Window = WEEK) -> Found:
        """Return a new reading of some mailbox."""
        org_id = org_id or self.org()
        mailbox_id = mailbox_id or self.mailbox()
        self.version += 1
        line = self.lines.setdefault((org_id, mailbox_id), {})  # by the day: one changes, so that little is told
        day, hour = self.chance.randint(0, 15), self.chance.randint(0, 22)
        line[day] = Block(WEEK.start + day * DAY + hour * HOUR, WEEK.start + day * DAY + (hour + 1) * HOUR, Status.BUSY)
        return snapshot(
            *(line[day] for day in sorted(line) if window.start <= line[day].start < window.end),
            version=self.version,
            org_id=org_id,
            mailbox_id=mailbox_id,
            generation=self.generations[org_id],
            window=window,
            events=(event(10, 12, "plan"), event(200, 202)) if self.chance.random() < 0.2 else None,
        )

    def mailbox(self) -> str:
        """Choose a mailbox."""
        return f"m-{self.chance.randint(1, 3)}"

    def trouble(self, bucket: Bucket) -> MailboxUnreadable:
        """Return word that some mailbox cannot be read, or must not."""
        org_id = self.org()
        self.version += 1
        mailbox_id = self.mailbox()
        return unreadable(
            bucket, version=self.version, org_id=org_id, mailbox_id=mailbox_id, generation=self.generations[org_id]
        )

    async def put(self, *found: Found) -> None:
        """Publish readings."""
        await publish(self.store, found, now=MONDAY)

    async def policy(self, org_id: str, *, stricter: bool) -> None:
        """Raise an org's generation."""
        self.generations[org_id] += 1
        generation = self.generations[org_id]
        values = {"generation": generation} | ({"shown_from": generation} if stricter else {})
        async with self.store.write() as connection:
            await self.store.publication_lock(connection)
            await connection.execute(update(orgs).where(orgs.c.org_id == org_id).values(values))

    async def depart(self, org_id: str) -> None:
        """Have an org leave; most often it comes back, and is given to the consumer again."""
        self.generations[org_id] += 1
        await connect(self.store, org_id, generation=self.generations[org_id], state="disconnecting")
        await depart(self.store, org_id, self.generations[org_id], now=MONDAY)
        async with self.store.write() as connection:
            await connection.execute(delete(orgs).where(orgs.c.org_id == org_id))
        if self.chance.random() < 0.8:
            await self.come_back(org_id)

    async def come_back(self, org_id: str) -> None:
        """Connect an org that left, and give it to the consumer."""
        self.generations[org_id] += 1
        scope = select(consumers.c.orgs)
        async with self.store.write() as connection:
            held = msgspec.json.decode((await connection.execute(scope)).scalar_one(), type=list[str])
            again = held if "*" in held else sorted({*held, org_id})
            await connection.execute(update(consumers).values(orgs=msgspec.json.encode(again).decode()))
        await connect(self.store, org_id, generation=self.generations[org_id])

    async def forget(self) -> None:
        """Have all of the log grow old."""
        async with self.store.write() as connection:
            last = (await connection.execute(select(func.max(updates.c.position)))).scalar_one() or 0
            cursor = self.store.upsert(relay).values(name=NAME, position=last)
            await connection.execute(cursor.on_conflict_do_update(index_elements=["name"], set_={"position": last}))
        await forget_old(self.store, before=MONDAY + DAY)

    async def settle(self) -> Sequence[str]:
        """Read everything under the present policies, and return which orgs are there."""
        query = select(timelines.c.org_id, timelines.c.mailbox_id, timelines.c.generation, timelines.c.bucket)
        async with self.store.read() as connection:
            rows = (await connection.execute(query)).all()
            here = (await connection.execute(select(orgs.c.org_id))).scalars().all()
        for row in rows:
            if row.org_id in here and row.generation < self.generations[row.org_id] and row.bucket == "active":
                await self.put(self.reading(row.org_id, row.mailbox_id))
        for row in rows:
            if row.org_id in here and row.bucket in ("failing", "denied"):
                await self.put(self.reading(row.org_id, row.mailbox_id))
        return here
