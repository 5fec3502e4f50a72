"""Recordings of a real Exchange and documented answers pass through our decoders; cut short they never do."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from exchangelib.services import FindItem, GetUserAvailability, SyncFolderItems

from shared.contracts.messages import RawEvent
from shared.contracts.values import DAY
from shared.ews import people
from shared.ews.availability import availability
from shared.ews.calendar_view import SHOWS, details, view
from shared.ews.changes import changes
from shared.ews.errors import OURS, EwsError
from shared.ews.streaming import heard, subscription
from shared.ews.trouble import acknowledged
from shared.ews.version import version
from tests.bench.decoding import account, their_items
from tests.ews_schema import EWS

pytestmark = pytest.mark.skipif(not EWS.is_dir(), reason="the folder of recorded answers is not here")

Decode = Callable[[Iterable[bytes]], Any]
NOWHERE: Callable[[str], None] = lambda _: None  # noqa: E731 -- a name for what is told to nobody
DECODERS: tuple[tuple[str, Decode], ...] = (
    ("recorded/finditem-*.xml", view),
    ("recorded/getitem-*.xml", details),
    ("recorded/syncfolderitems-*.xml", changes),
    ("recorded/getfolder-*.xml", acknowledged),
    ("recorded/findfolder-*.xml", version),
    ("examples/finditem-response-*.xml", view),
    ("examples/getitem-response-*.xml", details),
    ("examples/getuseravailability-response-*.xml", availability),
    ("examples/syncfolderitems-response-*.xml", changes),
    ("examples/resolvenames-response-*.xml", people.names),
    ("examples/expanddl-response-*.xml", people.members),
    ("examples/getroomlists-response-*.xml", people.room_lists),
    ("examples/getrooms-response-*.xml", people.rooms),
    ("examples/subscribe-response-*.xml", subscription),
    ("examples/getstreamingevents-response-*.xml", lambda chunks: heard(chunks, NOWHERE)),
    ("examples/unsubscribe-response-*.xml", acknowledged),
    ("examples/convertid-response-*.xml", version),
    ("examples/fault-*.xml", acknowledged),
    ("captures/*.xml", acknowledged),
)
EVERY = [(str(path.relative_to(EWS)), decode) for kept, decode in DECODERS for path in sorted(EWS.glob(kept))]
VIEWS = [name for name, decode in EVERY if name.startswith("recorded") and decode is view]
NOT_ASKED_FOR = {  # documented answers of mail folders: their items have no times
    "examples/finditem-response-01.xml": "malformed",
    "examples/finditem-response-02.xml": "malformed",
    "examples/finditem-response-03.xml": "malformed",
    "examples/fault-fault-05.xml": "fault",
}


def body(name: str) -> bytes:
    return (EWS / name).read_bytes()


def outcome(decode: Decode, content: bytes) -> Any:
    """Return what was decoded, or the error of ours; anything else is a bug."""
    try:
        return decode([content])
    except EwsError as error:
        return error


@pytest.mark.parametrize(("name", "decode"), EVERY, ids=[name for name, _ in EVERY])
def test_an_answer_is_understood_or_tells_its_own_error(name: str, decode: Decode) -> None:
    found = outcome(decode, body(name))
    if name in NOT_ASKED_FOR:
        assert found.code == NOT_ASKED_FOR[name]
    elif isinstance(found, EwsError):
        assert found.code.startswith("Error")
        assert found.code.encode() in body(name)
    else:
        assert "error" not in name or decode in (version, details, people.names)


@pytest.mark.parametrize(("name", "decode"), EVERY, ids=[name for name, _ in EVERY])
def test_an_answer_cut_short_is_an_error_wherever_it_is_cut(name: str, decode: Decode) -> None:
    whole = body(name).rstrip()
    for end in {*range(0, len(whole), 100), len(whole) - 1}:
        found = outcome(decode, whole[:end])
        assert isinstance(found, EwsError), f"taken for whole at {end}"
        assert found.code in OURS or found.code.startswith("Error")


@pytest.mark.parametrize("name", VIEWS)
def test_a_recorded_view_cut_short_is_named_so(name: str) -> None:
    whole = body(name).rstrip()
    assert {outcome(view, whole[:end]).code for end in range(100, len(whole), 100)} == {"truncated"}


@pytest.mark.parametrize("name", VIEWS)
def test_a_recorded_view_is_read_as_exchangelib_reads_it(name: str) -> None:
    found = view([body(name)])
    assert found.complete
    assert [seen(event) for event in found.events] == [
        theirs(item) for item in their_items(FindItem(account=account()), body(name))
    ]


def test_the_recordings_hold_occurrences_and_more_than_a_few_items() -> None:
    counts = [len(view([body(name)]).events) for name in VIEWS]
    assert sum(counts) >= 8
    assert max(counts) >= 4


def seen(event: RawEvent) -> tuple[Any, ...]:
    """Return an event as far as both say; of an all-day one exchangelib keeps only the dates it has in UTC."""
    assert event.details is not None
    kept = event.details
    start, end = (moment - moment % DAY * event.all_day for moment in (event.start, event.end))
    return (start, end, event.show_as, event.sensitivity, event.all_day, event.cancelled, event.response,
            kept.event_id, kept.subject, kept.location)  # fmt: skip


def theirs(item: Any) -> tuple[Any, ...]:
    """Return an item of exchangelib's in our words; it gives an all-day item as dates, the last one included."""
    start, end = (item.start, item.end + timedelta(days=1)) if item.is_all_day else (item.start, item.end)
    answers = {"Organizer": "organizer", "Accept": "accepted", "Unknown": "none", None: ""}
    return (instant(start), instant(end), SHOWS[item.legacy_free_busy_status],
            item.sensitivity.lower(), item.is_all_day, item.is_cancelled, answers[item.my_response_type],
            item.id, item.subject or "", item.location or "")  # fmt: skip


def instant(moment: date) -> int:
    """Return UTC seconds, of a date its midnight in UTC."""
    exact = moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return int(exact.timestamp())


def test_free_busy_is_read_as_exchangelib_reads_it() -> None:
    service = GetUserAvailability(protocol=account().protocol)
    service.tzinfo = account().default_timezone
    for number in (1, 2):
        content = body(f"examples/getuseravailability-response-0{number}.xml")
        ours = [[(one.start, one.end, one.show_as) for one in answer.events] for answer in availability([content])]
        assert ours == [
            [(instant(one.start), instant(one.end), SHOWS[one.busy_type]) for one in shown.calendar_events]
            for shown in service.parse(content)
        ]


@pytest.mark.parametrize("name", [name for name, decode in EVERY if decode is changes and "error" not in name])
def test_changes_are_counted_as_exchangelib_counts_them(name: str) -> None:
    service = SyncFolderItems(account=account())
    counted = [kind for kind, _ in service.parse(body(name)) if kind != "read_flag_change"]
    found = changes([body(name)])
    assert (found.count, found.complete) == (len(counted), service.includes_last_item_in_range)
    assert found.state == service.sync_state


def test_the_pause_of_a_captured_busy_server_is_read() -> None:
    error = outcome(acknowledged, body("captures/fault-errorserverbusy-backoff.xml"))
    assert (error.code, error.back_off) == ("ErrorServerBusy", 297.749)


def test_the_version_of_the_recorded_servers_is_known() -> None:
    names = {version([body(name)]).name for name, _ in EVERY if name.startswith("recorded")}
    assert names == {"Exchange 2019", "Exchange Online"}
