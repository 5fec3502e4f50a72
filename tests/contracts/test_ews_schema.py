"""The sandbox's EWS beside what Microsoft documents and what real servers said: requests, answers, faults."""

import json
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from deploy.sandbox.answers import Ask
from deploy.sandbox.ews import answering, soap
from deploy.sandbox.ews.call import Failed, SoapFault
from deploy.sandbox.ews.zone_rules import rules_of
from deploy.sandbox.ews.zones_printing import definition
from shared.zones import resolve
from tests.ews_schema import EWS, problems
from tests.unit.sandbox.asking import BASE
from tests.unit.sandbox.asking_ews import NAMES, PERSON, EwsCaller, basic, ews_caller

pytestmark = pytest.mark.skipif(not EWS.is_dir(), reason="the folder with Microsoft's schema is not here")

HANGING = frozenset({"GetStreamingEvents"})


def index() -> list[dict[str, Any]]:
    path = EWS / "index.json"
    return list(json.loads(path.read_text(encoding="utf-8"))["examples"]) if path.is_file() else []


REQUESTS = [
    entry["file"]
    for entry in index()
    if entry["kind"] == "request"
    and entry["operation"].removesuffix("Request") in answering.OPERATIONS
    and entry["operation"] not in HANGING
]
JUDGED = [entry for entry in index() if "valid" in entry]


@pytest.fixture
def caller(tmp_path: Path) -> EwsCaller:
    made = ews_caller(tmp_path, mailboxes=10, events=20)
    made.orders.change_account(mailbox=PERSON)
    return made


def test_the_schema_is_applied_as_it_was_when_the_examples_were_gathered() -> None:
    found = {entry["file"]: problems((EWS / entry["file"]).read_bytes()) == [] for entry in JUDGED}
    assert found == {entry["file"]: entry["valid"] for entry in JUDGED}
    assert sum(found.values()) > 100


def test_there_are_documented_requests_of_most_operations() -> None:
    assert len({name.rpartition("/")[2].partition("-")[0] for name in REQUESTS}) >= 12


@pytest.mark.parametrize("name", REQUESTS)
async def test_documented_requests_get_an_answer_the_schema_allows(caller: EwsCaller, name: str) -> None:
    body = (EWS / name).read_bytes()
    asked = Ask(method="POST", path="/EWS/Exchange.asmx", headers={"authorization": basic()}, body=body, base=BASE)
    answer = await answering.answer(caller.state, asked, {})
    assert answer.status in {200, 500}
    assert problems(answer.body) == []


def shape(element: etree._Element) -> tuple[Any, ...]:
    """Return an element by its name, its attributes, its text and its children, without the layout between them."""
    text = "" if element.text is None else element.text.strip()
    return (element.tag, dict(element.attrib), text, [shape(child) for child in element])


@pytest.mark.parametrize(
    "name",
    [
        "fault-errorimpersonateuserdenied.xml",
        "fault-errorinvalidexchangeimpersonationheaderdata.xml",
        "fault-errornonexistentmailbox.xml",
        "fault-errorserverbusy-backoff.xml",
    ],
)
def test_a_fault_has_the_form_real_servers_gave_it(caller: EwsCaller, name: str) -> None:
    real = etree.fromstring((EWS / "captures" / name).read_bytes())
    detail = real.find("s:Body/s:Fault/detail", NAMES)
    values = {value.get("Name"): value.text for value in detail.iterfind("t:MessageXml/t:Value", NAMES)}
    code, words = (detail.findtext(f"e:{tag}", namespaces=NAMES).strip() for tag in ("ResponseCode", "Message"))
    ours = soap.fault(caller.state, SoapFault(code, words, values=values))
    assert ours.status == 500
    assert shape(etree.fromstring(ours.body)) == shape(real)


@pytest.mark.parametrize(
    "name", ["finditem-errorcalendarviewrangetoobig.xml", "finditem-errorexceededfindcountlimit.xml"]
)
def test_an_error_has_the_form_real_servers_gave_it(name: str) -> None:
    real = etree.fromstring((EWS / "captures" / name).read_bytes()).find("s:Body/m:FindItemResponse", NAMES)
    values = {value.get("Name"): value.text for value in real.iterfind(".//t:Value", NAMES)}
    code, words = (real.findtext(f".//m:{tag}", namespaces=NAMES) for tag in ("ResponseCode", "MessageText"))
    ours = soap.response("FindItem", [soap.failure("FindItem", Failed(code, words, values=values))])
    assert shape(etree.fromstring(ours)) == shape(real)


def test_the_header_names_the_server_as_a_real_one_does(caller: EwsCaller) -> None:
    real = etree.fromstring((EWS / "recorded" / "getitem-onprem2019-01.xml").read_bytes())
    ours = etree.fromstring(soap.envelope(caller.state, b""))
    assert shape(ours.find("s:Header", NAMES)) == shape(real.find("s:Header", NAMES))


def test_the_zones_rules_are_those_a_real_server_gave() -> None:
    real = etree.fromstring((EWS / "captures" / "getservertimezones-response-weurope.xml").read_bytes())
    zone = resolve("W. Europe Standard Time")
    assert zone is not None
    made = definition("W. Europe Standard Time", rules_of(zone, 2026), full=True)
    ours = etree.fromstring(f'<m:x xmlns:m="{NAMES["m"]}" xmlns:t="{NAMES["t"]}">{made}</m:x>')
    for path in (".//t:Periods", ".//t:TransitionsGroups", ".//t:Transitions"):
        assert shape(ours.find(path, NAMES)) == shape(real.find(path, NAMES))
