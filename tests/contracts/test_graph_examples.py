"""Microsoft's documented answers pass through the project's own decoding; what is abbreviated is refused."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.fetcher import events
from services.fetcher.asking import _read
from services.fetcher.directory import Answer, DirectoryUser, MailboxSettings, address_of, before_asking
from services.fetcher.events import Page, PageWithDetails, WithDetails
from services.fetcher.failure import Whose, of_reading
from services.fetcher.graph_hours import hours_said
from services.fetcher.job import DirectoryPage
from services.fetcher.stages import RoomPage
from shared import graph_answers
from shared.contracts.policy import Scope
from shared.contracts.values import Bucket, WorkingHours, WorkPeriod
from shared.graph import GraphError, answers_of

EXAMPLES = Path(__file__).parents[2] / ".." / "shared" / "data" / "graph" / "examples"

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the folder of documented examples is not here")


def example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / name).read_text(encoding="utf-8"))
    return found


def body(name: str) -> bytes:
    return json.dumps(example(name)["response"]["body"]).encode()


@pytest.mark.parametrize(
    "name",
    [
        "users-list.json",
        "users-list-assigned-license.json",
        "users-list-select-filter-signinname.json",
        "users-list-endswith-count.json",
    ],
)
def test_documented_lists_of_users_are_understood(name: str) -> None:
    printed = example(name)["response"]["body"]["value"]
    if not all("id" in one for one in printed):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(body(name), type=DirectoryPage)
        return
    page = msgspec.json.decode(body(name), type=DirectoryPage)
    assert [user.id for user in page.value] == [one["id"] for one in printed]


def test_documented_users_without_a_mail_bear_their_sign_in_name_and_only_a_call_decides() -> None:
    page = msgspec.json.decode(body("users-list.json"), type=DirectoryPage)
    assert [before_asking(user, Scope(), in_group=False) for user in page.value] == [None] * len(page.value)
    without = next(user for user in page.value if user.mail is None)
    assert address_of(without) == (without.user_principal_name or "").lower() != ""


def test_documented_group_members_are_understood() -> None:
    for name in ("group-transitivemembers.json", "group-transitivemembers-as-user-count.json"):
        page = msgspec.json.decode(body(name), type=DirectoryPage)
        assert page.value == [DirectoryUser(id="11111111-2222-3333-4444-555555555555", mail=page.value[0].mail)]


def test_a_page_with_a_link_carries_it() -> None:
    page = msgspec.json.decode(body("users-list-endswith-count.json"), type=DirectoryPage)
    assert page.next_link == example("users-list-endswith-count.json")["response"]["body"].get("@odata.nextLink")


def test_the_abbreviated_calendar_view_is_no_complete_page() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body("calendarview-list.json"), type=Page)


def test_a_documented_all_day_event_keeps_its_dates() -> None:
    page = msgspec.json.decode(body("event-allday-utc-midnight.json"), type=Page)
    event = events.raw(page.value[0])
    assert event.all_day
    assert event.end - event.start == 86_400
    assert event.start == 1_528_156_800  # 2018-06-05T00:00:00Z


@pytest.mark.parametrize("name", ["events-list-timezone.json", "event-instances.json"])
def test_documented_events_are_placed_whatever_zone_they_are_printed_in(name: str) -> None:
    page = msgspec.json.decode(body(name), type=PageWithDetails)
    assert page.value
    for event in page.value:
        made = events.raw(event)
        assert made.end > made.start
        assert made.details is not None
        assert made.details.subject == event.subject


@pytest.mark.parametrize("name", ["event-get-single.json", "event-get-multiple-locations.json"])
def test_documented_single_events_are_understood(name: str) -> None:
    event = events.raw(msgspec.json.decode(body(name), type=WithDetails))
    assert event.details is not None
    assert event.details.location == example(name)["response"]["body"]["location"]["displayName"]


def test_pacific_time_is_converted() -> None:
    event = events.raw(msgspec.json.decode(body("event-get-single.json"), type=WithDetails))
    assert event.start == 1_492_794_000  # 2017-04-21T17:00:00Z, seven hours after ten o'clock in daylight time


def test_documented_mailbox_settings_are_understood_and_nothing_else_of_them_is_kept() -> None:
    settings = msgspec.json.decode(body("mailboxsettings-get.json"), type=MailboxSettings)
    assert (settings.time_zone, settings.user_purpose) == ("UTC", None)
    assert "reunion" not in repr(settings) + bytes(settings.working_hours).decode()
    assert hours_said(settings.working_hours, 0) == WorkingHours(
        time_zone="Pacific Standard Time", periods=tuple(WorkPeriod(day, 480, 1020) for day in range(5))
    )


def test_documented_rooms_are_understood() -> None:
    page = msgspec.json.decode(body("places-rooms.json"), type=RoomPage)
    assert [room.email_address for room in page.value] == [
        one["emailAddress"] for one in example("places-rooms.json")["response"]["body"]["value"]
    ]


@pytest.mark.parametrize("name", ["batch-basic-2021.json", "batch-mixed-2025.json", "batch-with-429.json"])
def test_documented_batches_are_understood_in_the_order_asked(name: str) -> None:
    printed = example(name)
    asked = [request["id"] for request in printed["request"]["body"]["requests"]]
    answers = answers_of(asked, body(name))
    statuses = {one["id"]: one["status"] for one in printed["response"]["body"]["responses"]}
    assert [(answer.id, answer.status) for answer in answers] == [(each, statuses.get(each, 0)) for each in asked]


def test_a_throttled_item_of_a_batch_says_how_long() -> None:
    throttled = answers_of(["2"], body("batch-with-429.json"))[0]
    assert (throttled.status, throttled.code, throttled.retry_after) == (429, "TooManyRequests", 10.0)
    assert _read(throttled, 0) == Answer(status=0, code="TooManyRequests")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("error-400-calendarview-1825-days.json", "ErrorInvalidRequest"),
        ("error-400-subscription-validation.json", "InvalidRequest"),
        ("error-403-access-policy.json", "ErrorAccessDenied"),
        ("error-404-mailboxnotenabled.json", "MailboxNotEnabledForRESTAPI"),
        ("error-404-mailboxnotenabled-newer-text.json", "MailboxNotEnabledForRESTAPI"),
        ("error-410-syncstatenotfound.json", "SyncStateNotFound"),
        ("error-429-mailboxconcurrency.json", "ApplicationThrottled"),
        ("error-429-throttled.json", "TooManyRequests"),
        ("error-501-notimplemented.json", "NotImplemented"),
    ],
)
def test_documented_errors_have_their_code(name: str, code: str) -> None:
    assert graph_answers.error_code(body(name)).lower() == code.lower()


def fate_of(name: str) -> tuple[Whose, Bucket | None]:
    printed = example(name)["response"]
    fate = of_reading(GraphError(status=printed["status"], code=graph_answers.error_code(body(name))), 1)
    return fate.whose, fate.bucket


def test_documented_errors_have_their_fate() -> None:
    assert fate_of("error-403-access-policy.json") == (Whose.MAILBOX, Bucket.DENIED)
    assert fate_of("error-404-mailboxnotenabled.json") == (Whose.MAILBOX, Bucket.NO_MAILBOX)
    assert fate_of("error-404-mailboxnotenabled-newer-text.json") == (Whose.MAILBOX, Bucket.NO_MAILBOX)
    assert fate_of("error-429-mailboxconcurrency.json") == (Whose.PASSING, None)
    assert fate_of("error-501-notimplemented.json") == (Whose.PASSING, None)
