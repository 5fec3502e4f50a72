"""Which doors to Exchange servers stay open, when a refused sign-in is tried anew, and what becomes of a token."""

import asyncio
from typing import Any, cast

import pytest
from msgspec.structs import replace

import services.fetcher.exchange_opening as opening
from services.fetcher.exchange_opening import VERIFIED, Opening, Servers
from services.fetcher.exchange_server import Opened
from shared import clock
from shared.connections import Connected
from shared.contracts.messages import EwsConnection, ListSource
from shared.contracts.policy import Policy
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings
from shared.ews.envelopes import calendar_folder
from shared.ews.sessions import Door
from shared.identity import GraphCredential
from tests.waiting import until

CONNECTION = EwsConnection(
    member="anna@example.org", directory=(ListSource(addresses=("anna@example.org",)),),
    endpoint="https://mail.example.org/EWS/Exchange.asmx", scheme="basic",
)  # fmt: skip
ORG = Connected(org_id="org1", generation=1, state="connected", connection=CONNECTION, policy=Policy(), verify_at=1)


class Shut:
    """A door that is never opened; one that is held stays so until it is closed."""

    def __init__(self) -> None:
        self.refused = False
        self.closed = asyncio.Event()

    async def ask(self, *_: Any, **__: Any) -> Any:
        raise AssertionError

    async def hold(self, *_: Any, **__: Any) -> Any:
        await self.closed.wait()

    def close(self) -> None:
        self.closed.set()


class Kept(Servers):
    """Servers behind doors that are never opened."""

    def _door(self, *_: object) -> Opened:
        return cast("Opened", Shut())


class Tokens:
    """Keeps what was asked for, and what was forgotten."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.forgotten: list[dict[str, Any]] = []

    async def token(self, **asked: Any) -> str:
        self.asked.append(asked)
        return "token"

    def forget(self, **asked: Any) -> None:
        self.forgotten.append(asked)


def way(tokens: Tokens | None = None) -> Opening:
    async def credential(_: str) -> EwsCredential:
        return EwsCredential(username="svc", password="canary-password")

    async def paused(_: str) -> float:
        return 0.0

    return Opening(store=cast("Any", None), surroundings=Surroundings(), limit=4,
                   tokens=cast("Any", tokens or Tokens()), credential=credential, paused=paused)  # fmt: skip


async def test_a_refused_sign_in_is_tried_anew_once_the_connection_was_found_good() -> None:
    servers = Kept(way())
    first = await servers.of(ORG)
    cast("Shut", first.door).refused = True
    later = clock.now() + VERIFIED + 60
    assert await servers.of(ORG) is first
    assert await servers.of(replace(ORG, verify_at=later)) is not first


@pytest.mark.parametrize("reason", ["server_busy", "sign_in_refused"])
async def test_a_verification_put_off_or_of_another_connection_is_no_reason_to_sign_in_again(reason: str) -> None:
    servers = Kept(way())
    first = await servers.of(ORG)
    cast("Shut", first.door).refused = True
    later = clock.now() + VERIFIED + 60
    assert await servers.of(replace(ORG, verify_at=later, reason=reason)) is first


async def test_a_door_by_which_a_stream_is_heard_stays_open_and_an_idle_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening, "RETIRED", 0.05)
    servers = Kept(way())
    server = await servers.of(ORG)
    hearing = asyncio.create_task(server.hold(calendar_folder("anna@example.org"), list, seconds=60))
    await asyncio.wait({hearing}, timeout=0.3)
    assert not hearing.done()
    hearing.cancel()
    await until(cast("Shut", server.door).closed.is_set)
    assert await servers.of(ORG) is not server


async def test_an_apps_token_that_is_refused_is_forgotten() -> None:
    tokens, app = Tokens(), GraphCredential(client_id="app", client_secret="canary-secret")
    connection = replace(CONNECTION, scheme="oauth", tenant_id="tenant", resource="https://mail.example.org")
    door = Servers(way(tokens))._door(connection, EwsCredential(app=app))
    assert isinstance(door, Door)
    door._turned_away()
    assert not door.refused
    (forgotten,) = tokens.forgotten
    assert (forgotten["credential"], forgotten["scope"]) == (app, "https://mail.example.org/.default")
    door.close()
