"""Trouble of a whole organisation, against the sandbox: doubts raised once, pauses that every replica keeps."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import update

from deploy.sandbox import Fault, FaultKind, RetryForm, Sandbox, SandboxOptions, start
from services.fetcher import runs
from services.fetcher.connect import Tenants
from services.fetcher.context import Context
from services.fetcher.enumeration import enumerate_page
from services.fetcher.handler import read
from services.fetcher.mailboxes import Mailboxes
from services.fetcher.settings import Settings
from shared import clock
from shared.broker import Delivery, Done, Outgoing
from shared.contracts.messages import ConnectionDoubted, MailboxEnumerate, MailboxRead, Message
from shared.errors import Retry
from shared.identity import Tokens
from shared.store import open_store
from shared.tables import enumerations, mailboxes, orgs
from tests.unit.fetcher.desk import Desk, opened, reach_of


@pytest.fixture
def people(request: pytest.FixtureRequest) -> int:
    return int(getattr(request, "param", 6))


@pytest.fixture
async def sandbox(tmp_path: Path, people: int) -> AsyncIterator[Sandbox]:
    started = await start(SandboxOptions(folder=tmp_path / "sandbox", mailboxes=people, events=1, others=False))
    yield started
    await started.stop()


@pytest.fixture
async def known(sandbox: Sandbox, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk whose mailboxes are found and read once."""
    reach = reach_of(sandbox)
    async with opened(sqlite_url, reach, tmp_path, settings=Settings(directory_page=5)) as desk:
        desk.enumerate()
        await desk.run()
        yield desk


@asynccontextmanager
async def replica(desk: Desk, store_url: str, sandbox: Sandbox) -> AsyncIterator[Context]:
    """Give another replica on the same store: it shares nothing with the first but that."""
    store, tokens = open_store(store_url), Tokens(ca_file=str(sandbox.ca_file))
    access = replace(desk.context.tenants._access, store=store, tokens=tokens)
    try:
        yield replace(desk.context, store=store, mailboxes=Mailboxes(store), tenants=Tenants(access))
    finally:
        tokens.close()
        await store.close()


def delivery() -> Delivery:
    return Delivery(uuid4().hex, 1, redelivered=False, published_at=clock.now())


def reading(mailbox_id: str) -> MailboxRead:
    return MailboxRead(org_id="org1", generation=1, mailbox_id=mailbox_id, since=clock.now() + 1)


def page(run: str = "", **fields: str) -> MailboxEnumerate:
    return MailboxEnumerate(org_id="org1", generation=1, run=run or uuid4().hex, **fields)


def doubts(answers: Sequence[Any]) -> list[Message | Outgoing]:
    said = [message for answer in answers if isinstance(answer, Done) for message in answer.messages]
    return [message for message in said if isinstance(message, ConnectionDoubted)]


async def ids(desk: Desk) -> list[str]:
    return [row.mailbox_id for row in (await desk.rows()).values()]


async def change(desk: Desk, **values: Any) -> None:
    async with desk.context.store.write() as connection:
        await connection.execute(update(enumerations).values(values))


@pytest.mark.parametrize("people", [50], indirect=True)
async def test_fifty_readings_turned_away_at_once_on_two_replicas_are_one_doubt(
    sandbox: Sandbox, known: Desk, sqlite_url: str
) -> None:
    names = await ids(known)
    assert len(names) == 50
    async with replica(known, sqlite_url, sandbox) as other:
        sandbox.revoke()
        contexts = [known.context, other] * 25
        work = (read(context, reading(name), delivery()) for context, name in zip(contexts, names, strict=True))
        answers = await asyncio.gather(*work, return_exceptions=True)
        assert len(doubts(answers)) == 1
        retries = [answer for answer in answers if not isinstance(answer, Done)]
        assert {(type(retry), str(retry)) for retry in retries} <= {(Retry, "tenant_paused")}
        for answer in answers:
            if isinstance(answer, Done) and answer.commit is not None:
                await answer.commit()
        asked = sandbox.requests.total
        for context in (known.context, other):
            paused = await _failed(enumerate_page(context, page(), delivery()))
            assert paused is not None
            assert paused.reason == "tenant_paused"
        assert sandbox.requests.total == asked
    async with known.context.store.read() as connection:
        rows = (await connection.execute(mailboxes.select())).all()
    assert {row.bucket for row in rows} == {"active"}


async def _failed(work: Any) -> Retry | None:
    try:
        await work
    except Retry as retry:
        return retry
    return None


@pytest.mark.parametrize("how", ["revoked", "disabled", "secret expired", "permission taken", "rejected twice"])
async def test_an_enumeration_that_is_turned_away_midway_doubts_and_comes_again(
    sandbox: Sandbox, known: Desk, how: str
) -> None:
    first = await enumerate_page(known.context, page(), delivery())
    following = next(each for each in first.messages if isinstance(each, MailboxEnumerate))
    turn_away(sandbox, known, how)
    done = await enumerate_page(known.context, following, delivery())
    doubt, again = done.messages
    assert isinstance(doubt, ConnectionDoubted)
    assert isinstance(again, Outgoing)
    assert (again.message, again.delay) == (following, 20.0)
    assert (await known.enumeration()).last_error == doubt.reason
    assert 0 < await runs.paused_until(known.context.store, "org1") - clock.now() <= 15


