"""FindItem and GetItem become events with their details, in Graph's words; what makes no sense is no view."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.messages import RawDetails, RawEvent
from shared.ews.calendar_view import ItemDetails, details, view
from shared.ews.errors import EwsError
from tests.unit.shared.exchange_fake import fault, message, soap

NINE = 1_772_355_600
WHOLE = (
    '<t:ItemId Id="A=" ChangeKey="C"/><t:Subject> Plans &amp; more</t:Subject><t:Sensitivity>Normal</t:Sensitivity>'
    "<t:Start>2026-03-01T09:00:00Z</t:Start><t:End>2026-03-01T10:00:00Z</t:End><t:IsAllDayEvent>false</t:IsAllDayEvent>"
    "<t:LegacyFreeBusyStatus>Busy</t:LegacyFreeBusyStatus><t:Location>Room 1</t:Location>"
    "<t:IsCancelled>false</t:IsCancelled><t:CalendarItemType>Occurrence</t:CalendarItemType>"
    "<t:MyResponseType>Accept</t:MyResponseType>"
)


def found(*items: str, end: str = ' IncludesLastItemInRange="true"') -> bytes:
    kept = "".join(f"<t:CalendarItem>{item}</t:CalendarItem>" for item in items)
    return message("FindItem", f"<m:RootFolder{end}><t:Items>{kept}</t:Items></m:RootFolder>")


def got(*answers: str) -> bytes:
    inner = "".join(answers)
    return soap(f"<m:GetItemResponse><m:ResponseMessages>{inner}</m:ResponseMessages></m:GetItemResponse>")


def good(item: str) -> str:
    return (
        '<m:GetItemResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
        f"<m:Items><t:CalendarItem>{item}</t:CalendarItem></m:Items></m:GetItemResponseMessage>"
    )


def bad(code: str) -> str:
    return (
        f'<m:GetItemResponseMessage ResponseClass="Error"><m:ResponseCode>{code}</m:ResponseCode><m:Items/>'
        "</m:GetItemResponseMessage>"
    )


def only(item: str) -> RawEvent:
    (event,) = view([found(item)]).events
    return event


def error(body: bytes) -> EwsError:
    with pytest.raises(EwsError) as caught:
        view([body])
    return caught.value


def test_an_item_becomes_an_event_with_what_a_view_gives() -> None:
    assert only(WHOLE) == RawEvent(
        NINE, NINE + 3600, "busy", "normal", False, False, "accepted",
        RawDetails("A=", " Plans & more", "", (), "Room 1", "", ""), False,
    )  # fmt: skip


def test_the_order_of_fields_and_fields_not_asked_for_do_not_matter() -> None:
    fields = [f"<{part}" for part in WHOLE.split("<") if part and not part.startswith("/")]
    turned = "".join(
        f"{field}</t:{field[3:].partition('>')[0]}>" if not field.endswith("/>") else field
        for field in reversed(fields)
    )
    assert only(f"<t:Body>secret</t:Body><x:New xmlns:x='u:x'><t:Start>1</t:Start></x:New>{turned}") == only(WHOLE)


def test_an_all_day_item_keeps_its_instants_and_is_placed() -> None:
    event = only(WHOLE.replace("<t:IsAllDayEvent>false", "<t:IsAllDayEvent>true"))
    assert (event.all_day, event.placed, event.start) == (True, True, NINE)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("Free", "free"), ("Tentative", "tentative"), ("Busy", "busy"), ("OOF", "oof"),
     ("WorkingElsewhere", "workingElsewhere"), ("NoData", "unknown"), ("", "unknown"), ("Napping", "busy")],
)  # fmt: skip
def test_a_status_is_told_in_graphs_words(word: str, meant: str) -> None:
    assert only(WHOLE.replace("Busy</t:Legacy", f"{word}</t:Legacy")).show_as == meant


@pytest.mark.parametrize(
    ("word", "meant"),
    [("Unknown", "none"), ("Organizer", "organizer"), ("Tentative", "tentativelyAccepted"), ("Accept", "accepted"),
     ("Decline", "declined"), ("NoResponseReceived", "notResponded"), ("Else", "")],
)  # fmt: skip
def test_an_answer_is_told_in_graphs_words(word: str, meant: str) -> None:
    assert only(WHOLE.replace("Accept<", f"{word}<")).response == meant


@pytest.mark.parametrize(("word", "meant"), [("Personal", "personal"), ("Private", "private"), ("Odd", "private")])
def test_what_may_be_private_is_private(word: str, meant: str) -> None:
    assert only(WHOLE.replace("Normal", word)).sensitivity == meant
    assert only(WHOLE.replace("<t:Sensitivity>Normal</t:Sensitivity>", "")).sensitivity == "private"


@pytest.mark.parametrize(
    ("said", "complete"),
    [("true", True), ("1", True), ("false", False), ("0", False), ("", False), (None, True)],
)
def test_a_view_is_complete_only_where_the_server_does_not_say_otherwise(said: str | None, complete: bool) -> None:
    end = "" if said is None else f' IncludesLastItemInRange="{said}"'
    assert view([found(WHOLE, end=end)]).complete is complete


@pytest.mark.parametrize(
    "item",
    [
        WHOLE.replace("2026-03-01T09", "2026-13-01T09"),
        WHOLE.replace("<t:End>2026-03-01T10:00:00Z</t:End>", ""),
        "",
        "x",
    ],
)
def test_one_item_without_times_is_no_view(item: str) -> None:
    assert error(found(WHOLE, item)).code == "malformed"


def test_an_answer_without_a_folder_is_no_view() -> None:
    assert error(message("FindItem")).code == "malformed"
    assert error(soap("")).code == "malformed"
    assert error(message("GetFolder")).code == "malformed"


def test_an_error_is_the_servers_own() -> None:
    assert error(message("FindItem", code="ErrorFolderNotFound")).code == "ErrorFolderNotFound"
    assert error(fault("ErrorServerBusy", back_off=1500)).back_off == 1.5
    assert error(message("FindItem", code="See the private text")).code == "malformed"


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**6)), max_size=30))
def test_every_item_is_an_event_in_the_order_given(spans: list[tuple[int, int]]) -> None:
    from shared.clock import moment  # noqa: PLC0415 -- used in this property alone

    items = [f"<t:Start>{moment(start)}</t:Start><t:End>{moment(start + more)}</t:End>" for start, more in spans]
    assert [(event.start, event.end) for event in view([found(*items)]).events] == [(a, a + b) for a, b in spans]


PERSON = "<t:Mailbox><t:Name>{0}</t:Name><t:EmailAddress>{1}</t:EmailAddress></t:Mailbox>"
ATTENDED = (
    '<t:ItemId Id="A="/><t:Preview>Bring tea</t:Preview>'
    f"<t:Organizer>{PERSON.format('Anna', 'anna@shop.example')}</t:Organizer>"
    f"<t:OptionalAttendees><t:Attendee>{PERSON.format('C', 'c@shop.example')}</t:Attendee></t:OptionalAttendees>"
    f"<t:RequiredAttendees><t:Attendee>{PERSON.format('Bela', '/O=ORG/CN=B')}</t:Attendee>"
    f"<t:Attendee>{PERSON.format('', '')}</t:Attendee></t:RequiredAttendees>"
    "<t:JoinOnlineMeetingUrl>https://meet.example/1</t:JoinOnlineMeetingUrl>"
)


def test_details_name_people_by_address_or_else_by_name_required_first() -> None:
    assert details([got(good(ATTENDED))]) == {
        "A=": ItemDetails(
            organizer="anna@shop.example",
            attendees=("Bela", "c@shop.example"),
            preview="Bring tea",
            join_url="https://meet.example/1",
        )
    }


def test_each_items_error_stands_under_the_id_that_was_asked() -> None:
    body = got(bad("ErrorItemNotFound"), good(ATTENDED), good(""))
    answers = details([body], ["gone", "A=", "odd"])
    assert {key: getattr(answer, "code", "") for key, answer in answers.items()} == {
        "gone": "ErrorItemNotFound", "A=": "", "odd": "",
    }  # fmt: skip
    assert set(details([body])) == {"0", "A=", ""}


def test_a_message_without_an_item_is_that_items_error() -> None:
    empty = good("").replace("<m:Items><t:CalendarItem></t:CalendarItem></m:Items>", "")
    answers = details([got(empty, good(ATTENDED))], ["a", "A="])
    assert getattr(answers["a"], "code", "") == "malformed"
    assert isinstance(answers["A="], ItemDetails)


def test_an_item_out_of_its_place_is_not_taken_for_another() -> None:
    other = ATTENDED.replace("Bring tea", "Bring coffee").replace("https://meet.example/1", "")
    answers = details([got(good(other).replace('"A="', '"B="'), good(ATTENDED))], ["A=", "B="])
    told = {key: answer.preview for key, answer in answers.items() if isinstance(answer, ItemDetails)}
    assert told == {"A=": "Bring tea", "B=": "Bring coffee"}


def test_no_details_at_all_are_an_error() -> None:
    with pytest.raises(EwsError, match="malformed"):
        details([got()])
