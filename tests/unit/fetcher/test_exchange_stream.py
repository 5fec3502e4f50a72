"""A group is subscribed mailbox by mailbox and heard on one connection; each thing heard becomes a hint."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from services.fetcher import exchange_stream
from services.fetcher.exchange_groups import Group, Member
from services.fetcher.exchange_stream import Stream
from shared.contracts.messages import EwsConnection, ListSource, MailboxRead
from shared.ews.credential import EwsCredential
from shared.ews.envelopes import Envelope
from shared.ews.errors import EwsError
from shared.ews.lines import Affinity
from shared.ews.streaming import Ended
from tests.unit.fetcher.desk import Desk
from tests.unit.fetcher.exchange_desk import Way, opened_exchange
from tests.waiting import until

T = TypeVar("T")
PEOPLE = tuple(Member(f"m{number}", f"person{number}@example.org") for number in range(5))


class ServerTold:
    """Subscribes whom it is asked for unless they are refused; what is heard is told by the test."""

    def __init__(self) -> None:
        self.refused: dict[str, EwsError] = {}
        self.asked: list[tuple[str, str, str]] = []  # operation, whose, by whose anchor
        self.cookies: list[str] = []
        self.cookie = "server-1"
        self.ends: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self.heard: Callable[[str], None] | None = None
        self._number = 0

    async def ask(
        self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T], *, group: Affinity | None = None
    ) -> T:
        assert callable(decode)
        assert group is not None
        self.asked.append((envelope.operation, envelope.mailbox, envelope.anchor))
        self.cookies.append(group.cookie)
        if envelope.mailbox in self.refused:
            raise self.refused[envelope.mailbox].again()
        group.cookie = self.cookie
        self._number += 1
        answer: T = f"{envelope.mailbox} {self._number}"  # type: ignore[assignment]  # what `decode` would give
        return answer

    async def hold(self, envelope: Envelope, decode: Any, *, seconds: float, group: Affinity | None = None) -> Any:
        assert seconds > 30 * 60
        assert group is not None
        self.asked.append((envelope.operation, envelope.mailbox, envelope.anchor))
        self.cookies.append(group.cookie)
        self.heard = decode.keywords["tell"]
        return await self.ends

    def whom(self, operation: str) -> list[str]:
        return [mailbox for asked, mailbox, _ in self.asked if asked == operation]


class Told:
    """A broker that keeps hints; it is away as often as it is told."""

    def __init__(self) -> None:
        self.messages: list[MailboxRead] = []
        self.away = 0

    async def publish(self, messages: Sequence[MailboxRead]) -> None:
        if self.away:
            self.away -= 1
            raise OSError
        self.messages += messages


@pytest.fixture
async def desk(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    addresses = tuple(member.address for member in PEOPLE)
    connection = EwsConnection(
        member=addresses[0],
        directory=(ListSource(addresses=addresses),),
        endpoint="https://mail.example.org/EWS/Exchange.asmx",
        scheme="basic",
    )
    way = Way(connection=connection, credential=EwsCredential(username="u", password="p"))
    async with opened_exchange(sqlite_url, tmp_path, way) as opened:
        yield opened


class Scene:
    """A stream, its server and its broker, all by hand."""

    def __init__(self, desk: Desk) -> None:
        self.server, self.broker = ServerTold(), Told()
        self.any_server: Any = self.server
        self.stream = Stream(desk.context, self.broker, Group("org1", 0))

    async def prepare(self, members: Sequence[Member] = PEOPLE) -> None:
        await self.stream.prepare(self.any_server, members)

    def names(self) -> dict[str, str]:
        return {member.address: name for name, member in self.stream._known.items()}


async def test_everybody_is_subscribed_on_the_server_that_the_first_was_led_to(desk: Desk) -> None:
    scene = Scene(desk)
    await scene.prepare()
    assert sorted(scene.stream.mailbox_ids) == [member.mailbox_id for member in PEOPLE]
    assert {anchor for _, _, anchor in scene.server.asked} == {PEOPLE[0].address}
    assert scene.server.cookies == ["", *["server-1"] * 4]
    await scene.prepare()
    assert len(scene.server.whom("Subscribe")) == len(PEOPLE)  # nobody twice


@pytest.mark.parametrize("code", ["ErrorImpersonateUserDenied", "ErrorExceededSubscriptionCount"])
async def test_one_that_may_not_be_heard_is_left_out_even_where_it_would_lead(desk: Desk, code: str) -> None:
    scene = Scene(desk)
    scene.server.refused = {PEOPLE[0].address: EwsError(code), PEOPLE[3].address: EwsError(code)}
    await scene.prepare()
    assert sorted(scene.stream.mailbox_ids) == ["m1", "m2", "m4"]
    listening = asyncio.create_task(scene.stream.listen(scene.any_server))
    await until(lambda: scene.server.heard is not None)
    assert scene.server.whom("GetStreamingEvents") == [PEOPLE[1].address]  # as one who may be acted as
    scene.server.ends.set_result(Ended(closed=True))
    await listening


async def test_any_other_refusal_ends_the_subscribing_as_it_is(desk: Desk) -> None:
    scene = Scene(desk)
    scene.server.refused = {PEOPLE[2].address: EwsError("ErrorServerBusy", back_off=120.0)}
    with pytest.raises(EwsError) as caught:
        await scene.prepare()
    assert (caught.value.code, caught.value.back_off) == ("ErrorServerBusy", 120.0)


async def test_who_left_is_let_go_and_who_came_is_subscribed(desk: Desk) -> None:
    scene = Scene(desk)
    await scene.prepare(PEOPLE[:3])
    await scene.prepare((*PEOPLE[:2], PEOPLE[4]))
    assert scene.server.whom("Unsubscribe") == [PEOPLE[2].address]
    assert sorted(scene.stream.mailbox_ids) == ["m0", "m1", "m4"]


async def test_a_group_whose_leader_left_begins_anew_under_another(desk: Desk) -> None:
    scene = Scene(desk)
    await scene.prepare()
    scene.server.asked.clear()
    await scene.prepare(PEOPLE[1:])
    assert {anchor for _, _, anchor in scene.server.asked} == {PEOPLE[1].address}
    assert sorted(scene.stream.mailbox_ids) == ["m1", "m2", "m3", "m4"]


async def test_what_is_heard_becomes_one_live_hint_a_mailbox(desk: Desk) -> None:
    scene = Scene(desk)
    await scene.prepare()
    listening = asyncio.create_task(scene.stream.listen(scene.any_server))
    await until(lambda: scene.server.heard is not None)
    assert scene.server.heard is not None
    for address in (PEOPLE[1].address, PEOPLE[1].address, PEOPLE[2].address):
        scene.server.heard(scene.names()[address])
    scene.server.heard("a subscription of nobody")
    await until(lambda: len(scene.broker.messages) >= 2)
    assert sorted((each.mailbox_id, each.live, each.generation) for each in scene.broker.messages) == [
        ("m1", True, 1),
        ("m2", True, 1),
    ]
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_a_hint_is_told_again_where_the_broker_was_away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_stream, "AGAIN", 0.01)
    scene = Scene(desk)
    await scene.prepare()
    listening = asyncio.create_task(scene.stream.listen(scene.any_server))
    await until(lambda: scene.server.heard is not None)
    assert scene.server.heard is not None
    scene.broker.away = 2
    scene.server.heard(scene.names()[PEOPLE[1].address])
    await until(lambda: bool(scene.broker.messages))
    assert [each.mailbox_id for each in scene.broker.messages] == ["m1"]
    scene.server.ends.set_result(Ended(closed=True))
    assert (await listening).closed


async def test_subscriptions_that_the_server_lost_are_made_again_the_next_time(desk: Desk) -> None:
    scene = Scene(desk)
    await scene.prepare()
    lost = scene.names()[PEOPLE[3].address]
    scene.server.ends.set_result(Ended(closed=False, code="ErrorSubscriptionNotFound", lost=(lost,)))
    assert (await scene.stream.listen(scene.any_server)).lost == (lost,)
    assert "m3" not in scene.stream.mailbox_ids
    scene.server.asked.clear()
    await scene.prepare()
    assert scene.server.whom("Subscribe") == [PEOPLE[3].address]


async def test_a_connection_that_stands_anew_is_made_up_for_by_readings_of_everybody(desk: Desk) -> None:
    scene = Scene(desk)
    await scene.prepare()
    org = await desk.context.tenants.org("org1")
    assert org is not None
    await scene.stream.make_up(org)
    assert sorted(each.mailbox_id for each in scene.broker.messages) == [member.mailbox_id for member in PEOPLE]
    assert {(each.live, each.exchange) for each in scene.broker.messages} == {(False, True)}


async def test_nothing_is_told_of_an_organisation_that_is_no_longer_read(desk: Desk) -> None:
    scene = Scene(desk)
    await scene.prepare()
    await desk.change_org(state="disconnecting")
    listening = asyncio.create_task(scene.stream.listen(scene.any_server))
    await until(lambda: scene.server.heard is not None)
    assert scene.server.heard is not None
    scene.server.heard(scene.names()[PEOPLE[1].address])
    scene.server.ends.set_result(Ended(closed=True))
    await listening
    assert scene.broker.messages == []
