"""How an event counts, and what may be shown of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.normalizer.handler import normalize
from services.normalizer.privacy import LONGEST, MOST_ATTENDEES, public_view, status_of
from shared.contracts.messages import PublicEvent, RawDetails, RawEvent
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import Status
from tests.unit.normalizer.events import (
    DETAILS,
    HOUR,
    details,
    policies,
    raw_events,
    reading,
    sensitivities,
    timed,
    words,
)

PLAIN = Policy()
CANARY = "canary-7f3a"


def shown(event: RawEvent, policy: Policy = DETAILS) -> PublicEvent:
    view = public_view(event, Status.BUSY, span=(event.start, event.end), policy=policy)
    assert view is not None
    return view


@given(words)
def test_a_cancelled_event_is_never_busy(word: str) -> None:
    assert status_of(timed(0, HOUR, word, cancelled=True), PLAIN) is None


@given(words)
def test_a_declined_event_is_never_busy(word: str) -> None:
    assert status_of(timed(0, HOUR, word, response="declined"), PLAIN) is None


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("busy", Status.BUSY),
        ("tentative", Status.TENTATIVE),
        ("oof", Status.OOF),
        ("workingElsewhere", Status.ELSEWHERE),
        ("unknown", Status.UNKNOWN),
        ("somethingNew", Status.BUSY),
        ("", Status.BUSY),
        ("free", None),
    ],
)
def test_show_as_is_trusted_and_an_unknown_word_is_busy(word: str, status: Status | None) -> None:
    assert status_of(timed(0, HOUR, word), PLAIN) == status


@pytest.mark.parametrize("response", ["", "none", "organizer", "accepted", "tentativelyAccepted", "notResponded"])
def test_no_other_answer_than_declined_changes_the_status(response: str) -> None:
    assert status_of(timed(0, HOUR, "tentative", response=response), PLAIN) is Status.TENTATIVE


def test_free_is_shown_only_where_the_policy_says_so() -> None:
    assert status_of(timed(0, HOUR, "free"), Policy(show_free=True)) is Status.FREE


def test_the_policy_says_how_tentative_oof_and_elsewhere_count() -> None:
    policy = Policy(tentative=Status.BUSY, oof=Status.BUSY, elsewhere=Status.FREE)
    found = [status_of(timed(0, HOUR, word), policy) for word in ("tentative", "oof", "workingElsewhere")]
    assert found == [Status.BUSY, Status.BUSY, None]


@pytest.mark.parametrize("length", [0, -HOUR])
def test_an_event_that_holds_no_time_takes_none(length: int) -> None:
    assert status_of(timed(0, length), PLAIN) is None


def test_under_free_busy_there_are_no_events_at_all() -> None:
    assert normalize(reading(timed(0, HOUR, details=details(CANARY)))).events is None


def test_a_normal_event_shows_its_details() -> None:
    view = shown(timed(0, HOUR, details=details("open")))
    assert (view.event_id, view.subject, view.location) == ("open-id", "open subject", "open location")
    assert view.attendees == ("open attendee one", "open attendee two")


@pytest.mark.parametrize("sensitivity", ["private", "confidential", "", "somethingNew"])
def test_a_private_event_shows_when_and_how_and_nothing_else(sensitivity: str) -> None:
    view = shown(timed(0, HOUR, sensitivity=sensitivity, details=details(CANARY)))
    assert view == PublicEvent(start=view.start, end=view.end, status="busy", private=True)


def test_a_join_link_is_shown_only_with_conferencing() -> None:
    event = timed(0, HOUR, details=details("open"))
    assert shown(event).join_url == ""
    open_ = shown(event, Policy(detail=Detail.DETAILS, conferencing=True))
    assert (open_.join_url, open_.provider) == ("https://meet.example/open", "other")
    assert shown(event).provider == ""


def test_a_link_in_a_text_is_shown_only_with_conferencing() -> None:
    text = "Room 5 <https://meet.example/canary> or call"
    event = timed(0, HOUR, details=RawDetails("", text, "", (), text, text, ""))
    closed, opened = shown(event), shown(event, Policy(detail=Detail.DETAILS, conferencing=True))
    assert {closed.subject, closed.location, closed.preview} == {"Room 5 <> or call"}
    assert {opened.subject, opened.location, opened.preview} == {text}


@pytest.mark.parametrize("url", ["javascript:alert(1)", "http://meet.example/x", "https://" + "x" * 5000])
def test_what_is_no_https_link_is_not_shown_as_one(url: str) -> None:
    event = timed(0, HOUR, details=RawDetails("", "", "", (), "", "", url))
    assert shown(event, Policy(detail=Detail.DETAILS, conferencing=True)).join_url == ""


def test_texts_are_bounded_and_an_id_is_never_cut() -> None:
    long = "x" * 10_000
    view = shown(timed(0, HOUR, details=RawDetails(long, long, long, (long,) * 900, long, long, "")))
    assert (view.event_id, len(view.subject), len(view.organizer)) == ("", LONGEST, LONGEST)
    assert len(view.attendees) == MOST_ATTENDEES
    assert len(view.preview) == 4096
    msgspec.json.decode(msgspec.json.encode(view), type=PublicEvent)


@given(st.lists(raw_events(CANARY), max_size=8), policies)
def test_no_private_text_is_ever_published(events: list[RawEvent], policy: Policy) -> None:
    hidden = [
        event
        for event in events
        if policy.detail is Detail.FREE_BUSY or event.sensitivity not in {"normal", "personal"}
    ]
    assert CANARY.encode() not in msgspec.json.encode(normalize(reading(*hidden, policy=policy)))


@given(st.lists(raw_events(CANARY), max_size=8), sensitivities, words)
def test_without_conferencing_no_link_is_ever_published(events: list[RawEvent], sensitivity: str, word: str) -> None:
    join = RawDetails("", "", "", (), CANARY + "://x", f"see https://{CANARY}/1", f"https://{CANARY}")
    linked = timed(0, HOUR, word, sensitivity=sensitivity, details=join)
    bare = [msgspec.structs.replace(event, details=None) for event in events]
    assert CANARY.encode() not in msgspec.json.encode(normalize(reading(*bare, linked, policy=DETAILS)))


@given(st.lists(raw_events(), max_size=8), policies)
def test_words_of_the_source_are_never_published(events: list[RawEvent], policy: Policy) -> None:
    odd = [msgspec.structs.replace(event, show_as=CANARY, sensitivity=CANARY, response=CANARY) for event in events]
    public = normalize(reading(*odd, policy=policy, time_zone=CANARY))
    assert CANARY.encode() not in msgspec.json.encode(public)
