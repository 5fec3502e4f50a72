"""What Microsoft does wrong, all at once, each to some mailboxes: afterwards consumers are told what the calendars say.

The storm breaks while everything is enumerated and read anew; each test then looks at one fault and its mailboxes.
"""

from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio
from msgspec import Struct
from msgspec.structs import replace

from deploy.sandbox import Fault, FaultKind, RetryForm
from deploy.sandbox.calendar import Item
from shared import clock
from shared.contracts.messages import GraphConnection, OrgConnected
from shared.contracts.policy import Policy
from tests.pipeline.conftest import POLL, Place
from tests.pipeline.scene import said
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

VIEW = "calendarView"
NEXT = r"calendarView.*\$skip"  # any page but the first
OF_MAILBOXES = {
    "429 with whole seconds": Fault(kind=FaultKind.THROTTLE, match=VIEW, seconds=1, times=3),
    "429 with a fraction": Fault(
        kind=FaultKind.THROTTLE, match=VIEW, seconds=0.4, times=3, retry_form=RetryForm.FRACTION
    ),
    "429 with a date": Fault(kind=FaultKind.THROTTLE, match=VIEW, seconds=2, times=2, retry_form=RetryForm.DATE),
    "429 without a pause": Fault(kind=FaultKind.THROTTLE, match=VIEW, times=1, retry_form=RetryForm.NONE),
    "500": Fault(kind=FaultKind.ERROR, match=VIEW, status=500, times=1),
    "503": Fault(kind=FaultKind.ERROR, match=VIEW, status=503, times=1),
    "504": Fault(kind=FaultKind.ERROR, match=VIEW, status=504, times=1),
    "HTML with status 200": Fault(kind=FaultKind.HTML, match=VIEW, times=1),
    "truncated JSON": Fault(kind=FaultKind.TRUNCATED, match=VIEW, times=1),
    "connection dropped": Fault(kind=FaultKind.DROP, match=VIEW, times=1),
    "slow": Fault(kind=FaultKind.SLOW, match=VIEW, seconds=2, times=2),
    "token refused": Fault(kind=FaultKind.UNAUTHORIZED, match=VIEW, times=1),
    "second page lost": Fault(kind=FaultKind.DROP, match=NEXT, times=1),
    "second page is HTML": Fault(kind=FaultKind.HTML, match=NEXT, times=1),
    "second page fails": Fault(kind=FaultKind.MIDWAY, match=VIEW, page=2, status=503, times=1),
}
OF_THE_DIRECTORY = {
    "directory throttled": Fault(kind=FaultKind.THROTTLE, match="/users[?]", seconds=1, times=1),
    "directory page lost": Fault(kind=FaultKind.DROP, match=r"/users[?].*\$skip", times=1),
    "directory page truncated": Fault(kind=FaultKind.TRUNCATED, match=r"/users[?].*\$skip", times=1, after=1),
    "rooms fail": Fault(kind=FaultKind.ERROR, match="/places/", status=503, times=1),
}
LONG = 1100  # events: more than one page of a view
_windows = count(70)


class Storm(Struct, frozen=True):
    """The orders by the names of the faults, with the mailbox each strikes; and the place it broke over."""

    place: Place
    numbers: dict[str, int]
    struck: dict[str, int]
    mailboxes: dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def storm(place: Place) -> AsyncIterator[Storm]:
    """Break it and wait for its end."""
    scene, sandbox = place.scene, place.scene.sandbox
    addresses = dict(zip(OF_MAILBOXES, (person.address for person in scene.people()), strict=False))
    for name, address in addresses.items():
        if name.startswith("second"):
            _fill(place, address)
    numbers = {
        name: sandbox.order(replace(fault, mailbox=addresses.get(name, "")))
        for name, fault in (OF_MAILBOXES | OF_THE_DIRECTORY).items()
    }
    await read_anew(place)
    scene.stir(30)
    await until(lambda: _all_struck(place), 60)
    scene.stir(30)
    await scene.agrees(within=180)
    struck = {order.number: order.struck for order in sandbox.state.faults.orders}
    sandbox.clear_faults()
    yield Storm(place, numbers, {name: struck[number] for name, number in numbers.items()}, addresses)


@pytest.mark.parametrize("name", [*OF_MAILBOXES, *OF_THE_DIRECTORY])
async def test_availability_follows_the_calendars_when_microsoft_fails(storm: Storm, name: str) -> None:
    assert storm.struck[name] > 0
    found = await storm.place.scene.differences()
    assert {address: how for address, how in found.items() if storm.mailboxes.get(name, address) == address} == {}
    assert said(await storm.place.broker.parked()) == []


async def test_availability_follows_the_calendars_when_every_token_ends_midway(place: Place) -> None:
    for _ in range(2):
        await read_anew(place)
        place.scene.sandbox.expire_tokens()
        place.scene.stir(20)
        await place.scene.agrees()
    assert said(await place.broker.parked()) == []


async def read_anew(place: Place) -> None:
    """Let everything be enumerated and read under a generation of its own."""
    scene = place.scene
    scene.policy = Policy(poll_seconds=POLL, days_ahead=next(_windows))
    connection = GraphConnection(tenant_id=scene.sandbox.tenant_id, credential="acme", cloud="sandbox")
    await place.broker.publish([OrgConnected(org_id="acme", connection=connection, policy=scene.policy)])


def _fill(place: Place, address: str) -> None:
    first = clock.now() - clock.now() % 3600
    for number in range(LONG):
        item = Item(item_id="", start=first + number * 3600, end=first + number * 3600 + 1800)
        place.scene.sandbox.add_event(address, item)


def _all_struck(place: Place) -> bool:
    return all(order.struck for order in place.scene.sandbox.state.faults.orders)
