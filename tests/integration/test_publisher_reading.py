"""Reading availability over HTTP: digits, working hours, and the shapes of Google and Graph."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from services.publisher.consumers import add
from services.publisher.timelines import publish
from shared.contracts.messages import AvailabilitySnapshot
from shared.contracts.values import Block, Bucket, Mailbox, Status, WorkingHours, WorkPeriod
from shared.store import Store, open_store
from tests.integration.asking import Asker, asking, put_mailbox
from tests.unit.publisher.readings import MONDAY, busy, connect, event, snapshot, unreadable

ONE = "/v1/orgs/acme/mailboxes/m-0001@example.com/availability"
MANY = "/v1/orgs/acme/free-busy"
GOOGLE = "/v1/orgs/acme/freeBusy"
GRAPH = "/v1/orgs/acme/getSchedule"
DAY_ONE = {"from": "2026-01-05T00:00:00Z", "to": "2026-01-06T00:00:00Z"}
GOOGLE_DAY = {"timeMin": "2026-01-05T00:00:00Z", "timeMax": "2026-01-06T00:00:00.000Z"}
GRAPH_DAY = {
    "startTime": {"dateTime": "2026-01-05T00:00:00", "timeZone": "UTC"},
    "endTime": {"dateTime": "2026-01-06T00:00:00.0000000", "timeZone": "tzone://Microsoft/Utc"},
}
WEEK = {
    "time_zone": "Europe/Berlin",
    "periods": [{"days": ["monday", "tuesday", "wednesday", "thursday", "friday"], "start": "08:00", "end": "17:00"}],
}


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = open_store(sqlite_url)
    await connect(opened)
    yield opened
    await opened.close()


@pytest.fixture
async def asker(store: Store) -> AsyncIterator[Asker]:
    token = await add(store, "booking", ["acme"], now=MONDAY)
    async with asking(store) as found:
        found.token = token
        yield found


def working(*blocks: Block, **rest: Any) -> AvailabilitySnapshot:
    """Return a snapshot of somebody who works from Monday to Friday."""
    hours = WorkingHours(time_zone="Europe/Berlin", periods=tuple(WorkPeriod(day, 480, 1020) for day in range(5)))
    mailbox = Mailbox(mailbox_id="m-0001", address="m-0001@example.com", working_hours=hours)
    return msgspec.structs.replace(snapshot(*blocks, **rest), mailbox=mailbox)


# -- digits and working hours -------------------------------------------------------------------------------------


async def test_one_mailbox_is_answered_with_digits_and_working_hours(store: Store, asker: Asker) -> None:
    await publish(store, [working(busy(9, 10), busy(12, 13, Status.OOF))], now=MONDAY)
    answer = (await asker.get(ONE, interval="60", **DAY_ONE)).body
    assert (answer["interval"], answer["availability_view"]) == (60, "000000000200300000000000")
    assert answer["working_hours"] == WEEK
    plain = (await asker.get(ONE, **DAY_ONE)).body
    assert not {"interval", "availability_view"} & set(plain)


async def test_many_mailboxes_are_answered_with_digits_and_working_hours(store: Store, asker: Asker) -> None:
    await publish(store, [working(busy(9, 10)), snapshot(mailbox_id="idle")], now=MONDAY)
    asked = {"mailboxes": ["m-0001", "idle", "nobody"], "interval": 720, **DAY_ONE}
    answer = (await asker.post(MANY, asked)).body
    first, second, third = answer["mailboxes"]
    assert (answer["interval"], first["availability_view"], second["availability_view"]) == (720, "20", "00")
    assert (first["working_hours"], "working_hours" in second) == (WEEK, False)
    assert set(third) == {"mailbox", "error"}


async def test_a_wrong_interval_is_named(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot()], now=MONDAY)
    for interval in ("4", "1441", "x", "-5", "60.0", ""):
        answer = await asker.get(ONE, interval=interval)
        assert (interval, answer.status, answer.body["field"]) == (interval, 422, "interval")


async def test_more_digits_than_anybody_can_use_are_refused(asker: Asker) -> None:
    asked = {"mailboxes": ["m"] * 1000, "from": "2026-01-05T00:00:00Z", "to": "2026-03-08T00:00:00Z", "interval": 5}
    answer = await asker.post(MANY, asked)
    assert (answer.status, answer.body["field"]) == (422, "interval")


# -- Google's shape -----------------------------------------------------------------------------------------------


async def test_googles_question_is_answered_with_what_is_plainly_busy(store: Store, asker: Asker) -> None:
    line = (
        busy(1, 2, Status.FREE), busy(9, 10), busy(10, 11, Status.TENTATIVE), busy(11, 12, Status.ELSEWHERE),
        busy(13, 14, Status.OOF), busy(14, 15, Status.UNKNOWN),
    )  # fmt: skip
    await publish(store, [snapshot(*line), snapshot(mailbox_id="idle")], now=MONDAY)
    asked = {"items": [{"id": "M-0001@example.com"}, {"id": "idle"}], "timeZone": "Europe/Berlin", **GOOGLE_DAY}
    answer = await asker.post(GOOGLE, asked)
    assert answer.body == {
        "kind": "calendar#freeBusy",
        "timeMin": "2026-01-05T00:00:00Z",
        "timeMax": "2026-01-06T00:00:00Z",
        "calendars": {
            "M-0001@example.com": {
                "busy": [
                    {"start": "2026-01-05T10:00:00+01:00", "end": "2026-01-05T12:00:00+01:00"},
                    {"start": "2026-01-05T14:00:00+01:00", "end": "2026-01-05T16:00:00+01:00"},
                ]
            },
            "idle": {"busy": []},
        },
    }


async def test_what_is_not_known_is_an_error_in_googles_shape_and_never_an_empty_list(
    store: Store, asker: Asker
) -> None:
    await publish(store, [unreadable(Bucket.DENIED), snapshot(mailbox_id="idle")], now=MONDAY)
    asked = {"items": [{"id": "m-0001"}, {"id": "nobody@example.com"}], **GOOGLE_DAY}
    found = (await asker.post(GOOGLE, asked)).body["calendars"]
    assert found == {
        "m-0001": {"errors": [{"domain": "busyline", "reason": "availability_unknown"}]},
        "nobody@example.com": {"errors": [{"domain": "global", "reason": "notFound"}]},
    }
    late = {"items": [{"id": "idle"}], "timeMin": "2026-03-05T00:00:00Z", "timeMax": "2026-03-07T00:00:00Z"}
    found = (await asker.post(GOOGLE, late)).body["calendars"]
    assert found == {"idle": {"errors": [{"domain": "busyline", "reason": "outside_window"}]}}


WRONG_IN_GOOGLE: list[tuple[dict[str, Any], str]] = [
    ({"items": []}, "items"),
    ({"items": [{"id": ""}]}, "items[0].id"),
    ({"timeZone": "Middle/Earth"}, "timeZone"),
    ({"timeMin": "2026-01-05"}, "timeMin"),
    ({"timeMax": "2026-01-05T00:00:00Z"}, "timeMax"),
    ({"timeMax": "2026-12-01T00:00:00Z"}, "timeMax"),
    ({"surprise": 1}, "body"),
]


async def test_a_wrong_question_in_googles_shape_is_named(asker: Asker) -> None:
    for changed, field in WRONG_IN_GOOGLE:
        answer = await asker.post(GOOGLE, {"items": [{"id": "m"}], **GOOGLE_DAY, **changed})
        assert (changed, answer.status, answer.body["field"]) == (changed, 422, field)


# -- Graph's shape ------------------------------------------------------------------------------------------------


async def test_graphs_question_is_answered_in_the_zone_preferred(store: Store, asker: Asker) -> None:
    await publish(store, [working(busy(9, 10), events=(event(9, 10, "plan"),))], now=MONDAY)
    asker.session.headers["Prefer"] = 'outlook.body-content-type="text", outlook.timezone="W. Europe Standard Time"'
    answer = await asker.post(GRAPH, {"schedules": ["M-0001@example.com"], **GRAPH_DAY})
    (found,) = answer.body["value"]
    zone = {"timeZone": "W. Europe Standard Time"}
    assert (found["scheduleId"], found["availabilityView"]) == ("M-0001@example.com", "0" * 18 + "22" + "0" * 28)
    assert found["scheduleItems"] == [
        {
            "status": "busy",
            "subject": "plan",
            "isPrivate": False,
            "start": {"dateTime": "2026-01-05T10:00:00.0000000", **zone},
            "end": {"dateTime": "2026-01-05T11:00:00.0000000", **zone},
        }
    ]
    assert found["workingHours"]["timeZone"] == {"name": "W. Europe Standard Time"}


async def test_names_with_capitals_and_an_interval_as_text_are_understood_as_graph_does(
    store: Store, asker: Asker
) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    asked = {
        "Schedules": ["m-0001"],
        "StartTime": {"dateTime": "2026-01-05T01:00:00", "timeZone": "Pacific Standard Time"},
        "EndTime": {"dateTime": "2026-01-05T10:00:00Z", "timeZone": "UTC"},
        "availabilityViewInterval": "30",
    }
    (found,) = (await asker.post(GRAPH, asked)).body["value"]
    assert (found["availabilityView"], len(found["scheduleItems"])) == ("22", 1)
    assert found["scheduleItems"][0]["start"] == {"dateTime": "2026-01-05T09:00:00.0000000", "timeZone": "UTC"}


async def test_what_is_not_known_is_an_error_in_graphs_shape(store: Store, asker: Asker) -> None:
    await put_mailbox(store, "new")
    await publish(store, [unreadable(Bucket.DENIED)], now=MONDAY)
    asked = {"schedules": ["m-0001", "new", "nobody@example.com"], **GRAPH_DAY}
    found = (await asker.post(GRAPH, asked)).body["value"]
    assert [set(each) for each in found] == [{"scheduleId", "error"}] * 3
    assert [each["error"]["responseCode"] for each in found] == [
        "ErrorFreeBusyGenerationFailed",
        "ErrorFreeBusyGenerationFailed",
        "ErrorMailRecipientNotFound",
    ]


WRONG_IN_GRAPH: list[tuple[dict[str, Any], str]] = [
    ({"schedules": []}, "schedules"),
    ({"availabilityViewInterval": 4}, "availabilityViewInterval"),
    ({"availabilityViewInterval": "2000"}, "availabilityViewInterval"),
    ({"startTime": {"dateTime": "2026-01-05T00:00:00", "timeZone": "Middle/Earth"}}, "startTime.timeZone"),
    ({"startTime": {"dateTime": "tomorrow", "timeZone": "UTC"}}, "startTime.dateTime"),
    ({"endTime": {"dateTime": "2026-02-30T00:00:00", "timeZone": "UTC"}}, "endTime.dateTime"),
    ({"endTime": {"dateTime": "0001-01-01T00:00:00", "timeZone": "Asia/Tokyo"}}, "endTime.dateTime"),
    ({"endTime": {"dateTime": "2026-01-05T00:00:00", "timeZone": "UTC"}}, "endTime"),
    ({"surprise": 1}, "body"),
]


async def test_a_wrong_question_in_graphs_shape_is_named(asker: Asker) -> None:
    for changed, field in WRONG_IN_GRAPH:
        answer = await asker.post(GRAPH, {"schedules": ["m"], **GRAPH_DAY, **changed})
        assert (changed, answer.status, answer.body["field"]) == (changed, 422, field)


async def test_a_zone_preferred_that_nobody_knows_is_refused(asker: Asker) -> None:
    asker.session.headers["Prefer"] = "outlook.timezone=Middle/Earth"
    answer = await asker.post(GRAPH, {"schedules": ["m"], **GRAPH_DAY})
    assert (answer.status, answer.body["field"]) == (422, "Prefer")


async def test_what_is_no_question_at_all_is_refused(asker: Asker) -> None:
    assert [(await asker.post(GRAPH, body)).status for body in (b"[]", b"7", b"{", b'{"schedules": "m"}')] == [
        422, 422, 400, 422,
    ]  # fmt: skip


@pytest.mark.parametrize("path", [GOOGLE, GRAPH])
async def test_familiar_shapes_tell_nothing_of_another_org(store: Store, asker: Asker, path: str) -> None:
    await connect(store, "beta")
    answers = [await asker.post(path.replace("acme", org_id), {}) for org_id in ("beta", "absent")]
    assert [answer.status for answer in answers] == [404, 404]
    assert answers[0].raw == answers[1].raw
