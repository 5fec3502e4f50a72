"""Bytes become typed updates; what is newer than the library is passed over, what is no event is refused."""

import json
from typing import Any

import pytest

from services.publisher.envelope import Told, announcement
from services.publisher.news import told_of_changes, told_of_departure, told_of_removal
from services.publisher.timeline import covered
from shared.client.errors import Unreadable
from shared.client.updates import KINDS, update_of
from shared.contracts.public import AvailabilityUpdated, MailboxRemoved, OrgRemoved
from tests.unit.publisher.readings import MONDAY, busy, event, snapshot


def event_of(row: dict[str, Any]) -> dict[str, Any]:
    told = Told(position=42, **{name: row[name] for name in ("org_id", "mailbox_id", "type", "created_at", "body")})
    return dict(json.loads(announcement(told)[1]))


TIMELINE = covered(snapshot(busy(9, 10), events=(event(9, 10, "Budget"),)))
UPDATED = event_of(next(iter(told_of_changes(TIMELINE, [TIMELINE.window], now=MONDAY))))
REMOVED = event_of(told_of_removal(TIMELINE, "removed", now=MONDAY))
LEFT = event_of(told_of_departure("acme", 1, now=MONDAY))


@pytest.mark.parametrize(
    ("told", "kind", "mailbox_id"),
    [(UPDATED, AvailabilityUpdated, "m-0001"), (REMOVED, MailboxRemoved, "m-0001"), (LEFT, OrgRemoved, "")],
)
def test_each_type_of_event_becomes_its_typed_update(told: dict[str, Any], kind: type, mailbox_id: str) -> None:
    update = update_of(json.dumps(told).encode())
    assert update is not None
    assert (update.position, update.org_id, update.mailbox_id, type(update.data)) == (42, "acme", mailbox_id, kind)


def test_every_type_that_is_published_is_known() -> None:
    assert KINDS.keys() == {told["type"] for told in (UPDATED, REMOVED, LEFT)}


def test_fields_that_are_newer_than_the_library_are_passed_over_at_any_depth() -> None:
    newer = json.loads(json.dumps(UPDATED))
    for place in (newer, newer["data"], newer["data"]["window"], newer["data"]["busy"][0], newer["data"]["events"][0]):
        place["newer"] = {"than": "this"}
    assert update_of(json.dumps(newer).encode()) == update_of(json.dumps(UPDATED).encode())


def test_a_type_that_is_not_known_is_passed_over() -> None:
    assert update_of(json.dumps(UPDATED | {"type": "availability.updated.v2", "data": 7}).encode()) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        json.dumps(UPDATED | {"sequence": "later"}).encode(),
        json.dumps({name: each for name, each in UPDATED.items() if name != "sequence"}).encode(),
        json.dumps({name: each for name, each in UPDATED.items() if name != "data"}).encode(),
        json.dumps(UPDATED | {"data": UPDATED["data"] | {"busy": "Budget"}}).encode(),
        json.dumps(REMOVED | {"data": {"org_id": "acme"}}).encode(),
    ],
)
def test_what_is_no_update_is_refused_without_quoting_it(body: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        update_of(body)
    assert (str(refused.value), refused.value.__cause__) == ("not_an_update", None)
    assert refused.value.__suppress_context__
