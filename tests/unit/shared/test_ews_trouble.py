"""Of what a server writes about an error only codes, limits, pauses and addresses pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ews.errors import EwsError
from shared.ews.trouble import acknowledged
from tests.unit.shared.exchange_fake import fault, message, soap


def told(body: bytes) -> EwsError:
    with pytest.raises(EwsError) as caught:
        acknowledged([body])
    return caught.value


def values(**named: str) -> str:
    inner = "".join(f'<t:Value Name="{name}">{value}</t:Value>' for name, value in named.items())
    return f"<m:MessageXml>{inner}</m:MessageXml>"


def text(written: str) -> str:
    return f"<m:MessageText>{written}</m:MessageText>"


def test_the_pause_a_busy_server_orders_is_in_seconds_and_has_an_end() -> None:
    assert told(fault("ErrorServerBusy", back_off=297_749)).back_off == 297.749
    assert told(fault("ErrorServerBusy", back_off=999_999_999)).back_off == 86_400
    assert told(fault("ErrorServerBusy")).back_off is None
    busy = message("FindItem", values(BackOffMilliseconds="soon"), code="ErrorServerBusy")
    assert told(busy).back_off is None


def test_a_busy_server_hidden_in_an_internal_error_is_a_busy_server() -> None:
    hidden = values(
        InnerErrorMessageText="The server cannot service this request",
        InnerErrorResponseCode="ErrorServerBusy",
        InnerErrorDescriptiveLinkKey="0",
        BackOffMilliseconds="4000",
    )
    error = told(message("FindItem", hidden, code="ErrorInternalServerError"))
    assert (error.code, error.back_off) == ("ErrorServerBusy", 4.0)
    assert told(message("FindItem", code="ErrorInternalServerError")).code == "ErrorInternalServerError"


def test_the_right_address_is_named_where_a_secondary_one_was_used() -> None:
    kept = message("GetFolder", values(Primary="Anna.New@shop.example"), code="ErrorNonPrimarySmtpAddress")
    assert told(kept).value == "anna.new@shop.example"
    written = text("The SMTP address 'anna.new@shop.example' must be used.")
    assert told(message("GetFolder", more=written, code="ErrorNonPrimarySmtpAddress")).value == "anna.new@shop.example"
    assert told(message("GetFolder", more=text("no address"), code="ErrorNonPrimarySmtpAddress")).value == ""


def test_a_limit_that_was_passed_is_named() -> None:
    days = text("The allowed limit = 62 days; the actual limit = 63 days.")
    assert told(message("X", more=days, code="ErrorTimeIntervalTooBig")).value == "62"
    assert told(message("X", values(PolicyLimit="1000"), code="ErrorExceededFindCountLimit")).value == "1000"


def test_a_fault_without_a_code_is_known_by_its_faultcode_or_not_at_all() -> None:
    assert (
        told(soap("<s:Fault><faultcode>a:ErrorSchemaValidation</faultcode></s:Fault>")).code == "ErrorSchemaValidation"
    )
    assert told(soap("<s:Fault><faultcode>s:Client</faultcode><faultstring>x</faultstring></s:Fault>")).code == "fault"


@given(st.text(alphabet=st.characters(blacklist_characters="<&>\r", blacklist_categories=("Cs", "Cc"))))
def test_no_text_of_a_server_becomes_a_code_or_a_value(written: str) -> None:
    error = told(message("X", values(Other=written), more=text(f"canary {written} words"), code=f"Canary {written}"))
    assert error.code == "malformed"
    assert error.value == "" or error.value.isdigit()
    assert str(error) == "malformed"
