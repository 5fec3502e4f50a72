"""What an Exchange server does wrong, or will not do: throttling ends, one mailbox's trouble is that one's alone."""

import threading
from pathlib import Path

import pytest

from deploy.sandbox import Fault, FaultKind, RetryForm
from deploy.sandbox.calendar import Item
from deploy.sandbox.directory import Reach
from services.fetcher import runs
from services.fetcher.settings import Settings
from shared import clock
from shared.contracts.messages import ListSource
from shared.contracts.policy import Policy
from shared.contracts.values import DAY
from tests.pipeline.exchange import DETAILS, FREE_BUSY, HOUR, organisation
from tests.waiting import until

READS = "SyncFolderItems|FindItem|GetItem|GetUserAvailability"
MANY = 48
DENSE = 1500
DENSE_ONE = "z.dense@sandbox.example"


@pytest.mark.parametrize("form", [RetryForm.INTEGER, RetryForm.HTTP, RetryForm.INNER, RetryForm.NONE])
async def test_readings_end_although_the_server_is_busy_every_third_time(tmp_path: Path, form: RetryForm) -> None:
    mailboxes = MANY if form is RetryForm.INTEGER else 8
    async with organisation(tmp_path, policy=DETAILS, connects=False, mailboxes=mailboxes) as made:
        await made.stands("connected")
        made.sandbox.order(Fault(kind=FaultKind.THROTTLE, match=READS, every=3, seconds=0.2, retry_form=form))
        await made.settled(within=60)
        (order,) = made.sandbox.state.faults.orders
        assert order.struck >= mailboxes
        assert made.sandbox.requests.peaks["EWS"] <= Settings().exchange_requests
        assert {bucket for bucket, _ in (await made.buckets()).values()} == {"active"}
    await until(lambda: not _at_the_server())


async def test_free_and_busy_time_is_read_although_the_server_is_busy_every_third_time(tmp_path: Path) -> None:
    async with organisation(tmp_path, connects=False, mailboxes=MANY) as made:
        await made.stands("connected")
        made.sandbox.order(Fault(kind=FaultKind.THROTTLE, match=READS, every=3, seconds=0.2))
        await made.settled(within=60)
        (order,) = made.sandbox.state.faults.orders
        assert 2 <= order.struck < MANY
    await until(lambda: not _at_the_server())


async def test_a_mailbox_whose_server_is_always_busy_fails_after_a_bounded_number_of_requests(tmp_path: Path) -> None:
    settings = Settings(tries=3)
    async with organisation(tmp_path, policy=DETAILS, fetcher=settings, connects=False) as made:
        unlucky = made.addresses()[-1]
        made.sandbox.order(Fault(kind=FaultKind.THROTTLE, match=READS, mailbox=unlucky, seconds=0.1))

        async def failed() -> bool:
            return (await made.buckets()).get(unlucky) == ("failing", "server_busy")

        await until(failed)
        assert (await made.scene.differences()).keys() == {unlucky}
        (order,) = made.sandbox.state.faults.orders
        assert 3 <= order.struck <= 3 * 4  # each try waits out three brief pauses
        row = (await made.rows())[unlucky]
        assert row.due_at > clock.now() + 10 * 60
        assert await made.broker.parked() == []


async def test_who_may_not_be_acted_as_is_denied_and_who_has_no_calendar_has_no_mailbox(tmp_path: Path) -> None:
    outside, gone, missing = (f"z.{name}@sandbox.example" for name in ("outside", "gone", "missing"))
    expected: dict[str, tuple[str, str | None]] = {
        outside: ("denied", "impersonation_denied"),
        gone: ("no_mailbox", "no_calendar"),
        missing: ("no_mailbox", "no_mailbox"),
    }
    async with organisation(tmp_path, policy=DETAILS, connects=False) as made:
        expected |= dict.fromkeys(made.addresses(), ("active", None))
        for address in (outside, gone, missing):
            made.sandbox.add_user(address)
        made.sandbox.change_user(missing, reach=Reach.MISSING)
        made.sandbox.ews.change_members(add=(gone,))
        made.sandbox.order(Fault(kind=FaultKind.ERROR, match=READS, mailbox=gone, code="ErrorFolderNotFound"))
        await made.connect(made.way_in(directory=(ListSource(addresses=tuple(expected)),)))

        async def judged() -> bool:
            return await made.buckets() == expected

        await until(judged)


async def test_a_mailbox_that_leaves_the_scope_is_doubted_once_and_then_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_DOUBT", 1)  # seconds that the organisation is left alone while it is verified
    async with organisation(tmp_path, policy=DETAILS) as made:
        leaver = made.addresses()[-1]
        made.sandbox.ews.change_members(remove=(leaver,))
        before = made.sandbox.requests.kinds["EWS ResolveNames"]
        await made.read_again()
        await made.stands("connected")

        async def verified() -> bool:
            return made.sandbox.requests.kinds["EWS ResolveNames"] > before

        await until(verified)
        await made.read_again()

        async def denied() -> bool:
            return (await made.buckets())[leaver] == ("denied", "impersonation_denied")

        async def untold() -> bool:
            return (await made.scene.differences()).keys() == {leaver}

        await until(denied)
        await until(untold)
        assert made.failed_sign_ins() == 0


@pytest.mark.parametrize("policy", [FREE_BUSY, DETAILS], ids=["free-busy", "details"])
async def test_a_dense_calendar_is_read_whole(tmp_path: Path, policy: Policy) -> None:
    async with organisation(tmp_path, policy=policy, connects=False, mailboxes=2) as made:
        first = clock.now() - clock.now() % DAY - 20 * DAY
        starts = range(first, first + DENSE * HOUR, HOUR)
        items = [Item(item_id=f"dense{start}", start=start, end=start + HOUR // 2, show_as="busy") for start in starts]
        made.sandbox.add_user(DENSE_ONE, items=items)
        made.sandbox.ews.change_members(add=(DENSE_ONE,))
        await made.settled()
        assert len((await made.scene.told())[DENSE_ONE].line) == DENSE


def _at_the_server() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ews")]
