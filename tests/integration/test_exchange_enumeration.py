"""An Exchange organisation's mailboxes are found by every source together, remembered, followed, and read in turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from services.fetcher import exchange_directory
from services.fetcher.exchange_people import id_of
from shared import ldap
from shared.connections import Connected
from shared.contracts.messages import (
    ConnectionDoubted,
    EwsConnection,
    GroupSource,
    LdapSource,
    ListSource,
    MailboxEnumerate,
    RoomListsSource,
    Source,
)
from shared.contracts.policy import Policy, Scope
from shared.contracts.values import Bucket, Kind
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings
from shared.ews.errors import EwsError
from shared.tables import mailboxes, orgs
from tests.slapd_organisation import MANY, SMALL, SMALL_BASE, around, credential, source
from tests.slapd_server import BASE, SlapdServer
from tests.unit.fetcher.desk import Desk
from tests.unit.fetcher.exchange_desk import Way, due, follow, opened_exchange, read_all
from tests.unit.fetcher.exchange_told import ServerTold

ENDPOINT = "https://mail.example.org/EWS/Exchange.asmx"
BERLIN = "W. Europe Standard Time"


class OneServer:
    """The server of every org, by hand."""

    def __init__(self, server: ServerTold) -> None:
        self.server = server

    async def of(self, _: Connected) -> ServerTold:
        return self.server

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def connected(
    store_url: str,
    folder: Path,
    sources: tuple[Source, ...],
    *,
    policy: Policy | None = None,
    slapd: SlapdServer | None = None,
    binds: EwsCredential | None = None,
) -> AsyncIterator[tuple[Desk, ServerTold]]:
    """Open a desk for one org whose server is made by hand."""
    server = ServerTold()
    connection = EwsConnection(member="person0@example.org", directory=sources, endpoint=ENDPOINT, scheme="ntlm")
    near = Surroundings() if slapd is None else around(slapd)
    way = Way(connection=connection, credential=binds or credential(), surroundings=near)
    async with opened_exchange(store_url, folder, way, policy=policy) as desk:
        desk.context.tenants._servers = OneServer(server)  # type: ignore[assignment]  # a fake
        yield desk, server


def listed(*names: str) -> ListSource:
    return ListSource(addresses=tuple(f"{name}@example.org" for name in names))


async def buckets(desk: Desk) -> dict[str, tuple[str, str | None]]:
    return {address.partition("@")[0]: (row.bucket, row.reason) for address, row in (await desk.rows()).items()}


async def test_every_source_adds_its_mailboxes_and_each_is_there_once(
    store_url: str, tmp_path: Path, slapd: SlapdServer
) -> None:
    sources = (
        source(slapd, base=SMALL_BASE),
        GroupSource(address="group@example.org"),
        RoomListsSource(),
        listed("shared", "alone"),
    )
    async with connected(store_url, tmp_path, sources, slapd=slapd) as (desk, server):
        server.groups = {"group@example.org": ["linked@example.org", "inside@example.org"]}
        server.rooms = {"floor1@example.org": ["room@old.example.org", "attic@example.org"]}
        await follow(desk)
        rows = await desk.rows()
        assert await buckets(desk) == dict.fromkeys(
            ("linked", "shared", "room", "projector", "hidden", "inside", "alone", "attic"), ("active", None)
        ) | dict.fromkeys(("cloud", "cloudroom"), ("on_another_connection", "hosted_elsewhere"))
        kinds = {address.partition("@")[0]: row.kind for address, row in rows.items()}
        assert (kinds["room"], kinds["attic"], kinds["shared"], kinds["alone"]) == ("room", "room", "shared", "user")
        assert rows["shared@example.org"].mailbox_id == str(SMALL[1].guid)
        assert rows["alone@example.org"].mailbox_id == id_of("alone@example.org")
        assert (await desk.enumeration()).finished_at is not None


async def test_nobody_is_asked_to_be_read_by_message_and_all_are_due_at_once(sqlite_url: str, tmp_path: Path) -> None:
    async with connected(sqlite_url, tmp_path, (listed("one", "two"),)) as (desk, _):
        message = desk.enumerate()
        await desk.step()
        (following,) = [each for each, _ in desk.queue]
        assert isinstance(following, MailboxEnumerate)
        assert (following.stage.partition(":")[0], following.run) == ("sweep", message.run)
        assert desk.context.due.is_set()
        assert await due(desk) == ["one", "two"]


async def test_thousands_are_found_through_a_real_directory(store_url: str, tmp_path: Path, slapd: SlapdServer) -> None:
    async with connected(store_url, tmp_path, (source(slapd, base=f"ou=people,{BASE}"),), slapd=slapd) as (desk, _):
        await follow(desk)
        found = await buckets(desk)
        assert len(found) == MANY
        assert set(found.values()) == {("active", None)}
        assert len(await due(desk)) == MANY


async def test_a_second_search_that_finds_nothing_new_makes_nobody_due(store_url: str, tmp_path: Path) -> None:
    async with connected(store_url, tmp_path, (listed("one", "two"),)) as (desk, _):
        await follow(desk)
        await read_all(desk)
        await follow(desk)
        assert await due(desk) == []


async def change_sources(desk: Desk, *sources: Source) -> None:
    connection = EwsConnection(member="person0@example.org", directory=sources, endpoint=ENDPOINT, scheme="ntlm")
    async with desk.context.store.write() as writing:
        await writing.execute(update(orgs).values(connection=msgspec.json.encode(connection)))
    desk.context.tenants._orgs.drop("org1")


async def test_whoever_joins_is_due_at_once_and_whoever_leaves_is_swept(store_url: str, tmp_path: Path) -> None:
    async with connected(store_url, tmp_path, (listed("one", "two"),)) as (desk, _):
        await follow(desk)
        await read_all(desk)
        await change_sources(desk, listed("two", "three"))
        await follow(desk)
        assert await due(desk) == ["three"]
        assert [(each.mailbox.address, each.bucket, each.reason) for each in desk.unreadable] == [
            ("one@example.org", Bucket.REMOVED, "left_directory")
        ]


async def test_a_mailbox_that_turns_out_to_be_a_room_is_read_anew(store_url: str, tmp_path: Path) -> None:
    async with connected(store_url, tmp_path, (listed("one", "two"),)) as (desk, server):
        await follow(desk)
        await read_all(desk)
        server.rooms = {"floor1@example.org": ["one@example.org"]}
        await change_sources(desk, listed("one", "two"), RoomListsSource())
        await follow(desk)
        assert (await desk.rows())["one@example.org"].kind == Kind.ROOM
        assert await due(desk) == ["one"]


async def test_a_mass_leaving_is_held_back_as_for_any_organisation(sqlite_url: str, tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(20)]
    async with connected(sqlite_url, tmp_path, (listed(*names),)) as (desk, _):
        await follow(desk)
        await read_all(desk)
        await change_sources(desk, listed("p0"))
        await follow(desk)
        assert desk.unreadable == []
        assert ((await desk.enumeration()).held, (await desk.enumeration()).last_error) == (19, "removal_held")


async def test_a_mailbox_that_moves_to_exchange_online_leaves_for_that_reason(
    sqlite_url: str, tmp_path: Path, slapd: SlapdServer
) -> None:
    async with connected(sqlite_url, tmp_path, (listed("cloud", "one"),), slapd=slapd) as (desk, _):
        row = {"mailbox_id": str(SMALL[8].guid)}
        await follow(desk)
        async with desk.context.store.write() as writing:
            here = mailboxes.c.address == "cloud@example.org"
            await writing.execute(update(mailboxes).where(here).values(row))
        await read_all(desk)
        await change_sources(desk, source(slapd, base=SMALL_BASE), listed("one"))
        await follow(desk)
        told = [(each.mailbox.address, each.bucket, each.reason) for each in desk.unreadable]
        assert told == [("cloud@example.org", Bucket.ON_ANOTHER_CONNECTION, "hosted_elsewhere")]


async def test_scope_groups_are_distribution_groups_and_a_new_policy_shuts_out_at_once(
    store_url: str, tmp_path: Path
) -> None:
    async with connected(store_url, tmp_path, (listed("one", "two", "three"),)) as (desk, server):
        server.groups = {"group@example.org": ["one@example.org", "group-in@example.org"]}
        server.groups["group-in@example.org"] = ["three@example.org"]
        await follow(desk)
        await read_all(desk)
        await desk.change_org(policy=Policy(scope=Scope(groups=("group@example.org",), exclude=("three@example.org",))))
        desk.enumerate()
        await desk.step()  # the sweep has not run
        assert await buckets(desk) == {
            "one": ("active", None),
            "two": ("excluded", "outside_scope_groups"),
            "three": ("excluded", "excluded_by_list"),
        }
        assert sorted(each.mailbox.address for each in desk.unreadable) == ["three@example.org", "two@example.org"]
        assert await due(desk) == ["one"]


async def test_time_zones_are_learned_before_a_mailbox_is_read_and_asked_for_once(
    store_url: str, tmp_path: Path
) -> None:
    async with connected(store_url, tmp_path, (listed("one", "two"),)) as (desk, server):
        server.zones = {"one@example.org": BERLIN}
        await follow(desk)
        zones = {address: row.time_zone for address, row in (await desk.rows()).items()}
        assert zones == {"one@example.org": BERLIN, "two@example.org": ""}
        server.asked.clear()
        await follow(desk)
        assert server.asked == [("GetUserConfiguration", "two@example.org")]


async def test_a_new_policy_is_not_held_up_by_time_zones_that_were_not_found_before(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with connected(sqlite_url, tmp_path, (listed("one", "two"),)) as (desk, server):
        await follow(desk)
        server.asked.clear()
        await desk.change_org(policy=Policy(show_free=True))
        await follow(desk)
        assert server.asked == []
        await follow(desk)
        assert server.count("GetUserConfiguration") == 2


async def test_nobody_who_is_not_read_is_asked_for_a_time_zone(
    sqlite_url: str, tmp_path: Path, slapd: SlapdServer
) -> None:
    policy = Policy(scope=Scope(exclude=("linked@example.org",), rooms=False))
    sources = (source(slapd, base=SMALL_BASE),)
    async with connected(sqlite_url, tmp_path, sources, policy=policy, slapd=slapd) as (desk, server):
        await follow(desk)
        assert sorted(about for _, about in server.asked) == ["hidden@example.org", "shared@example.org"]


async def failing(desk: Desk, *, attempt: int = 1) -> Any:
    """Carry out an enumeration that fails; return its row as it then stands."""
    message = desk.enumerate()
    desk.queue.clear()
    desk.put(message, attempt=attempt)
    await desk.step()
    return await desk.enumeration()


async def test_a_directory_that_dies_midway_removes_nobody(
    store_url: str, tmp_path: Path, mortal_slapd: SlapdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = (source(mortal_slapd, base=f"ou=people,{BASE}"),)
    async with connected(store_url, tmp_path, sources, slapd=mortal_slapd) as (desk, _):
        await follow(desk)
        await read_all(desk)
        real = ldap.mailboxes

        async def dying(*arguments: Any, **named: Any) -> Any:
            async for page in real(*arguments, **named):
                yield page
                await asyncio.to_thread(mortal_slapd.kill)

        monkeypatch.setattr(ldap, "mailboxes", dying)
        await failing(desk)
        assert [each.reason for each in desk.retries] == ["ldap_network"]
        assert desk.unreadable == []
        assert set((await buckets(desk)).values()) == {("active", None)}
        assert (await desk.enumeration()).finished_at is None


async def test_one_source_that_fails_lets_nothing_be_remembered(sqlite_url: str, tmp_path: Path) -> None:
    sources = (listed("one"), GroupSource(address="group@example.org"))
    async with connected(sqlite_url, tmp_path, sources) as (desk, server):
        server.fails = {"ExpandDL": EwsError("timeout")}
        await failing(desk)
        assert [(each.reason, each.counted) for each in desk.retries] == [("timeout", True)]
        assert await desk.rows() == {}


async def test_a_group_that_nobody_knows_is_told_to_the_admin_at_once(sqlite_url: str, tmp_path: Path) -> None:
    async with connected(sqlite_url, tmp_path, (GroupSource(address="group@example.org"),)) as (desk, _):
        assert (await failing(desk)).last_error == "group_unknown"
        assert [(each.after, each.counted) for each in desk.retries] == [(600.0, False)]


async def test_a_server_that_is_always_busy_is_asked_a_bounded_number_of_times_before_the_long_pause(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with connected(sqlite_url, tmp_path, (GroupSource(address="group@example.org"),)) as (desk, server):
        server.fails = {"ExpandDL": EwsError("ErrorServerBusy", back_off=1.0)}
        for attempt in (1, 2, 3):
            await failing(desk, attempt=attempt)
        assert [(each.after, each.counted) for each in desk.retries] == [(1.0, True), (1.0, True), (600.0, False)]
        assert (await desk.enumeration()).last_error == "server_busy"


async def test_a_refused_sign_in_puts_the_connection_in_doubt_and_the_page_comes_again(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with connected(sqlite_url, tmp_path, (GroupSource(address="group@example.org"),)) as (desk, server):
        server.fails = {"ExpandDL": EwsError("sign_in_refused", status=401)}
        await failing(desk)
        kinds = [type(each) for each, _ in desk.queue]
        assert kinds == [ConnectionDoubted, MailboxEnumerate]


async def test_a_refused_bind_is_tried_once_and_the_page_does_not_come_again(
    sqlite_url: str, tmp_path: Path, slapd: SlapdServer
) -> None:
    sources, wrong = (source(slapd),), credential("wrong")
    async with connected(sqlite_url, tmp_path, sources, slapd=slapd, binds=wrong) as (desk, _):
        before = slapd.said("BIND dn=")
        row = await failing(desk)
        assert [type(each) for each, _ in desk.queue] == [ConnectionDoubted]
        assert (row.last_error, slapd.said("BIND dn=")) == ("ldap_bind_refused", before + 1)
        assert await desk.rows() == {}


async def test_a_directory_on_loopback_is_not_reached_unless_an_operator_allows_it(
    sqlite_url: str, tmp_path: Path
) -> None:
    inner = LdapSource(url="ldaps://169.254.169.254", base="dc=x")
    for where in (inner, LdapSource(url="ldap://localhost:6379", base="dc=x")):
        folder = tmp_path / where.url.rpartition("/")[2].replace(":", "-")
        folder.mkdir()
        async with connected(sqlite_url, folder, (where,)) as (desk, _):
            assert (await failing(desk)).last_error == "ldap_address_refused"
            async with desk.context.store.write() as writing:
                await writing.execute(orgs.delete())


async def test_a_policy_that_changes_while_pages_are_remembered_ends_the_run(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_directory, "PAGE", 2)
    names = [f"p{number}" for number in range(6)]
    async with connected(store_url, tmp_path, (listed(*names),)) as (desk, server):
        real = server.ask

        async def ask(envelope: Any, decode: Any) -> Any:
            if server.count("GetUserConfiguration") == 1:
                await desk.change_org()
            return await real(envelope, decode)

        monkeypatch.setattr(server, "ask", ask)
        desk.enumerate(generation=1)
        await desk.step()
        assert len(await desk.rows()) == 2
        assert list(desk.queue) == []


async def test_an_erased_mailbox_stays_erased_and_is_asked_nothing(sqlite_url: str, tmp_path: Path) -> None:
    async with connected(sqlite_url, tmp_path, (listed("one", "two"),)) as (desk, server):
        await follow(desk)
        async with desk.context.store.write() as writing:
            here = mailboxes.c.address == "one@example.org"
            erased = {"bucket": "excluded", "reason": "erased", "address": "", "due_at": None}
            await writing.execute(update(mailboxes).where(here).values(erased))
        server.asked.clear()
        await follow(desk)
        assert server.asked == [("GetUserConfiguration", "two@example.org")]
        assert id_of("one@example.org") in await desk.rows()
        assert await due(desk) == ["two"]
