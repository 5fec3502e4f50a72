"""An organisation's door stays open while it is the right one; a sign-in refused is tried again only with a reason."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from services.fetcher import exchange_opening
from services.fetcher.exchange_opening import VERIFIED, Opening, Servers, was_verified
from shared import clock
from shared.connections import Connected
from shared.contracts.messages import EwsConnection, GraphConnection, ListSource
from shared.contracts.policy import Policy
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings
from shared.identity import IdentityError, Tokens
from shared.store import open_store
from tests.waiting import until

NOW = 1_800_000_000
WEEK = 7 * 86_400
CONNECTION = EwsConnection(
    member="person1@example.org",
    directory=(ListSource(addresses=("person1@example.org",)),),
    endpoint="https://mail.example.org/EWS/Exchange.asmx",
    scheme="basic",
)


class Safe:
    """Credentials by name, and how often they were looked up."""

    def __init__(self) -> None:
        self.kept = {"default": EwsCredential(username="u", password="first")}
        self.asked = 0

    async def __call__(self, name: str) -> EwsCredential:
        self.asked += 1
        return self.kept[name]


@asynccontextmanager
async def servers(sqlite_url: str, safe: Safe) -> AsyncIterator[Servers]:
    store, tokens = open_store(sqlite_url), Tokens()

    async def never(org_id: str) -> float:
        assert org_id
        return 0.0

    opening = Opening(store=store, surroundings=Surroundings(), limit=2, tokens=tokens, credential=safe, paused=never)
    made = Servers(opening)
    try:
        yield made
    finally:
        await made.close()
        tokens.close()
        await store.close()


def org(connection: Any = CONNECTION, *, verify_at: int | None = None) -> Connected:
    return Connected(
        org_id="org1", generation=1, state="connected", connection=connection, policy=Policy(), verify_at=verify_at
    )


@pytest.mark.parametrize(
    ("before", "verify_at", "verified"),
    [
        (NOW + WEEK, NOW + WEEK, False),  # nothing has happened
        (NOW + WEEK, NOW, False),  # doubted just now
        (NOW + WEEK, NOW + VERIFIED, False),  # it is being verified
        (NOW + WEEK, None, False),  # refused
        (NOW + WEEK, NOW + WEEK + 60, True),
        (None, NOW + WEEK, True),
    ],
)
def test_a_verification_is_one_that_ended_since(before: int | None, verify_at: int | None, *, verified: bool) -> None:
    assert was_verified(before, verify_at, NOW) is verified


async def test_one_door_serves_an_organisation_until_its_connection_or_credential_changes(sqlite_url: str) -> None:
    safe = Safe()
    async with servers(sqlite_url, safe) as made:
        first = await made.of(org())
        assert await made.of(org()) is first
        moved = replace(CONNECTION, endpoint="https://mail2.example.org/EWS/Exchange.asmx")
        assert await made.of(org(moved)) is not first
        assert not first.door.refused


async def test_what_was_refused_is_not_opened_again_before_it_was_verified_anew(sqlite_url: str) -> None:
    safe, later = Safe(), clock.now() + WEEK
    async with servers(sqlite_url, safe) as made:
        first: Any = await made.of(org(verify_at=later))
        first.door.refused = True
        assert await made.of(org(verify_at=later)) is first
        assert await made.of(org(verify_at=clock.now())) is first  # in doubt
        assert await made.of(org(verify_at=None)) is first
        again = await made.of(org(verify_at=later + 1))
        assert again is not first
        assert not again.door.refused


async def test_a_credential_stored_since_a_refusal_is_used_at_once(sqlite_url: str) -> None:
    safe, later = Safe(), clock.now() + WEEK
    async with servers(sqlite_url, safe) as made:
        first: Any = await made.of(org(verify_at=later))
        await made.of(org(verify_at=later))
        assert safe.asked == 1  # held for a while otherwise
        first.door.refused = True
        safe.kept["default"] = EwsCredential(username="u", password="second")
        assert await made.of(org(verify_at=later)) is not first


async def test_a_door_that_was_replaced_or_is_not_used_is_closed(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_opening, "RETIRED", 0.05)
    safe = Safe()
    async with servers(sqlite_url, safe) as made:
        first: Any = await made.of(org())
        moved = replace(CONNECTION, endpoint="https://mail2.example.org/EWS/Exchange.asmx")
        second: Any = await made.of(org(moved))
        await until(lambda: bool(first.door._closed))
        await until(lambda: bool(second.door._closed))
        third = await made.of(org(moved))
        assert third is not second


async def test_closing_closes_those_that_were_replaced_too(sqlite_url: str) -> None:
    async with servers(sqlite_url, Safe()) as made:
        first: Any = await made.of(org())
        second: Any = await made.of(org(replace(CONNECTION, scheme="ntlm")))
    assert first.door._closed
    assert second.door._closed


async def test_servers_are_told_apart_in_the_store_without_their_names(sqlite_url: str) -> None:
    async with servers(sqlite_url, Safe()) as made:
        await made.of(org())
        (share,) = made._shares.values()
        assert "example" not in share._server
        assert len(made._shares) == 1
        await made.of(org(replace(CONNECTION, endpoint="https://MAIL.example.org/other")))
        assert len(made._shares) == 1  # the same server


async def test_an_organisation_reached_in_another_way_has_no_server(sqlite_url: str) -> None:
    async with servers(sqlite_url, Safe()) as made:
        with pytest.raises(IdentityError):
            await made.of(org(GraphConnection(tenant_id="t")))
    await asyncio.sleep(0)
