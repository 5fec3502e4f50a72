"""A server busy for a moment costs a reading a moment and not what it has read so far."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest

from services.fetcher.exchange_details import read_details
from services.fetcher.exchange_fate import BRIEF, UNTOLD, brief, for_everybody
from services.fetcher.exchange_free_busy import _answers
from services.fetcher.failure import PAUSED
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import DAY, Window
from shared.ews.envelopes import Envelope
from shared.ews.errors import EwsError
from tests.unit.fetcher.exchange_town import Exchange, event

T = TypeVar("T")
WINDOW = Window(0, 30 * DAY)
DETAILS = Policy(detail=Detail.DETAILS)
PERSON = "person1@example.org"
BUSY = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
    b'<m:GetUserAvailabilityResponse xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages" '
    b'xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"><m:FreeBusyResponseArray><m:FreeBusyResponse>'
    b'<m:ResponseMessage ResponseClass="Error"><m:ResponseCode>ErrorInternalServerError</m:ResponseCode><m:MessageXml>'
    b'<t:Value Name="InnerErrorResponseCode">ErrorServerBusy</t:Value>'
    b'<t:Value Name="BackOffMilliseconds">200</t:Value></m:MessageXml></m:ResponseMessage>'
    b"</m:FreeBusyResponse></m:FreeBusyResponseArray></m:GetUserAvailabilityResponse></s:Body></s:Envelope>"
)


class BusyExchange(Exchange):
    """Says of some items, as often as it is told, that it is too busy for them."""

    def __init__(self, busy: dict[str, int]) -> None:
        super().__init__()
        self.busy = busy

    async def ask(self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T]) -> T:
        answer: Any = await super().ask(envelope, decode)
        if envelope.operation == "GetItem":
            answer |= {name: self._refusal(name) for name in answer if self.busy.get(name, 0)}
        return answer  # type: ignore[no-any-return]  # a dictionary of whatever was asked for

    def _refusal(self, name: str) -> EwsError:
        self.busy[name] -= 1
        return EwsError("ErrorServerBusy", back_off=0.01)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (EwsError("ErrorServerBusy", back_off=0.5), 0.5),
        (EwsError("ErrorServerBusy", back_off=BRIEF), BRIEF),
        (EwsError("ErrorServerBusy", back_off=BRIEF + 0.1), None),
        (EwsError("ErrorExceededConnectionCount"), UNTOLD),
        (EwsError(PAUSED, back_off=1.0), 1.0),
        (EwsError(PAUSED, back_off=60.0), None),
        (EwsError("timeout"), None),
        (EwsError("sign_in_refused"), None),
        (EwsError("ErrorImpersonateUserDenied"), None),
    ],
)
def test_only_a_busy_server_is_waited_for_in_hand_and_only_for_a_moment(error: EwsError, seconds: float | None) -> None:
    assert brief(error) == seconds


@pytest.mark.parametrize(
    ("error", "everybodys"),
    [
        (EwsError("ErrorServerBusy"), True),
        (EwsError("ErrorServerBusy", charged="mailbox"), False),
        (EwsError("ErrorServerBusy", charged="mailbox", status=503), True),
    ],
)
def test_a_busy_server_is_everybodys_unless_one_mailbox_is_charged(error: EwsError, *, everybodys: bool) -> None:
    assert for_everybody(error) is everybodys


async def test_items_that_a_busy_server_did_not_answer_are_asked_for_again_alone() -> None:
    server = BusyExchange({"b": 2})
    server.books[PERSON] = [event(DAY + hour * 3600, DAY + hour * 3600 + 60, name) for hour, name in enumerate("abc")]
    found = await read_details(server, PERSON, WINDOW, policy=DETAILS)
    assert [each.details.preview for each in found if each.details] == ["text of a", "text of b", "text of c"]
    asked = [envelope.body.count(b"<t:ItemId ") for envelope in server.asked if envelope.operation == "GetItem"]
    assert asked == [3, 1, 1]


async def test_items_that_a_server_is_always_too_busy_for_are_given_up() -> None:
    server = BusyExchange({"b": 100})
    server.books[PERSON] = [event(DAY, DAY + 60, "b")]
    with pytest.raises(EwsError, match="ErrorServerBusy"):
        await asyncio.wait_for(read_details(server, PERSON, WINDOW, policy=DETAILS), 60)
    assert server.operations["GetItem"] == 4


def test_one_response_that_the_server_is_busy_counts_for_all_who_were_asked_for() -> None:
    with pytest.raises(EwsError) as caught:
        _answers([BUSY])
    assert (caught.value.code, caught.value.back_off) == ("ErrorServerBusy", 0.2)
