"""A streamed answer is told event by event as it arrives, and how it ended is known."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ews.errors import EwsError
from shared.ews.streaming import Ended, heard, subscription
from tests.unit.shared.exchange_fake import fault, message, soap


def event(known: str, name: str = "ModifiedEvent") -> str:
    return (
        f"<m:Notification><t:SubscriptionId>{known}</t:SubscriptionId><t:MoreEvents>false</t:MoreEvents>"
        f'<t:{name}><t:TimeStamp>2026-03-01T09:00:00Z</t:TimeStamp><t:ItemId Id="canary"/></t:{name}></m:Notification>'
    )


def part(*events: str, status: str = "OK") -> bytes:
    notified = f"<m:Notifications>{''.join(events)}</m:Notifications>" if events else ""
    return message("GetStreamingEvents", f"{notified}<m:ConnectionStatus>{status}</m:ConnectionStatus>")


def listen(*chunks: bytes) -> tuple[Ended, list[str]]:
    told: list[str] = []
    return heard(chunks, told.append), told


def test_an_event_is_told_before_the_next_one_has_come() -> None:
    told: list[str] = []

    def coming() -> Iterator[bytes]:
        yield part(event("a"))
        assert told == ["a"]
        yield part(event("b"), event("c", "DeletedEvent"))
        assert told == ["a", "b", "c"]
        yield part(status="Closed")

    assert heard(coming(), told.append) == Ended(closed=True)


def test_signs_of_life_and_status_events_tell_nothing() -> None:
    ended, told = listen(part(), part(event("a", "StatusEvent")), part(status="Closed"))
    assert (ended.closed, told) == (True, [])


def test_a_connection_that_just_ends_was_not_closed_as_agreed() -> None:
    assert listen(part(event("a"))) == (Ended(closed=False), ["a"])


def test_subscriptions_the_server_forgot_are_named() -> None:
    ids = "<t:SubscriptionId>a</t:SubscriptionId><t:SubscriptionId>b</t:SubscriptionId>"
    lost = f"<m:ErrorSubscriptionIds>{ids}</m:ErrorSubscriptionIds>"
    ended, _ = listen(message("GetStreamingEvents", lost, code="ErrorSubscriptionNotFound"))
    assert ended == Ended(closed=False, code="ErrorSubscriptionNotFound", lost=("a", "b"))


@pytest.mark.parametrize(
    ("chunks", "code"),
    [
        ([fault("ErrorServerBusy")], "ErrorServerBusy"),
        ([message("GetStreamingEvents", code="ErrorInvalidSubscription")], "ErrorInvalidSubscription"),
        ([part(), part()[:-20]], "truncated"),
        ([part(), b"<html>gone</html>"], "truncated"),
        ([], "not_xml"),
        ([soap("")], "malformed"),
        ([b"x" * 65536] * 100, "too_large"),
    ],
)
def test_whatever_else_comes_is_an_error(chunks: list[bytes], code: str) -> None:
    with pytest.raises(EwsError, match=code):
        listen(*chunks)


@given(st.lists(st.sampled_from("abc"), max_size=6), st.integers(1, 500))
def test_however_the_stream_is_cut_into_chunks_every_event_is_told_once(known: list[str], size: int) -> None:
    whole = b"\r\n".join([*(part(event(one)) for one in known), part(status="Closed")])
    ended, told = listen(*(whole[start : start + size] for start in range(0, len(whole), size)))
    assert (ended.closed, told) == (True, known)


def test_a_new_subscription_has_an_id() -> None:
    assert subscription([message("Subscribe", "<m:SubscriptionId>abc=</m:SubscriptionId>")]) == "abc="
    many = message("Subscribe", code="ErrorExceededSubscriptionCount")
    for body, code in ((message("Subscribe"), "malformed"), (soap(""), "malformed"), (many, "ErrorExceeded")):
        with pytest.raises(EwsError, match=code):
            subscription([body])
