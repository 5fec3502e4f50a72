"""CPU seconds that one item of an Exchange answer costs: exchangelib's own objects beside our decoders, same bytes."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from exchangelib import BASIC, IMPERSONATION, Account, Build, Configuration, Credentials, EWSTimeZone, Version
from exchangelib.services import FindItem, GetUserAvailability
from exchangelib.util import DummyResponse

from shared.ews.availability import availability
from shared.ews.calendar_view import view
from shared.ews.envelopes import MESSAGES, SOAP, TYPES

ITEMS = 1000
PEOPLE = 100  # in one request, as the fetcher asks
EACH = 60  # events of one person
ROUNDS = 9
AIM = 15
_BEGAN = datetime(2026, 3, 2, 8, tzinfo=UTC)
_SHOWS = ("Busy", "Tentative", "OOF", "Free", "WorkingElsewhere")


def decoding() -> None:
    """Print what an item costs in each operation, and how many times as much exchangelib's objects take."""
    print(f"\n## decoding, CPU per item, the best of {ROUNDS} rounds; the aim is {AIM} x less")
    _compare("FindItem (calendar view, 10 fields)", ITEMS, _found(), ours=_viewed, theirs=_their_view())
    _compare("GetUserAvailability (free/busy)", PEOPLE * EACH, _free(), ours=_available, theirs=_their_availability())


def _compare(
    name: str, items: int, body: bytes, *, ours: Callable[[bytes], int], theirs: Callable[[bytes], int]
) -> None:
    """Print both costs side by side, and refuse to compare what is not the same."""
    assert ours(body) == theirs(body) == items, "another number of items"
    rounds = [(_cpu(theirs, body), _cpu(ours, body)) for _ in range(ROUNDS)]
    their, our = (min(column) / items * 1e6 for column in zip(*rounds, strict=True))
    print(f"{name:<38} exchangelib {their:7.1f} us   busyline {our:6.2f} us   = {their / our:.1f} x less")


def _cpu(decode: Callable[[bytes], int], body: bytes) -> float:
    before = time.process_time()
    decode(body)
    return time.process_time() - before


def _pieces(body: bytes) -> Sequence[bytes]:
    """Cut a body as it comes from a socket."""
    return [body[start : start + 16_384] for start in range(0, len(body), 16_384)]


def _viewed(body: bytes) -> int:
    return len(view(_pieces(body)).events)


def _available(body: bytes) -> int:
    return sum(len(one.events) for one in availability(_pieces(body)))


def _their_view() -> Callable[[bytes], int]:
    service = FindItem(account=account())
    return lambda body: sum(item.start is not None for item in their_items(service, body))


def _their_availability() -> Callable[[bytes], int]:
    service = GetUserAvailability(protocol=account().protocol)
    service.tzinfo = EWSTimeZone("UTC")
    return lambda body: sum(len(shown.calendar_events) for shown in service.parse(body))


def their_items(service: FindItem, body: bytes) -> list[Any]:
    """Return the items of a view as account.calendar.view makes them; its parse() does not know pages."""
    service.additional_fields = ()
    _, soap_body = service._get_soap_parts(response=DummyResponse(content=body))
    found: list[Any] = []
    for message in service._get_soap_messages(body=soap_body):
        page, _ = service._get_page(message)
        if page is not None:
            kept = service._get_elems_from_page(page, None, 0)
            found += service._elems_to_objs(kept)
    return found


def account() -> Account:
    """Return an account of exchangelib's that asks nobody anything."""
    config = Configuration(
        service_endpoint="https://exchange.invalid/EWS/Exchange.asmx",
        credentials=Credentials("service", "secret"),
        auth_type=BASIC,
        version=Version(build=Build(15, 2, 1748, 10)),
    )
    return Account(
        "person@exchange.invalid", config=config, access_type=IMPERSONATION, default_timezone=EWSTimeZone("UTC")
    )


def _found() -> bytes:
    items = "".join(_item(number) for number in range(ITEMS))
    return _envelope(
        '<m:FindItemResponse><m:ResponseMessages><m:FindItemResponseMessage ResponseClass="Success">'
        f'<m:ResponseCode>NoError</m:ResponseCode><m:RootFolder TotalItemsInView="{ITEMS}"'
        f' IncludesLastItemInRange="true"><t:Items>{items}</t:Items></m:RootFolder>'
        "</m:FindItemResponseMessage></m:ResponseMessages></m:FindItemResponse>"
    )


def _item(number: int) -> str:
    start, end = _times(number)
    return (
        f'<t:CalendarItem><t:ItemId Id="AAMkAD{number:0140d}=" ChangeKey="DwAAABYAAADwSoBO6tE6QZYs8Ixm76GUAAAzNjiB"/>'
        f"<t:Subject>Review of the plans, number {number}</t:Subject><t:Sensitivity>Normal</t:Sensitivity>"
        f"<t:Start>{start}Z</t:Start><t:End>{end}Z</t:End><t:IsAllDayEvent>false</t:IsAllDayEvent>"
        f"<t:LegacyFreeBusyStatus>{_SHOWS[number % 5]}</t:LegacyFreeBusyStatus>"
        f"<t:Location>Conference room {number % 30}</t:Location><t:IsCancelled>false</t:IsCancelled>"
        "<t:CalendarItemType>Occurrence</t:CalendarItemType><t:MyResponseType>Accept</t:MyResponseType>"
        "</t:CalendarItem>"
    )


def _free() -> bytes:
    one = "".join(_event(number) for number in range(EACH))
    response = (
        '<m:FreeBusyResponse><m:ResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
        "</m:ResponseMessage><m:FreeBusyView><t:FreeBusyViewType>FreeBusy</t:FreeBusyViewType>"
        f"<t:CalendarEventArray>{one}</t:CalendarEventArray></m:FreeBusyView></m:FreeBusyResponse>"
    )
    return _envelope(
        "<m:GetUserAvailabilityResponse><m:FreeBusyResponseArray>"
        f"{response * PEOPLE}</m:FreeBusyResponseArray></m:GetUserAvailabilityResponse>"
    )


def _event(number: int) -> str:
    start, end = _times(number)
    return (
        f"<t:CalendarEvent><t:StartTime>{start}</t:StartTime><t:EndTime>{end}</t:EndTime>"
        f"<t:BusyType>{_SHOWS[number % 5]}</t:BusyType></t:CalendarEvent>"
    )


def _times(number: int) -> tuple[str, str]:
    start = _BEGAN + timedelta(days=number // 8, minutes=45 * (number % 8))
    return start.replace(tzinfo=None).isoformat(), (start + timedelta(minutes=30)).replace(tzinfo=None).isoformat()


def _envelope(body: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{SOAP}" xmlns:t="{TYPES}" xmlns:m="{MESSAGES}">'
        '<s:Header><t:ServerVersionInfo MajorVersion="15" MinorVersion="2" MajorBuildNumber="1748"'
        f' MinorBuildNumber="10" Version="V2017_07_11"/></s:Header><s:Body>{body}</s:Body></s:Envelope>'
    ).encode()


if __name__ == "__main__":
    decoding()