def turn_away(sandbox: Sandbox, known: Desk, how: str) -> None:
    match how:
        case "revoked":
            sandbox.revoke()
        case "disabled":
            sandbox.enable_app(enabled=False)
        case "secret expired":
            sandbox.expire_secret(sandbox.client_secret)
            sandbox.expire_tokens()
        case "permission taken":
            sandbox.set_roles("Calendars.Read", keep_tokens=True)
        case _:
            sandbox.order(Fault(kind=FaultKind.UNAUTHORIZED, match=r"/users\?", times=2))
    known.context.tenants._access.tokens._held.clear()  # held for a minute otherwise


async def test_a_refusal_that_a_proxy_may_have_made_doubts_nobody(sandbox: Sandbox, known: Desk) -> None:
    sandbox.order(Fault(kind=FaultKind.ERROR, status=403, code="Blocked", match=r"/users\?", times=1))
    retry = await _failed(enumerate_page(known.context, page(), delivery()))
    assert retry is not None
    assert (retry.reason, retry.counted) == ("request_refused", True)
    assert await runs.paused_until(known.context.store, "org1") == 0


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (RetryForm.INTEGER, range(28, 31)),
        (RetryForm.FRACTION, range(28, 32)),
        (RetryForm.DATE, range(27, 32)),
        (RetryForm.NONE, range(3, 6)),
    ],
)
async def test_a_throttled_directory_pauses_every_replica(
    sandbox: Sandbox, known: Desk, sqlite_url: str, form: RetryForm, expected: range
) -> None:
    names = await ids(known)
    fault = Fault(kind=FaultKind.THROTTLE, match=r"/users\?", seconds=30, retry_form=form, times=1)
    async with replica(known, sqlite_url, sandbox) as other:
        sandbox.order(fault)
        throttled = await _failed(enumerate_page(known.context, page(), delivery()))
        assert throttled is not None
        assert (throttled.reason, throttled.counted) == ("directory_throttled", False)
        asked = sandbox.requests.total
        for name, context in zip(names, (known.context, other), strict=False):
            paused = await _failed(read(context, reading(name), delivery()))
            assert paused is not None
            assert (paused.reason, paused.counted) == ("tenant_paused", False)
            assert int(paused.after) in expected
        assert sandbox.requests.total == asked


@pytest.mark.parametrize("form", list(RetryForm))
async def test_a_throttled_mailbox_waits_alone(sandbox: Sandbox, known: Desk, form: RetryForm) -> None:
    one, other, *_ = await ids(known)
    sandbox.order(Fault(kind=FaultKind.THROTTLE, mailbox=one, seconds=40, retry_form=form))
    waits = await _failed(read(known.context, reading(one), delivery()))
    assert waits is not None
    assert (waits.reason, waits.counted) == ("throttled", False)
    assert waits.after == 5.0 if form is RetryForm.NONE else 37 <= waits.after <= 41
    assert await _failed(read(known.context, reading(other), delivery())) is None
    assert await runs.paused_until(known.context.store, "org1") == 0


async def test_a_pause_by_a_clock_gone_wrong_is_not_waited_for_for_ever(known: Desk) -> None:
    await change(known, paused_until=clock.now() + 365 * 86_400)
    known.context.tenants._pauses.drop("org1")
    retry = await _failed(read(known.context, reading((await ids(known))[0]), delivery()))
    assert retry is not None
    assert retry.after <= 600
    await known.context.tenants.pause("org1", until=clock.now() + 15)
    assert await runs.paused_until(known.context.store, "org1") <= clock.now() + 15


async def test_a_tenant_is_paused_no_longer_than_the_longest_pause_whatever_was_ordered(known: Desk) -> None:
    await known.context.tenants.pause("org1", until=clock.now() + 86_400)
    assert 590 < await runs.paused_until(known.context.store, "org1") - clock.now() <= 600


async def test_an_organisation_back_from_attention_does_not_wait_for_an_old_pause(known: Desk) -> None:
    await change(known, paused_until=clock.now() + 400)
    org = await known.context.tenants.org("org1")
    assert org is not None
    assert await known.context.tenants.doubt("org1", now=clock.now() - 16)
    await set_state(known, "attention")
    assert await enumerate_page(known.context, page(), delivery()) == Done()
    await set_state(known, "connected")
    known.context.tenants._pauses.drop("org1")
    done = await enumerate_page(known.context, page(), delivery())
    assert [type(message) for message in done.messages][-1:] == [MailboxEnumerate]


async def set_state(known: Desk, state: str) -> None:
    async with known.context.store.write() as connection:
        await connection.execute(update(orgs).values(state=state))
    known.context.tenants._orgs.drop("org1")
