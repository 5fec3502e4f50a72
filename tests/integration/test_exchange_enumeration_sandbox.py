"""Mailboxes are found over the wire, at the sandbox's Exchange: nested groups, room lists, time zones, refusals."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox import Sandbox, SandboxOptions, start
from deploy.sandbox.directory import Reach
from shared.contracts.messages import (
    ConnectionDoubted,
    EwsConnection,
    GroupSource,
    ListSource,
    RoomListsSource,
    Source,
)
from shared.contracts.policy import Policy, Scope
from shared.contracts.values import Kind
from shared.ews.credential import EwsCredential
from shared.ews.dialling import surroundings
from tests.unit.fetcher.desk import Desk
from tests.unit.fetcher.exchange_desk import Way, follow, opened_exchange


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    started = await start(SandboxOptions(folder=tmp_path / "sandbox", mailboxes=12, events=1))
    yield started
    await started.stop()


@asynccontextmanager
async def connected(
    sandbox: Sandbox,
    store_url: str,
    sources: tuple[Source, ...],
    *,
    scheme: Any = "ntlm",
    password: str = "",
    policy: Policy | None = None,
) -> AsyncIterator[Desk]:
    member = readable(sandbox)[0]
    connection = EwsConnection(member=member, directory=sources, endpoint=sandbox.ews_url, scheme=scheme)
    signs_in = EwsCredential(username=sandbox.ews_user, password=password or sandbox.ews_password)
    near = surroundings(str(sandbox.ca_file), "127.0.0.0/8")
    way = Way(connection=connection, credential=signs_in, surroundings=near)
    folder = Path(sandbox.ca_file).parent
    async with opened_exchange(store_url, folder, way, policy=policy) as desk:
        yield desk


def readable(sandbox: Sandbox) -> list[str]:
    return sorted(person.address for person in sandbox.mailboxes())


async def active(desk: Desk) -> list[str]:
    return sorted(address for address, row in (await desk.rows()).items() if row.bucket == "active")


@pytest.mark.parametrize("scheme", ["basic", "ntlm"])
async def test_a_group_and_the_groups_in_it_give_everybody(sandbox: Sandbox, sqlite_url: str, scheme: str) -> None:
    sources = (GroupSource(address=sandbox.ews_scope),)
    async with connected(sandbox, sqlite_url, sources, scheme=scheme) as desk:
        await follow(desk)
        assert await active(desk) == readable(sandbox)


async def test_rooms_and_zones_are_learned_on_the_way(sandbox: Sandbox, sqlite_url: str) -> None:
    sources = (GroupSource(address=sandbox.ews_scope), RoomListsSource())
    async with connected(sandbox, sqlite_url, sources) as desk:
        await follow(desk)
        rows = await desk.rows()
        kinds = {person.address: person.kind for person in sandbox.mailboxes()}
        assert {address for address, row in rows.items() if row.kind == Kind.ROOM} == {
            address for address, kind in kinds.items() if kind is Kind.ROOM
        }
        assert all(row.time_zone for row in rows.values() if row.bucket == "active")


async def test_a_server_without_mailboxes_options_is_asked_for_a_few_and_everybody_is_found(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    sandbox.state.ews.manners.without = frozenset({"GetUserConfiguration"})
    sandbox.state.ews.manners.fault_status = 200
    async with connected(sandbox, sqlite_url, (GroupSource(address=sandbox.ews_scope),), scheme="basic") as desk:
        await follow(desk)
        assert await active(desk) == readable(sandbox)
        assert {row.time_zone for row in (await desk.rows()).values()} == {""}


async def test_a_scope_group_narrows_as_exchange_expands_it(sandbox: Sandbox, sqlite_url: str) -> None:
    policy = Policy(scope=Scope(groups=("odd.numbers@" + sandbox.ews_scope.partition("@")[2],)))
    async with connected(sandbox, sqlite_url, (GroupSource(address=sandbox.ews_scope),), policy=policy) as desk:
        await follow(desk)
        assert 0 < len(await active(desk)) < len(readable(sandbox))
        assert {row.reason for row in (await desk.rows()).values() if row.bucket == "excluded"} == {
            "outside_scope_groups"
        }


async def test_a_contact_for_a_mailbox_elsewhere_is_nobody_here(sandbox: Sandbox, sqlite_url: str) -> None:
    away = next(person for person in sandbox.mailboxes() if person.kind is Kind.USER)
    sandbox.change_user(away.address, reach=Reach.ON_PREMISES)
    async with connected(sandbox, sqlite_url, (GroupSource(address=sandbox.ews_scope),)) as desk:
        await follow(desk)
        assert away.address not in await desk.rows()


async def test_a_group_that_is_not_there_is_told(sandbox: Sandbox, sqlite_url: str) -> None:
    async with connected(sandbox, sqlite_url, (GroupSource(address="nobody.knows@example.org"),)) as desk:
        desk.enumerate()
        await desk.step()
        assert (await desk.enumeration()).last_error == "group_unknown"


@pytest.mark.parametrize("scheme", ["basic", "ntlm"])
async def test_a_wrong_password_is_sent_once_and_the_connection_doubted(
    sandbox: Sandbox, sqlite_url: str, scheme: str
) -> None:
    sources = (GroupSource(address=sandbox.ews_scope), ListSource(addresses=(readable(sandbox)[0],)))
    async with connected(sandbox, sqlite_url, sources, scheme=scheme, password="wrong") as desk:
        desk.enumerate()
        for _ in range(3):
            await desk.step()
            desk.queue = type(desk.queue)(each for each in desk.queue if not isinstance(each[0], ConnectionDoubted))
        assert sum(sandbox.state.ews.failed_sign_ins.values()) == 1
        assert (await desk.enumeration()).last_error == "sign_in_refused"
        assert await desk.rows() == {}
