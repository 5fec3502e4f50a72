"""In which order a request is judged, what is counted of it, and how an answer is sent."""

import gzip
from pathlib import Path

import pytest

from deploy.sandbox.answers import Ask
from deploy.sandbox.ews import answering
from tests.unit.sandbox.asking import BASE
from tests.unit.sandbox.asking_ews import PERSON, UPN, EwsCaller, basic, ews_caller

CONVERT = (
    '<m:ConvertId DestinationFormat="EwsId"><m:SourceIds>'
    '<t:AlternateId Format="EwsId" Id="DUMMY" Mailbox="a@b.example"/></m:SourceIds></m:ConvertId>'
)
VIEW = (
    '<m:FindItem Traversal="Shallow"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>'
    '<t:FieldURI FieldURI="calendar:Start"/><t:FieldURI FieldURI="calendar:End"/></t:AdditionalProperties>'
    "</m:ItemShape>"
    '<m:CalendarView StartDate="2026-11-01T00:00:00Z" EndDate="2027-06-01T00:00:00Z" MaxEntriesReturned="1000"/>'
    '<m:ParentFolderIds><t:DistinguishedFolderId Id="calendar"/></m:ParentFolderIds></m:FindItem>'
)


@pytest.fixture
def caller(tmp_path: Path) -> EwsCaller:
    return ews_caller(tmp_path, mailboxes=10, events=60)


async def raw(caller: EwsCaller, body: bytes, *, method: str = "POST", authorization: str | None = None) -> int:
    headers = {"authorization": basic() if authorization is None else authorization}
    asked = Ask(method=method, path="/EWS/Exchange.asmx", headers=headers, body=body, base=BASE)
    return (await answering.answer(caller.state, asked, {})).status


async def test_who_is_not_signed_in_is_turned_away_before_anything_is_read(caller: EwsCaller) -> None:
    assert await raw(caller, b"<nonsense", authorization="") == 401
    assert await raw(caller, b"<nonsense") == 500
    assert caller.state.counts.kinds == {"EWS sign-in": 1}


async def test_nothing_but_post_is_served(caller: EwsCaller) -> None:
    assert await raw(caller, b"", method="GET", authorization="") == 401
    assert await raw(caller, b"", method="GET") == 405


async def test_an_operation_nobody_knows_and_one_this_server_lacks_are_refused_alike(caller: EwsCaller) -> None:
    assert await caller.fault("<m:MakeCoffee/>") == (500, "ErrorInvalidRequest")
    assert (await caller.get(CONVERT)).tag.endswith("ConvertIdResponse")
    caller.orders.behave(without=frozenset({"ConvertId"}))
    assert await caller.fault(CONVERT) == (500, "ErrorInvalidRequest")


async def test_whom_it_may_not_impersonate_comes_before_what_it_asks(caller: EwsCaller) -> None:
    assert await caller.fault("<m:MakeCoffee/>", impersonated="nobody@sandbox.example") == (
        500,
        "ErrorNonExistentMailbox",
    )


async def test_a_view_without_a_mailbox_of_the_accounts_own_is_refused(caller: EwsCaller) -> None:
    assert await caller.fault(VIEW) == (500, "ErrorNonExistentMailbox")
    caller.orders.change_account(mailbox="person.0002@sandbox.example")
    await caller.get(VIEW)
    assert caller.state.counts.views == {"person.0002@sandbox.example": 1}


async def test_requests_are_counted_by_operation_mailbox_and_properties(caller: EwsCaller) -> None:
    await caller.get(VIEW, impersonated=PERSON)
    await caller.get(CONVERT)
    counts = caller.state.counts
    assert counts.kinds == {"EWS FindItem": 1, "EWS ConvertId": 1}
    assert counts.mailboxes == {PERSON: 1, UPN: 1}
    assert counts.views == {PERSON: 1}
    assert counts.selects == {"EWS FindItem": {"calendar:Start,calendar:End": 1}}
    assert counts.peaks[answering.ENDPOINT] == 1
    assert not counts.in_flight


async def test_a_large_answer_is_packed_for_who_can_unpack_it(caller: EwsCaller) -> None:
    plain = await caller.ask(VIEW, impersonated=PERSON)
    packed = await caller.ask(VIEW, impersonated=PERSON, accept_encoding="gzip, deflate")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 3
    assert gzip.decompress(packed.body) == plain.body
    assert "Content-Encoding" not in (await caller.ask(CONVERT, accept_encoding="gzip")).headers


async def test_every_answer_is_shown_to_who_wants_to_see_them_all(caller: EwsCaller) -> None:
    seen: list[bytes] = []
    caller.state.ews_seen = seen.append
    answers = [await caller.ask(CONVERT), await caller.ask("<m:MakeCoffee/>"), await caller.ask(VIEW)]
    assert seen == [answer.body for answer in answers]
