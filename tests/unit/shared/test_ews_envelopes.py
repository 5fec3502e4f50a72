"""Every request is what Microsoft's schema allows, carries outside texts as texts, and names no field too many."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from shared.contracts.values import DAY, Window
from shared.ews import envelopes
from shared.ews.envelopes import Envelope, http_headers, soap
from tests.ews_schema import problems

WINDOW = Window(1_772_323_200, 1_772_323_200 + 7 * DAY)  # 2026-03-01 and a week
EVERY = {
    "convert_id": envelopes.convert_id(),
    "resolve_names": envelopes.resolve_names("anna@shop.example"),
    "calendar_folder": envelopes.calendar_folder("anna@shop.example"),
    "times": envelopes.calendar_view("anna@shop.example", WINDOW, details=False),
    "view": envelopes.calendar_view("anna@shop.example", WINDOW, details=True, most=250),
    "item_details": envelopes.item_details("anna@shop.example", ["AAMk=", 'A"<&'], conferencing=True),
    "free_busy": envelopes.free_busy(["anna@shop.example", "bela@shop.example"], WINDOW),
    "sync_items": envelopes.sync_items("anna@shop.example", ""),
    "sync_items_since": envelopes.sync_items("anna@shop.example", "H4sIAAA=", most=100),
    "user_options": envelopes.user_options("anna@shop.example"),
    "expand_group": envelopes.expand_group("all@shop.example"),
    "room_lists": envelopes.room_lists(),
    "rooms": envelopes.rooms("house1@shop.example"),
    "subscribe": envelopes.subscribe("anna@shop.example"),
    "streaming_events": envelopes.streaming_events(["a=", "b="], minutes=30, mailbox="anna@shop.example"),
    "unsubscribe": envelopes.unsubscribe("a="),
}
BLIND = {"convert_id", "resolve_names", "free_busy", "expand_group", "room_lists", "rooms", "unsubscribe"}


def fields(envelope: Envelope) -> set[str]:
    return set(re.findall(r'FieldURI="([^"]+)"', envelope.body.decode()))


@pytest.mark.parametrize("name", EVERY)
def test_a_request_is_valid_by_microsofts_schema(name: str) -> None:
    assert problems(soap(EVERY[name])) == []


@pytest.mark.parametrize("name", EVERY)
def test_a_request_is_charged_to_the_mailbox_it_impersonates_and_else_to_the_account(name: str) -> None:
    text = soap(EVERY[name]).decode()
    impersonated = "<t:PrimarySmtpAddress>anna@shop.example</t:PrimarySmtpAddress>" in text
    assert impersonated is (name not in BLIND)
    assert EVERY[name].charged == ("mailbox" if impersonated else "account")
    assert http_headers(EVERY[name]).get("X-AnchorMailbox", "") == ("anna@shop.example" if impersonated else "")


def test_no_field_is_asked_for_that_no_policy_publishes() -> None:
    assert fields(EVERY["times"]) == {"calendar:Start", "calendar:End"}
    assert fields(EVERY["view"]) == {
        "item:Subject", "item:Sensitivity", "calendar:Start", "calendar:End", "calendar:IsAllDayEvent",
        "calendar:LegacyFreeBusyStatus", "calendar:Location", "calendar:IsCancelled", "calendar:CalendarItemType",
        "calendar:MyResponseType",
    }  # fmt: skip
    assert not any("Body" in field or "TimeZone" in field for envelope in EVERY.values() for field in fields(envelope))
    assert b"TimeZoneContext" not in b"".join(map(soap, EVERY.values()))


def test_the_link_to_join_is_asked_for_only_where_conferencing_is_published() -> None:
    without = envelopes.item_details("anna@shop.example", ["AAMk="], conferencing=False)
    assert fields(EVERY["item_details"]) - fields(without) == {"calendar:JoinOnlineMeetingUrl"}


def test_free_busy_asks_for_times_only_in_utc() -> None:
    text = EVERY["free_busy"].body.decode()
    assert "<t:RequestedView>FreeBusy</t:RequestedView>" in text
    assert "<t:StartTime>2026-03-01T00:00:00</t:StartTime><t:EndTime>2026-03-08T00:00:00</t:EndTime>" in text
    assert set(re.findall(r"<t:Bias>(\d+)</t:Bias>", text)) == {"0"}


def test_a_group_of_subscriptions_is_led_to_one_server() -> None:
    member = envelopes.subscribe("bela@shop.example", anchor="anna@shop.example")
    assert http_headers(member) == {"X-AnchorMailbox": "anna@shop.example", "X-PreferServerAffinity": "true"}
    assert b"<t:PrimarySmtpAddress>bela@shop.example<" in soap(member)
    assert "X-PreferServerAffinity" not in http_headers(EVERY["view"])


@given(st.text(max_size=60))
def test_whatever_an_address_holds_stays_one_text(address: str) -> None:
    wanted = [EVERY["resolve_names"], envelopes.resolve_names(address), envelopes.free_busy([address], WINDOW)]
    wanted += [Envelope(operation="X", body=b"<m:X/>", mailbox=address)]
    trees = [etree.fromstring(soap(envelope)) for envelope in wanted]
    assert len(list(trees[0].iter())) == len(list(trees[1].iter()))
    legal = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", address)
    as_read = legal.replace("\r\n", "\n").replace("\r", "\n")
    assert as_read in {text or "" for text in trees[1].itertext()} | {""}
    assert as_read in {text or "" for text in trees[2].itertext()} | {""}


@given(st.text(max_size=40))
def test_an_address_never_breaks_out_of_its_header(address: str) -> None:
    for value in http_headers(Envelope(operation="X", body=b"", mailbox=address)).values():
        assert value == address
        assert re.fullmatch(r"[!-~]+", value)
