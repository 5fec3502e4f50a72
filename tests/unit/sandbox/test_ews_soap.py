"""What SOAP requests are read as, which are refused, and how texts are written so that they are read back."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from deploy.sandbox.ews import soap
from deploy.sandbox.ews.call import M_NS, T_NS, Failed, SoapFault
from tests.unit.sandbox.asking_ews import EwsCaller, envelope, ews_caller

FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
CONVERT = '<m:ConvertId DestinationFormat="EwsId"/>'


@pytest.fixture
def caller(tmp_path: Path) -> EwsCaller:
    return ews_caller(tmp_path, mailboxes=1, events=1)


def refused(body: bytes) -> SoapFault:
    with pytest.raises(SoapFault) as found:
        soap.parse(body)
    return found.value


def test_the_operation_is_read_and_nobody_is_impersonated_without_a_header() -> None:
    request = soap.parse(envelope(CONVERT))
    assert (request.name, request.impersonated, request.kind) == ("ConvertId", None, "")


@pytest.mark.parametrize("kind", soap.KINDS)
def test_whoever_the_header_names_is_read_with_the_kind_of_name(kind: str) -> None:
    request = soap.parse(envelope(CONVERT, impersonated=" a@b.example ", kind=kind))
    assert (request.impersonated, request.kind) == ("a@b.example", kind)


def test_a_header_that_names_nobody_is_told_from_none() -> None:
    assert soap.parse(envelope(CONVERT, impersonated="x", kind="Nickname")).impersonated == ""


def test_the_name_of_the_free_busy_operation_is_put_right() -> None:
    assert soap.parse(envelope("<m:GetUserAvailabilityRequest/>")).name == "GetUserAvailability"


DTD = b'<!DOCTYPE s [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY x SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"no xml at all",
        b"\xff\xfe\x00",
        b'<?xml version="1.0" encoding="utf-8"?><a>\xe4</a>',
        b"<a/>",
        DTD + envelope(CONVERT),
        DTD + envelope('<m:ConvertId DestinationFormat="EwsId">&b;&x;</m:ConvertId>'),
        envelope("<m:ConvertId>" + "<t:Id>" * 1000 + "</t:Id>" * 1000 + "</m:ConvertId>"),
        envelope(CONVERT + CONVERT),
        envelope(""),
        envelope("<t:ConvertId/>"),
        envelope(f"<!--{'x' * soap.LARGEST}-->{CONVERT}"),
    ],
)
def test_what_is_no_plain_request_is_refused_by_the_schema(body: bytes) -> None:
    assert refused(body).code == "ErrorSchemaValidation"


def test_a_version_nobody_knows_is_refused() -> None:
    body = envelope(CONVERT).replace(b'"Exchange2016"', b'"Exchange1999"')
    assert refused(body).code == "ErrorInvalidServerVersion"


@given(st.text(alphabet=st.characters(codec=None)))
def test_a_text_is_read_back_but_for_what_xml_cannot_write(said: str) -> None:
    kept = FORBIDDEN.sub("", said)
    read = etree.fromstring(f'<a b="{soap.attribute(said)}">{soap.text(said)}</a>'.encode())
    assert (read.text or "") == kept
    assert read.get("b") == kept


def test_an_error_carries_its_code_its_words_and_its_values() -> None:
    failed = Failed("ErrorItemNotFound", 'a "b" & <c>', values={"Limit": "1 & 2"})
    made = etree.fromstring(soap.response("GetItem", [soap.failure("GetItem", failed, "<m:Items/>")]))
    message = made.find(f"{{{M_NS}}}ResponseMessages/{{{M_NS}}}GetItemResponseMessage")
    assert message is not None
    assert message.get("ResponseClass") == "Error"
    assert [child.text for child in message][:3] == ['a "b" & <c>', "ErrorItemNotFound", "0"]
    assert message.findtext(f".//{{{T_NS}}}Value") == "1 & 2"


def test_answers_name_the_server_and_faults_do_not(caller: EwsCaller) -> None:
    made = etree.fromstring(soap.envelope(caller.state, b"<x/>"))
    server = made.find(f".//{{{T_NS}}}ServerVersionInfo")
    assert server is not None
    assert dict(server.attrib) == {
        "MajorVersion": "15",
        "MinorVersion": "2",
        "MajorBuildNumber": "1748",
        "MinorBuildNumber": "10",
        "Version": "V2017_07_11",
    }
    fault = soap.fault(caller.state, SoapFault("ErrorServerBusy", "busy", values={"BackOffMilliseconds": "5"}))
    assert (fault.status, fault.content_type) == (500, "text/xml; charset=utf-8")
    assert b"ServerVersionInfo" not in fault.body


def test_faults_have_the_status_of_the_servers_manners(caller: EwsCaller) -> None:
    caller.orders.behave(fault_status=200)
    assert soap.fault(caller.state, SoapFault("ErrorServerBusy", "busy")).status == 200
    assert soap.fault(caller.state, SoapFault("ErrorServerBusy", "busy", status=503)).status == 503
