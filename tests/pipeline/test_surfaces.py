"""Canaries on every HTTP surface there is: none under free/busy only, none of a private event under details."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession
from sqlalchemy import func, select

from deploy.sandbox import SandboxOptions
from deploy.sandbox.calendars import canaries_of
from services.publisher.consumers import add
from shared import clock
from shared.contracts.policy import Detail, Policy
from shared.tables import timelines
from tests.integration.every_operation import OPERATIONS, Names, ask
from tests.pipeline.embedded import Embedded, Wanted, embedded
from tests.waiting import until

MAILBOXES = 6


@asynccontextmanager
async def published(folder: Path, policy: Policy) -> AsyncIterator[Embedded]:
    """Run everything until every mailbox was published once."""
    sandbox = SandboxOptions(folder=folder, mailboxes=MAILBOXES, events=8, canaries=True)
    async with embedded(Wanted(folder=folder, sandbox=sandbox, policy=policy)) as running:
        wanted = len(running.scene.people())

        async def all_are() -> bool:
            async with running.rim.store.read() as connection:
                found = select(func.count()).select_from(timelines).where(timelines.c.coverage == "full")
                return (await connection.execute(found)).scalar_one() >= wanted

        await until(all_are, 90)
        yield running


async def everything(running: Embedded) -> bytes:
    """Return all that a consumer of the org is answered, whatever it asks, about every mailbox."""
    token = await add(running.rim.store, "curious", ["acme"], now=clock.now())
    url, day = f"http://127.0.0.1:{running.publisher_port}", clock.moment(clock.now() + 86_400)[:10]
    people = [person.address for person in running.scene.people()]
    told: list[bytes] = []
    async with ClientSession() as session:

        async def asked(address: str, name: str) -> None:
            answer = await ask(session, url, OPERATIONS[name], Names(mailbox=address, day=day), token)
            assert answer.status != 500, name
            told.append(answer.raw)

        about = {name for name, each in OPERATIONS.items() if "{address}" in each.path or each.takes is not None}
        await asyncio.gather(*(asked(people[0], name) for name in OPERATIONS.keys() - about))
        for address in people:
            await asyncio.gather(*(asked(address, name) for name in about))
    assert people[0].encode() in b"".join(told)
    return b"\n".join(told)


def marks(running: Embedded, *, private: bool) -> list[str]:
    """Return the canaries of the private events, or of the others."""
    books = running.sandbox.state.books.values()
    items = [item for book in books for item in book.unmarked(running.sandbox._far(), private=False)]
    hidden = {"private", "confidential"}
    return [mark for item in items if (item.sensitivity in hidden) is private for mark in canaries_of(item)]


async def test_under_free_busy_only_no_private_text_is_on_any_surface(tmp_path: Path) -> None:
    async with published(tmp_path, Policy()) as running:
        told = (await everything(running)).lower()
        assert len(running.sandbox.canaries) > 100
        assert [mark for mark in running.sandbox.canaries if mark.lower().encode() in told] == []


async def test_under_details_no_text_of_a_private_event_is_on_any_surface(tmp_path: Path) -> None:
    async with published(tmp_path, Policy(detail=Detail.DETAILS)) as running:
        told = (await everything(running)).lower()
        hidden, shown = marks(running, private=True), marks(running, private=False)
        assert len(hidden) > 20
        assert [mark for mark in hidden if mark.lower().encode() in told] == []
        assert [mark for mark in shown if mark.lower().encode() in told]  # or nothing was shown at all
