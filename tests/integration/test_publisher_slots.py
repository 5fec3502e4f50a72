"""Finding time over HTTP, on both databases: what is read and shown, who may ask, what is refused."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from services.publisher.access import org_of
from services.publisher.consumers import add
from services.publisher.finding.reading import lines
from services.publisher.published import published
from services.publisher.timelines import publish
from shared.contracts.values import Bucket, Status, WorkingHours, WorkPeriod
from shared.store import Store, open_store
from shared.tables import timelines
from tests.integration.asking import Asker, asking, put_mailbox
from tests.unit.publisher.readings import MONDAY, busy, connect, event, snapshot, unreadable

SLOTS = "/v1/orgs/acme/slots"
MORNING = [{"from": "2026-01-05T08:00:00Z", "to": "2026-01-05T12:00:00Z"}]
HOURLY: dict[str, Any] = {"periods": MORNING, "duration_minutes": 60, "step_minutes": 60}


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    yield opened
    await opened.close()


@pytest.fixture
async def asker(store: Store) -> AsyncIterator[Asker]:
    token = await add(store, "booking", ["acme"], now=MONDAY)
    async with asking(store) as found:
        found.token = token
        yield found


def named(*names: str) -> list[dict[str, str]]:
    return [{"mailbox": name} for name in names]


def begins(body: dict[str, Any]) -> list[str]:
    return [slot["start"][11:16] for slot in body["slots"]]


async def test_people_a_group_and_a_room_are_found_free_together(store: Store, asker: Asker) -> None:
    hours = WorkingHours(time_zone="Europe/Berlin", periods=(WorkPeriod(0, 600, 1020),))
    await publish(store, [
        snapshot(busy(10, 11)), snapshot(busy(8, 24), mailbox_id="eve"), snapshot(busy(11, 12), mailbox_id="group-1"),
        snapshot(mailbox_id="group-2"), snapshot(busy(8, 9), mailbox_id="room"),
    ], now=MONDAY)  # fmt: skip
    async with store.write() as connection:
        at_work = update(timelines).where(timelines.c.mailbox_id == "m-0001")
        await connection.execute(at_work.values(working_hours=msgspec.json.encode(hours)))
    group = {"name": "either", "need": 1, "members": named("group-1", "group-2")}
    asked = {"required": named("M-0001@Example.com"), "optional": named("eve"), "groups": [group], "rooms": ["room"]}
    answer = await asker.post(SLOTS, HOURLY | asked)
    assert (answer.status, answer.body["complete"], answer.body["found"]) == (200, True, 2)
    assert answer.body["slots"][1] == {
        "start": "2026-01-05T11:00:00Z",
        "end": "2026-01-05T12:00:00Z",
        "free": [],
        "groups": [{"group": "either", "free": ["group-2"]}, {"group": "rooms", "free": ["room"]}],
        "unverified": [],
    }
    assert begins(answer.body) == ["09:00", "11:00"]  # 08:00 is before work in Berlin
    assert answer.body["participants"][0] == {
        "mailbox": "M-0001@Example.com",
        "role": "required",
        "coverage": "full",
        "working_hours": "applied",
        "time_zone": "UTC",
        "as_of": "2026-01-05T00:00:01Z",
        "version": 1,
        "position": 1,
    }
    assert "explanation" not in answer.body


async def test_of_whom_nothing_is_known_there_is_no_slot_and_the_reason_is_told(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(), unreadable(Bucket.DENIED, mailbox_id="denied")], now=MONDAY)
    await put_mailbox(store, "new")
    for name, error in (
        ("denied", {"code": "availability_unknown", "reason": "denied"}),
        ("new@example.com", {"code": "availability_unknown", "reason": "not_read_yet"}),
        ("nobody", {"code": "mailbox_unknown"}),
    ):
        answer = (await asker.post(SLOTS, HOURLY | {"required": named("m-0001", name)})).body
        assert (answer["complete"], answer["found"], answer["participants"][1]["error"]) == (False, 0, error)
        forgiven = HOURLY | {"required": named("m-0001", name), "ignore_unknown": True}
        answer = (await asker.post(SLOTS, forgiven)).body
        assert (answer["complete"], answer["found"]) == (False, 4)
        assert {tuple(slot["unverified"]) for slot in answer["slots"]} == {(name,)}


async def test_another_orgs_mailboxes_and_orgs_do_not_exist(store: Store, asker: Asker) -> None:
    await connect(store, "beta")
    await publish(store, [snapshot(org_id="beta", mailbox_id="theirs"), snapshot(busy(8, 11))], now=MONDAY)
    await publish(store, [snapshot(org_id="beta")], now=MONDAY)  # the same id, free all day
    answer = (await asker.post(SLOTS, HOURLY | {"required": named("theirs@example.com", "theirs")[:1]})).body
    assert answer["participants"][0]["error"] == {"code": "mailbox_unknown"}
    assert begins((await asker.post(SLOTS, HOURLY | {"required": named("m-0001")})).body) == ["11:00"]
    for org in ("beta", "nowhere"):
        answer = await asker.post(f"/v1/orgs/{org}/slots", HOURLY | {"required": named("theirs")})
        assert (answer.status, answer.body["code"]) == (404, "org_unknown")
    asker.token = "busyline_nobody"
    assert (await asker.post(SLOTS, b"{")).status == 401


async def test_what_an_older_policy_let_be_read_is_not_shown(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(8, 9))], now=MONDAY)
    await connect(store, generation=2, shown_from=2)
    answer = (await asker.post(SLOTS, HOURLY | {"required": named("m-0001"), "ignore_unknown": True})).body
    assert answer["participants"][0]["error"] == {"code": "availability_unknown", "reason": "policy_changed"}
    assert len(answer["slots"]) == 4  # not even that 08:00 was busy


async def test_nothing_of_an_event_is_answered(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(8, 12), events=(event(8, 12, "secret plan"),))], now=MONDAY)
    answer = await asker.post(SLOTS, HOURLY | {"required": named("m-0001"), "explain": True})
    assert answer.body["explanation"]["participants"][0]["busy"] == 4
    assert b"secret plan" not in answer.raw


async def test_the_same_is_known_of_every_mailbox_as_where_it_is_read_alone(store: Store) -> None:
    await publish(store, [
        snapshot(busy(8, 9), busy(9, 10, Status.OOF)), snapshot(mailbox_id="left"), snapshot(mailbox_id="renamed"),
        unreadable(Bucket.DENIED, mailbox_id="denied"), unreadable(Bucket.FAILING, mailbox_id="failing"),
    ], now=MONDAY)  # fmt: skip
    await publish(store, [unreadable(Bucket.EXCLUDED, version=2, mailbox_id="left")], now=MONDAY)
    await connect(store, generation=2)
    await publish(store, [snapshot(busy(1, 2), mailbox_id="between", generation=2)], now=MONDAY)
    await connect(store, generation=3, shown_from=2)
    await publish(store, [snapshot(busy(2, 3), mailbox_id="later", generation=3)], now=MONDAY)
    await put_mailbox(store, "new")
    await put_mailbox(store, "guest", bucket="guest")
    await put_mailbox(store, "renamed", address="other@example.com")
    people = ["m-0001", "left", "renamed", "denied", "failing", "between", "later", "new", "guest", "nobody"]
    names = [*people, *(f"{name}@example.com" for name in people), "other@example.com"]
    org = await org_of(store, "acme")
    assert org is not None
    ours, theirs = await lines(store, org, names), await published(store, org, names)
    assert ours.keys() >= set(theirs) & set(names)
    for name in names:
        line, shown = ours.get(name), theirs.get(name)
        assert (line is None) == (shown is None), name
        if line is None or shown is None:
            continue
        timeline = shown.timeline
        assert line.known == (timeline is not None and timeline.coverage.value == "full"), name
        if timeline is not None and line.known:
            assert (line.version, line.position) == (timeline.version, shown.position)
            assert msgspec.json.decode(line.blocks) == [list(block) for block in msgspec.to_builtins(timeline.blocks)]
        else:
            assert line.reason == (shown.reason if timeline is None else timeline.reason), name


async def test_one_mailbox_under_two_names_in_one_list_is_refused(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot()], now=MONDAY)
    group = {"name": "two", "need": 2, "members": named("m-0001", "m-0001@example.com")}
    answer = await asker.post(SLOTS, HOURLY | {"groups": [group]})
    assert (answer.status, answer.body["field"]) == (422, "groups[0].members")
    both = {"required": named("m-0001"), "optional": named("m-0001@example.com")}
    assert (await asker.post(SLOTS, HOURLY | both)).status == 200
