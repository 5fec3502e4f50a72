"""Storms of hints through the real handler, loop and polling: few readings, the last change seen, others in time."""

import asyncio
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest
from aiohttp import web

import services.fetcher.polling
from services.fetcher import handler
from services.fetcher.settings import Settings
from shared import clock
from shared.contracts.values import DAY
from tests.unit.fetcher.lanes import Lanes, lanes, page
from tests.waiting import until


def slow(at_work: Lanes, name: str, gate: asyncio.Event) -> None:
    """Let Graph say of a mailbox what it held when asked, and say so only once the gate is open."""

    async def reply(_: web.Request) -> web.Response:
        body = page(at_work.calendars[name])
        await gate.wait()
        return web.json_response(body)

    at_work.server.reply(f"/users/{name}/calendarView", reply)


def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the clock stand still, and return what moves it by so many seconds."""
    at = [clock.exact()]
    monkeypatch.setattr(clock, "exact", lambda: at[-1])
    monkeypatch.setattr(clock, "now", lambda: int(at[-1]))
    return lambda seconds: at.append(at[-1] + seconds)


async def test_a_thousand_hints_cause_two_readings_and_the_last_change_is_seen(store_url: str) -> None:
    gate = asyncio.Event()
    async with lanes(store_url) as at_work:
        await at_work.add("hot")
        slow(at_work, "hot", gate)
        await at_work.hint("hot")
        await until(lambda: at_work.asked("hot") == 1)
        at_work.calendars["hot"] = 2  # after the first reading looked
        await asyncio.gather(*(at_work.hint(*["hot"] * 100) for _ in range(10)))
        await until(lambda: at_work.handled == 1000, 100)
        gate.set()
        await until(lambda: at_work.seen("hot") == [1, 2])
        await at_work.quiet()
        assert at_work.asked("hot") == 2
        assert [each.live for each in at_work.snapshots] == [True, True]


async def test_hints_after_a_quick_reading_wait_out_the_second_in_one_hand(sqlite_url: str) -> None:
    async with lanes(sqlite_url, polling=False) as at_work:
        await at_work.add("hot")
        begun = clock.exact()
        await at_work.hint("hot")
        await until(lambda: len(at_work.snapshots) == 1)
        await at_work.quiet()
        at_work.calendars["hot"] = 2
        await at_work.hint(*["hot"] * 200)
        await at_work.quiet()
        before, *after = at_work.seen("hot")
        assert (before, set(after)) == (1, {2})
        assert clock.exact() - begun >= 0.9 * len(after), "one reading a second, however long the hints take to come"


async def test_a_change_while_a_reading_is_under_way_is_read_as_soon_as_it_ends(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.fetcher.polling, "INTERVAL", 600.0)  # polling looks again only when told to
    gate = asyncio.Event()
    async with lanes(sqlite_url) as at_work:
        await at_work.add("one")
        slow(at_work, "one", gate)
        await at_work.hint("one")
        await until(lambda: at_work.asked("one") == 1)
        at_work.calendars["one"] = 5
        await at_work.hint("one")
        await until(lambda: _dirty(at_work, "one"))
        gate.set()
        await until(lambda: at_work.seen("one") == [1, 5])


async def _dirty(at_work: Lanes, name: str) -> bool:
    return bool((await at_work.row(name)).dirty)


async def test_a_hot_mailbox_does_not_keep_others_waiting(sqlite_url: str) -> None:
    never = asyncio.Event()
    others = [f"calm{number}" for number in range(5)]
    async with lanes(sqlite_url, settings=Settings(readings=2)) as at_work:
        await at_work.add("hot", *others)
        slow(at_work, "hot", never)
        await at_work.hint(*["hot"] * 100, *others, *["hot"] * 100)
        await until(lambda: all(at_work.seen(each) == [1] for each in others))
        assert at_work.seen("hot") == []
        never.set()
        await until(lambda: len(at_work.seen("hot")) == 2)


async def test_mailboxes_that_wait_out_their_second_leave_hands_for_others(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    move, over = stopped_clock(monkeypatch), asyncio.Event()
    monkeypatch.setattr(handler, "asyncio", SimpleNamespace(sleep=lambda _: over.wait()))
    hot = [f"hot{number}" for number in range(6)]
    async with lanes(sqlite_url, settings=Settings(readings=2)) as at_work:
        await at_work.add(*hot, "calm")
        await at_work.set_row(*hot, started_ms=int(clock.exact() * 1000))
        await at_work.hint(*hot, "calm")
        await until(lambda: at_work.seen("calm") == [1])
        assert [at_work.asked(each) for each in hot] == [0] * 6
        move(3.0)
        over.set()
        await until(lambda: all(at_work.seen(each) == [1] for each in hot))
        assert [at_work.asked(each) for each in hot] == [1] * 6


async def test_a_poll_goes_the_backfill_lane_and_is_no_hint_for_those_after(sqlite_url: str) -> None:
    async with lanes(sqlite_url) as at_work:
        await at_work.add("idle", due_at=clock.now() - 5)
        await until(lambda: at_work.seen("idle") == [1])
        assert [each.live for each in at_work.snapshots] == [False]
        await at_work.quiet()
        assert (await at_work.row("idle")).due_at > clock.now() + 200


async def test_the_window_rolls_with_the_utc_day(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    midnight = clock.now() - clock.now() % DAY + DAY
    off = midnight - 120 - clock.exact()
    real = {"now": clock.now, "exact": clock.exact}

    def set_off(seconds: float) -> None:
        monkeypatch.setattr(clock, "exact", lambda: real["exact"]() + seconds)
        monkeypatch.setattr(clock, "now", lambda: int(real["exact"]() + seconds))

    set_off(off)
    async with lanes(sqlite_url) as at_work:
        await at_work.add("one", due_at=midnight - 121, subscribed_until=midnight + 3 * DAY)
        await until(lambda: len(at_work.snapshots) == 1)
        await at_work.quiet()
        before = at_work.snapshots[0]
        due_at = (await at_work.row("one")).due_at
        assert midnight <= due_at < midnight + 3600, "sooner than the six hours of a mailbox that sends hints"
        set_off(off + due_at + 1 - clock.exact())
        await until(lambda: len(at_work.snapshots) == 2)
        after = at_work.snapshots[1]
        assert (after.window.start, after.window.end) == (before.window.start + DAY, before.window.end + DAY)


def refuse(at_work: Lanes, name: str, status: int, code: str) -> None:
    body = {"error": {"code": code}}
    at_work.server.reply(f"/users/{name}/calendarView", partial(_refused, body, status))


def _refused(body: dict[str, dict[str, str]], status: int, _: web.Request) -> web.Response:
    return web.json_response(body, status=status)


async def test_the_first_denial_of_a_good_mailbox_is_doubted_and_the_second_believed(sqlite_url: str) -> None:
    async with lanes(sqlite_url) as at_work:
        await at_work.add("one", read_at=clock.now() - 60, read_generation=1)
        refuse(at_work, "one", 403, "ErrorAccessDenied")
        await at_work.hint("one")
        await until(lambda: len(at_work.doubts) == 1)
        await at_work.quiet()
        row = await at_work.row("one")
        assert (row.bucket, row.failures, row.waiting) == ("active", 1, "access_denied")
        assert clock.now() + 15 < row.due_at == row.retry_at <= clock.now() + 20
        assert at_work.unreadable == []
        await at_work.set_row("one", due_at=clock.now())
        await until(lambda: len(at_work.unreadable) == 1)
        await at_work.quiet()
        row = await at_work.row("one")
        assert (row.bucket, row.reason, row.due_at, row.waiting) == ("denied", "access_denied", None, None)


async def test_a_mailbox_never_read_that_denies_itself_puts_no_connection_in_doubt(sqlite_url: str) -> None:
    async with lanes(sqlite_url) as at_work:
        await at_work.add("one")
        refuse(at_work, "one", 403, "ErrorAccessDenied")
        await at_work.hint("one")
        await until(lambda: len(at_work.unreadable) == 1)
        await at_work.quiet()
        assert ((await at_work.row("one")).bucket, at_work.doubts) == ("denied", [])


@pytest.mark.parametrize(
    ("read_at", "bucket"), [(None, "no_mailbox"), (1, "failing")], ids=["never read", "read before"]
)
async def test_a_mailbox_read_before_is_not_removed_because_a_reading_does_not_find_it(
    sqlite_url: str, read_at: int | None, bucket: str
) -> None:
    async with lanes(sqlite_url) as at_work:
        await at_work.add("one", read_at=read_at, read_generation=read_at)
        refuse(at_work, "one", 404, "MailboxNotEnabledForRESTAPI")
        await at_work.hint("one")
        await until(lambda: len(at_work.unreadable) == 1)
        await at_work.quiet()
        row = await at_work.row("one")
        assert (row.bucket, row.reason, at_work.unreadable[0].bucket) == (bucket, "no_mailbox", bucket)
        assert (row.due_at is not None) is (bucket == "failing"), "it is looked for again"


async def test_being_turned_away_as_an_organisation_says_nothing_of_the_mailbox(sqlite_url: str) -> None:
    async with lanes(sqlite_url) as at_work:
        await at_work.add("one", "two")
        for name in ("one", "two"):
            refuse(at_work, name, 401, "InvalidAuthenticationToken")
        await at_work.hint("one", "two")
        await until(lambda: at_work.asked("one") >= 2 and at_work.asked("two") >= 2)  # once more with a fresh token
        await at_work.quiet()
        assert [(each.org_id, each.generation, each.reason) for each in at_work.doubts] == [
            ("org1", 1, "token_rejected")
        ]
        for name in ("one", "two"):
            row = await at_work.row(name)
            assert (row.bucket, row.failures, row.waiting, row.lease_id) == ("active", 0, "token_rejected", None)
            assert clock.now() + 15 < row.due_at <= clock.now() + 20
        assert await at_work.broker.parked() == []


async def test_a_hint_that_comes_while_the_organisation_needs_attention_is_answered_afterwards(sqlite_url: str) -> None:
    async with lanes(sqlite_url) as at_work:
        await at_work.add("one")
        await at_work.set_org(state="attention")
        await at_work.hint("one")
        await until(lambda: _dirty(at_work, "one"))
        assert at_work.asked("one") == 0
        await at_work.set_org(state="connected")
        await until(lambda: at_work.seen("one") == [1])
        assert at_work.snapshots[0].live


async def test_a_mailbox_that_keeps_failing_waits_longer_each_time_and_is_healed_by_a_good_reading(
    sqlite_url: str,
) -> None:
    async with lanes(sqlite_url, settings=Settings(tries=1)) as at_work:
        await at_work.add("one", due_at=clock.now())
        refuse(at_work, "one", 500, "ErrorInternalServerError")
        pauses = []
        for failures in range(1, 4):
            await at_work.set_row("one", due_at=clock.now())
            await until(partial(_failed, at_work, failures))
            row = await at_work.row("one")
            assert (row.bucket, row.reason) == ("failing", "server_error")
            pauses.append(round((row.due_at - clock.now()) / 900))
        assert pauses == [1, 2, 4]
        at_work.server.reply("/users/one/calendarView", partial(at_work.answer, "one"))
        await at_work.set_row("one", due_at=clock.now())
        await until(lambda: at_work.seen("one") == [1])
        await at_work.quiet()
        row = await at_work.row("one")
        assert (row.bucket, row.reason, row.failures) == ("active", None, 0)


async def _failed(at_work: Lanes, failures: int) -> bool:
    row = await at_work.row("one")
    return bool(row.failures == failures and row.lease_id is None)
