"""Bodies and headers: what is written can be read, and nothing that cannot be read is told."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.broker import Outgoing, parked, topology, wire
from shared.broker.fates import Park
from shared.contracts.messages import MailboxRead
from shared.errors import Reject

READ = MailboxRead(org_id="acme", generation=2, mailbox_id="m1", since=5)
CANARY = "canary-subject"


def taken(
    body: bytes, *, message_type: str = "mailbox.read.v1", headers: Mapping[str, Any] | None = None
) -> wire.Taken:
    return wire.Taken(
        queue="fetcher.backfill",
        body=body,
        headers=headers or {},
        message_id="id",
        message_type=message_type,
        timestamp=1,
        redelivered=False,
        tag=1,
        source=SimpleNamespace(alive=True),
    )


def test_what_is_written_is_read_back() -> None:
    letter = wire.letter(READ, now=100.5)
    assert wire.decode(taken(letter.body, message_type=letter.message_type)) == READ
    assert (letter.exchange, letter.routing_key, letter.timestamp) == ("busyline", "mailbox.read.v1", 100)


def test_every_letter_has_an_id_of_its_own() -> None:
    assert wire.letter(READ, now=1).message_id != wire.letter(READ, now=1).message_id


def test_a_delayed_letter_rests_under_its_queues_name() -> None:
    letter = wire.letter(Outgoing(READ, 30), now=100)
    assert letter.routing_key == "fetcher.backfill"
    assert letter.exchange in topology.RESTING
    assert letter.headers["not_before"] == 130_001


@given(st.binary(max_size=200))
def test_no_body_brings_the_reader_down(body: bytes) -> None:
    for message_type in ("mailbox.read.v1", "", "nobody.knows.v1"):
        with pytest.raises(Reject) as rejected:
            wire.decode(taken(body, message_type=message_type))
        assert rejected.value.reason in {"malformed", "unknown_type"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"canary-subject","org_id":"a","generation":1,"mailbox_id":"m","since":1}',
        b'{"type":"mailbox.read.v1","org_id":"canary-subject!","generation":1,"mailbox_id":"m","since":1}',
        b'{"type":"mailbox.read.v1","org_id":"a","generation":"canary-subject","mailbox_id":"m","since":1}',
        b'{"type":"mailbox.read.v1","org_id":"a","canary-subject"',
        b"canary-subject",
    ],
)
def test_a_rejection_never_quotes_the_body(body: bytes) -> None:
    with pytest.raises(Reject) as rejected:
        wire.decode(taken(body))
    assert CANARY not in f"{rejected.value} {rejected.value.reason} {rejected.value.where}"
    assert rejected.value.__cause__ is None


def test_a_copy_for_another_try_keeps_id_time_and_org_and_sheds_the_brokers_marks() -> None:
    marks = {"org_id": "acme", "generation": 2, "attempt": 1, "x-death": [{}], "x-delivery-count": 3, "foreign": CANARY}
    again = wire.again(taken(b"{}", headers=marks), attempt=2)
    assert dict(again.headers) == {"org_id": "acme", "generation": 2, "attempt": 2}
    assert (again.message_id, again.timestamp, again.routing_key) == ("id", 1, "fetcher.backfill")


@pytest.mark.parametrize("value", [None, "3", -1, 0, True, 2.5, [3]])
def test_an_attempt_that_is_no_number_is_the_first(value: object) -> None:
    assert taken(b"", headers={"attempt": value}).attempt == 1


@pytest.mark.parametrize("count", [{"x-delivery-count": 4}, {"x-acquired-count": 4, "x-delivery-count": 1}])
def test_returns_are_counted_by_whichever_header_the_broker_has(count: dict[str, int]) -> None:
    assert taken(b"", headers=count).deliveries == 4


def test_only_fixed_words_and_ids_are_told_of_a_dead_letter() -> None:
    headers = {"org_id": f"{CANARY} with spaces", "attempt": 1}
    letter = parked.letter(taken(CANARY.encode(), message_type=CANARY, headers=headers), Park(reason="bug"), now=9)
    told = parked.told(taken(letter.body, headers=letter.headers))
    assert CANARY not in repr(told)
    assert (told.reason, told.message_type, told.size) == ("bug", "unknown", len(CANARY))


def test_the_same_delivery_parked_twice_bears_one_id() -> None:
    once, twice = (parked.letter(taken(b"x"), Park(reason="bug"), now=now).message_id for now in (1, 2))
    assert once == twice
    assert parked.letter(taken(b"y"), Park(reason="bug"), now=1).message_id != once


def test_what_is_replayed_is_what_was_parked() -> None:
    original = taken(b"{}", headers={"org_id": "acme", "attempt": 8, "x-death": []})
    letter = parked.letter(original, Park(reason="busy"), now=9)
    replayed = parked.replayed(taken(letter.body, headers=letter.headers))
    assert (replayed.body, replayed.message_id, replayed.message_type) == (b"{}", "id", "mailbox.read.v1")
    assert (replayed.routing_key, replayed.timestamp) == ("fetcher.backfill", 1)
    assert dict(replayed.headers) == {"org_id": "acme", "attempt": 1}


def test_consumers_receive_cloud_events_that_need_no_taker() -> None:
    letter = wire.announcement("availability.acme.m1", b"{}", {"id": "7", "type": "availability.updated.v1"}, now=3.2)
    assert (letter.exchange, letter.mandatory, letter.message_id) == ("availability", False, "7")
    assert (letter.content_type, letter.message_type) == ("application/cloudevents+json", "availability.updated.v1")
