"""Consumers' HTTP over both databases: what is answered, and that unknown is never shown as free."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from services.publisher.answers import FreeBusyAsked
from services.publisher.asking import body_of
from services.publisher.consumers import add
from services.publisher.timelines import publish
from shared import clock
from shared.contracts.values import Bucket, Status
from shared.store import Store, open_store
from shared.tables import enumerations, orgs, subscriptions
from tests.integration.asking import Asker, asking, put_mailbox
from tests.unit.publisher.readings import MONDAY, busy, connect, event, snapshot, unreadable

MAILBOXES = "/v1/orgs/acme/mailboxes"
ONE = f"{MAILBOXES}/m-0001@example.com/availability"
FREE_BUSY = "/v1/orgs/acme/free-busy"
STATUS = "/v1/orgs/acme/status"
DAY_ONE = {"from": "2026-01-05T00:00:00Z", "to": "2026-01-06T00:00:00Z"}
ROUTES = [("get", MAILBOXES), ("get", ONE), ("post", FREE_BUSY), ("get", STATUS)]


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


async def test_orgs_with_equal_mailbox_ids_never_see_each_other(store: Store, asker: Asker) -> None:
    await connect(store, "beta")
    await publish(store, [snapshot(busy(1, 2), org_id="beta"), snapshot(busy(9, 10))], now=MONDAY)
    assert (await asker.get(ONE)).body["busy"] == [
        {"start": "2026-01-05T09:00:00Z", "end": "2026-01-05T10:00:00Z", "status": "busy"}
    ]
    await publish(store, [snapshot(org_id="beta", mailbox_id="theirs")], now=MONDAY)
    answer = await asker.post(FREE_BUSY, {"mailboxes": ["theirs@example.com", "theirs"], **DAY_ONE})
    assert [found["error"]["code"] for found in answer.body["mailboxes"]] == ["mailbox_unknown"] * 2


async def test_a_mailboxs_whole_window_is_answered_with_its_position(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(mailbox_id="other"), snapshot(busy(9, 10), busy(12, 13, Status.OOF))], now=MONDAY)
    answer = (await asker.get(ONE)).body
    assert (answer["from"], answer["to"]) == ("2026-01-05T00:00:00Z", "2026-03-06T00:00:00Z")
    assert [block["status"] for block in answer["busy"]] == ["busy", "oof"]
    assert (answer["position"], answer["version"], answer["coverage"], answer["privacy"]) == (2, 1, "full", "free-busy")


async def test_a_range_is_answered_with_its_blocks_clipped(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(8, 10), busy(11, 12), busy(20, 21))], now=MONDAY)
    answer = await asker.get(ONE, **{"from": "2026-01-05T10:00:00+01:00", "to": "2026-01-05T11:00:00Z"})
    assert answer.body["busy"] == [{"start": "2026-01-05T09:00:00Z", "end": "2026-01-05T10:00:00Z", "status": "busy"}]


@pytest.mark.parametrize("name", ["M-0001@Example.COM", "m-0001", "m-0001%40example.com"])
async def test_a_mailbox_is_named_by_its_address_in_any_case_or_by_its_id(
    store: Store, asker: Asker, name: str
) -> None:
    await publish(store, [snapshot()], now=MONDAY)
    assert (await asker.get(f"{MAILBOXES}/{name}/availability")).status == 200


async def test_details_are_shown_as_published(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10), events=(event(9, 10, "plan"),))], now=MONDAY)
    answer = (await asker.get(ONE)).body
    assert (answer["privacy"], answer["events"][0]["subject"]) == ("details", "plan")


async def test_details_of_an_older_generation_are_not_shown_any_more(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10), events=(event(9, 10, "secret plan"),))], now=MONDAY)
    await connect(store, generation=2)
    answer = await asker.get(ONE)
    assert (answer.status, answer.body["privacy"], len(answer.body["busy"])) == (200, "free-busy", 1)
    assert b"secret plan" not in answer.raw


@pytest.mark.parametrize(
    "asked",
    [
        {"from": "2026-01-04T23:59:59Z"},
        {"to": "2026-03-06T00:00:01Z"},
        {"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"},
    ],
)
async def test_time_outside_the_window_is_an_error_that_states_the_window(
    store: Store, asker: Asker, asked: dict[str, str]
) -> None:
    await publish(store, [snapshot()], now=MONDAY)
    answer = await asker.get(ONE, **asked)
    assert (answer.status, answer.body["code"]) == (422, "outside_window")
    assert answer.body["window"] == {"start": "2026-01-05T00:00:00Z", "end": "2026-03-06T00:00:00Z"}


@pytest.mark.parametrize("bucket", [Bucket.DENIED, Bucket.FAILING])
async def test_a_mailbox_that_cannot_be_read_is_an_error_never_free(store: Store, asker: Asker, bucket: Bucket) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    await publish(store, [unreadable(bucket, version=2)], now=MONDAY)
    answer = await asker.get(ONE)
    assert (answer.status, answer.body["code"], answer.body["reason"]) == (409, "availability_unknown", bucket.value)
    assert "busy" not in answer.body


async def test_a_mailbox_not_read_yet_is_an_error_never_free(store: Store, asker: Asker) -> None:
    await put_mailbox(store, "m-0001")
    answer = await asker.get(ONE)
    assert (answer.status, answer.body["reason"]) == (409, "not_read_yet")


async def test_a_mailbox_that_left_is_not_there_any_more(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    await publish(store, [unreadable(Bucket.EXCLUDED, version=2)], now=MONDAY)
    await put_mailbox(store, "m-0001", bucket="excluded")
    for name in ("m-0001@example.com", "m-0001"):
        answer = await asker.get(f"{MAILBOXES}/{name}/availability")
        assert (answer.status, answer.body["code"]) == (404, "mailbox_unknown")


async def test_a_mailbox_renamed_since_its_last_reading_is_found_by_its_new_address(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    await put_mailbox(store, "m-0001", address="renamed@example.com")
    answer = await asker.get(f"{MAILBOXES}/renamed@example.com/availability")
    assert (answer.status, len(answer.body["busy"])) == (200, 1)


async def test_each_mailbox_has_its_answer_or_its_error_in_the_order_asked(store: Store, asker: Asker) -> None:
    await put_mailbox(store, "new")
    await publish(
        store,
        [
            snapshot(busy(9, 10)),
            snapshot(mailbox_id="idle"),
            unreadable(Bucket.DENIED, mailbox_id="denied"),
        ],
        now=MONDAY,
    )
    names = ["nobody@example.com", "idle@example.com", "denied", "new@example.com", "M-0001@example.com", "idle"]
    answer = (await asker.post(FREE_BUSY, {"mailboxes": names, **DAY_ONE})).body
    assert [found["mailbox"] for found in answer["mailboxes"]] == names
    told = [found.get("error", {}).get("code", found.get("busy")) for found in answer["mailboxes"]]
    hour = {"start": "2026-01-05T09:00:00Z", "end": "2026-01-05T10:00:00Z", "status": "busy"}
    assert told == ["mailbox_unknown", [], "availability_unknown", "availability_unknown", [hour], []]


async def test_a_mailbox_whose_window_does_not_reach_is_an_error_of_its_own(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot()], now=MONDAY)
    asked = {"mailboxes": ["m-0001"], "from": "2026-03-05T00:00:00Z", "to": "2026-03-07T00:00:00Z"}
    (found,) = (await asker.post(FREE_BUSY, asked)).body["mailboxes"]
    assert found["error"] == {
        "code": "outside_window",
        "window": {"start": "2026-01-05T00:00:00Z", "end": "2026-03-06T00:00:00Z"},
    }
    assert "busy" not in found


async def test_a_thousand_mailboxes_are_answered_at_once(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10), mailbox_id=f"m-{n}") for n in range(400)], now=MONDAY)
    answer = await asker.post(FREE_BUSY, {"mailboxes": [f"m-{n}@example.com" for n in range(1000)], **DAY_ONE})
    assert sum("busy" in found for found in answer.body["mailboxes"]) == 400
    assert sum("error" in found for found in answer.body["mailboxes"]) == 600


async def test_mailboxes_are_listed_page_by_page_each_once(store: Store, asker: Asker) -> None:
    for n in range(7):
        await put_mailbox(store, f"m-{n}")
    seen: list[str] = []
    page = (await asker.get(MAILBOXES, limit="3")).body
    while True:
        seen += [entry["mailbox_id"] for entry in page["mailboxes"]]
        if page["next"] is None:
            break
        page = (await asker.get(MAILBOXES, limit="3", cursor=page["next"])).body
    assert seen == [f"m-{n}" for n in range(7)]


async def test_an_entry_says_what_is_known_and_why_not(store: Store, asker: Asker) -> None:
    await put_mailbox(store, "m-0001", kind="room")
    await put_mailbox(store, "denied", bucket="denied", reason="access_denied")
    await put_mailbox(store, "new")
    await publish(store, [snapshot(), unreadable(Bucket.DENIED, mailbox_id="denied")], now=MONDAY)
    entries = {entry["mailbox_id"]: entry for entry in (await asker.get(MAILBOXES)).body["mailboxes"]}
    assert entries["m-0001"]["kind"] == "room"
    assert (entries["m-0001"]["coverage"], entries["m-0001"]["as_of"]) == ("full", "2026-01-05T00:00:01Z")
    assert (entries["denied"]["coverage"], entries["denied"]["reason"]) == ("unknown", "access_denied")
    assert (entries["new"]["coverage"], entries["new"]["reason"]) == ("unknown", "not_read_yet")


async def test_mailboxes_are_listed_by_bucket(store: Store, asker: Asker) -> None:
    await put_mailbox(store, "one")
    await put_mailbox(store, "two", bucket="guest")
    page = (await asker.get(MAILBOXES, bucket="guest")).body
    assert [entry["mailbox_id"] for entry in page["mailboxes"]] == ["two"]


async def test_the_status_counts_what_is_there(store: Store, asker: Asker) -> None:
    await put_mailbox(store, "m-0001", read_generation=1)
    await put_mailbox(store, "new")
    await put_mailbox(store, "denied", bucket="denied", reason="access_denied", read_generation=0)
    await put_mailbox(store, "guest", bucket="guest")
    await publish(store, [snapshot(), unreadable(Bucket.DENIED, mailbox_id="denied")], now=MONDAY)
    row = {"org_id": "acme", "run": "r", "generation": 1, "started_at": MONDAY, "last_error": "throttled"}
    async with store.write() as connection:
        await connection.execute(enumerations.insert().values(row))
    status = (await asker.get(STATUS)).body
    assert (status["state"], status["generation"]) == ("connected", 1)
    assert (status["buckets"]["active"], status["buckets"]["guest"], status["buckets"]["removed"]) == (2, 1, 0)
    assert status["coverage"] == {"full": 1, "unknown": 2}
    assert status["first_reading"] == {"done": 1, "of": 3}
    assert status["errors"] == {"access_denied": 1}
    assert status["enumeration"] == {"started_at": "2026-01-05T00:00:00Z", "last_error": "throttled"}


async def test_an_org_without_anything_yet_has_a_status(asker: Asker) -> None:
    status = (await asker.get(STATUS)).body
    assert status["first_reading"] == {"done": 0, "of": 0}
    assert "enumeration" not in status


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_an_org_that_is_leaving_is_not_there_any_more(store: Store, asker: Asker, method: str, path: str) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    await connect(store, generation=2, state="disconnecting")
    body = {"mailboxes": ["m-0001"], **DAY_ONE}
    answer = await (asker.get(path) if method == "get" else asker.post(path, body))
    assert (answer.status, answer.body["code"]) == (404, "org_unknown")


async def test_what_was_read_before_a_stricter_policy_is_unknown_on_every_path(store: Store, asker: Asker) -> None:
    await put_mailbox(store, "m-0001")
    await publish(store, [snapshot(busy(9, 10), events=(event(9, 10, "secret plan"),))], now=MONDAY)
    await connect(store, generation=2, shown_from=2)
    one = await asker.get(ONE)
    assert (one.status, one.body["code"], one.body["reason"]) == (409, "availability_unknown", "policy_changed")
    many = await asker.post(FREE_BUSY, {"mailboxes": ["m-0001", "m-0001@example.com"], **DAY_ONE})
    assert [found["error"] for found in many.body["mailboxes"]] == [
        {"code": "availability_unknown", "reason": "policy_changed"}
    ] * 2
    (entry,) = (await asker.get(MAILBOXES)).body["mailboxes"]
    assert (entry["coverage"], entry["reason"]) == ("unknown", "policy_changed")
    status = (await asker.get(STATUS)).body
    assert (status["coverage"], "oldest_as_of" in status) == ({"full": 0, "unknown": 1}, False)
    await publish(store, [snapshot(busy(9, 10), generation=2, version=2)], now=MONDAY)
    assert (await asker.get(ONE)).status == 200
    assert (await asker.get(STATUS)).body["coverage"] == {"full": 1, "unknown": 0}


async def test_a_policy_made_stricter_while_a_body_is_long_in_coming_holds(
    store: Store, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)

    async def slow(request: web.Request, kind: type[FreeBusyAsked]) -> FreeBusyAsked:
        await connect(store, generation=2, shown_from=2)
        return await body_of(request, kind)

    monkeypatch.setattr("services.publisher.availability.body_of", slow)
    (found,) = (await asker.post(FREE_BUSY, {"mailboxes": ["m-0001"], **DAY_ONE})).body["mailboxes"]
    assert found["error"]["reason"] == "policy_changed"


async def test_what_was_read_before_a_looser_policy_is_shown_on(store: Store, asker: Asker) -> None:
    await put_mailbox(store, "m-0001")
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    await connect(store, generation=2, shown_from=1)
    assert (await asker.get(ONE)).status == 200
    (entry,) = (await asker.get(MAILBOXES)).body["mailboxes"]
    assert entry["coverage"] == "full"


async def test_an_erased_mailbox_is_listed_by_its_id_alone(store: Store, asker: Asker) -> None:
    await put_mailbox(store, "m-0001", address="", bucket="excluded", reason="erased")
    (entry,) = (await asker.get(MAILBOXES)).body["mailboxes"]
    assert (entry["mailbox"], entry["bucket"], entry["reason"]) == ("m-0001", "excluded", "erased")
    assert (await asker.get(f"{MAILBOXES}/m-0001/availability")).status == 404


async def test_a_mailbox_tells_why_it_waits_until_when_and_whether_hints_come(
    store: Store, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: MONDAY)
    await put_mailbox(store, "m-1", waiting="throttled", retry_at=MONDAY + 90, due_at=MONDAY + 300, failures=2)
    await put_mailbox(store, "m-2", failures=1, due_at=MONDAY + 20, subscribed_until=MONDAY + 1)
    await put_mailbox(store, "m-3", due_at=MONDAY + 300, subscribed_until=MONDAY)
    first, second, third = (await asker.get(MAILBOXES)).body["mailboxes"]
    assert (first["waiting"], first["next_try_at"], first["failures"]) == ("throttled", "2026-01-05T00:01:30Z", 2)
    assert (second["next_try_at"], second["subscribed"], second["failures"]) == ("2026-01-05T00:00:20Z", True, 1)
    assert not {"waiting", "next_try_at", "subscribed", "failures"} & set(third)


async def test_the_status_counts_what_waits_and_who_is_subscribed_and_what_is_held(
    store: Store, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: MONDAY)
    for number, waiting in enumerate(["throttled", "throttled", "server_error", None]):
        await put_mailbox(store, f"m-{number}", waiting=waiting)
    same = {"org_id": "acme", "act_at": 0, "failures": 0, "reason": None}
    rows = [
        {"mailbox_id": "m-0", "subscription_id": "s0", "expires_at": MONDAY + 1, "wanted": True, **same},
        {"mailbox_id": "m-1", "subscription_id": "s1", "expires_at": MONDAY, "wanted": True, **same, "reason": "gone"},
        {"mailbox_id": "m-2", "subscription_id": None, "expires_at": None, "wanted": True, **same, "reason": "denied"},
        {"mailbox_id": "m-3", "subscription_id": "s3", "expires_at": MONDAY + 9, "wanted": False, **same},
        {"mailbox_id": "m-0", "subscription_id": "s9", "expires_at": MONDAY + 9, "wanted": True, **same}
        | {"org_id": "beta"},
    ]
    async with store.write() as connection:
        await connection.execute(subscriptions.insert(), rows)
        await connection.execute(
            enumerations.insert().values(
                org_id="acme", run="0" * 32, generation=1, started_at=MONDAY, held=60, held_of=100
            )
        )
    status = (await asker.get(STATUS)).body
    assert status["waiting"] == {"server_error": 1, "throttled": 2}
    assert status["subscriptions"] == {"wanted": 3, "live": 1, "reasons": {"denied": 1, "gone": 1}}
    assert status["held"] == {"removal": 60, "of": 100}


async def test_a_row_made_for_a_pause_before_the_first_search_is_no_search(store: Store, asker: Asker) -> None:
    async with store.write() as connection:
        row = {"org_id": "acme", "run": "", "generation": 1, "started_at": 0, "paused_until": MONDAY}
        await connection.execute(enumerations.insert().values(row))
    assert "enumeration" not in (await asker.get(STATUS)).body


async def test_the_status_tells_the_oldest_knowledge_of_what_is_read(store: Store, asker: Asker) -> None:
    for mailbox_id, bucket in {"m-0001": "active", "m-0002": "active", "m-0003": "denied"}.items():
        await put_mailbox(store, mailbox_id, bucket=bucket)
    await publish(
        store,
        [snapshot(version=9), snapshot(mailbox_id="m-0002", version=5), snapshot(mailbox_id="m-0003", version=1)],
        now=MONDAY,
    )
    assert (await asker.get(STATUS)).body["oldest_as_of"] == "2026-01-05T00:00:05Z"


async def test_an_org_that_needs_attention_says_what_its_admin_must_do(store: Store, asker: Asker) -> None:
    changed = {"state": "attention", "reason": "consent_revoked", "sentence": "Grant consent again."}
    async with store.write() as connection:
        await connection.execute(orgs.update().values(changed))
    status = (await asker.get(STATUS)).body
    assert {name: status[name] for name in changed} == changed
    assert "held" not in status
