"""`busyline connect` to an Exchange server, with a running authorizer: what is stored, what is said, what is never."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.command import witness
from deploy.command.main import main
from deploy.sandbox import Sandbox, SandboxOptions, start
from services.authorizer import orgs
from services.authorizer.__main__ import serve
from services.authorizer.desk import Desk
from services.authorizer.exchange_doors import exchange
from services.authorizer.settings import Settings
from services.authorizer.verify import Microsoft
from shared import clock
from shared.broker import open_broker
from shared.contracts.messages import EwsConnection
from shared.ews.dialling import surroundings
from shared.health import Health
from shared.identity import Tokens
from shared.process import Rim
from shared.store import Store, open_store
from shared.vault import load_vault
from tests.integration.exchange_bench import left
from tests.unit.authorizer.authorizer_fakes import FakeGraph
from tests.waiting import until

MEMBER = "person.0001@sandbox.example"
LOOPBACK = "127.0.0.0/8"
Say = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    made = await start(SandboxOptions(folder=tmp_path / "sandbox", mailboxes=8, events=1))
    yield made
    await until(lambda: left(made))
    await made.stop()


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    made = open_store(sqlite_url)
    yield made
    await made.close()


@pytest.fixture
async def say(store: Store, sandbox: Sandbox, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Say]:
    """Run the authorizer, and give a way to run commands beside it."""
    keys, tokens, broker = tmp_path / "keys", Tokens(ca_file=str(sandbox.ca_file)), open_broker("memory://")
    desk = Desk(
        store=store,
        vault=load_vault(keys, create=True),
        microsoft=Microsoft(tokens, FakeGraph()),
        exchange=exchange(tokens, surroundings(str(sandbox.ca_file), LOOPBACK)),
        settings=Settings(),
        sandbox_url=sandbox.url,
        tries={},
    )
    rim = Rim(broker=broker, store=store, stop=asyncio.Event(), health=Health())
    running = asyncio.create_task(serve(desk, rim))
    environ = {
        "BUSYLINE_DATABASE_URL": sqlite_url,
        "BUSYLINE_KEYS_FILE": str(keys),
        "BUSYLINE_CA_FILE": str(sandbox.ca_file),
        "BUSYLINE_REACH_NETWORKS": LOOPBACK,
    }

    async def run(*arguments: str) -> tuple[int, str]:
        ran = await asyncio.to_thread(CliRunner().invoke, main, arguments, env=environ)
        return ran.exit_code, ran.output

    yield run
    rim.stop.set()
    await running
    tokens.close()
    await broker.close()


def server(sandbox: Sandbox, folder: Path, *, password: str = "") -> tuple[str, ...]:
    """Return the options of the sandbox's Exchange server."""
    secret = folder / "password"
    secret.write_text(password or sandbox.ews_password, encoding="utf-8")
    return (
        "--ews", sandbox.ews_url, "--account", sandbox.ews_user, "--password-file", str(secret),
        "--member", MEMBER, "--from-group", sandbox.ews_scope,
    )  # fmt: skip


async def test_a_server_is_connected_shown_and_witnessed(
    say: Say, store: Store, sandbox: Sandbox, tmp_path: Path
) -> None:
    code, said = await say("connect", "acme", *server(sandbox, tmp_path))
    assert (code, "acme is connected" in said) == (0, True), said
    found = await orgs.org(store, "acme")
    assert found is not None
    assert isinstance(found.connection, EwsConnection)
    assert (found.connection.endpoint, found.connection.scheme) == (sandbox.ews_url, "ntlm")
    _, shown = await say("status", "acme")
    assert f"{sandbox.ews_url} (ntlm)" in shown.replace("\n", "")
    listed = await witness.witnessed(store, "acme", now=clock.now())
    assert (listed.servers, set(listed.addresses)) == (("127.0.0.1",), {MEMBER, sandbox.ews_scope})
    assert "ews:127.0.0.1" in listed.tenant_ids


async def test_a_server_of_two_orgs_is_witnessed_for_neither(
    say: Say, store: Store, sandbox: Sandbox, tmp_path: Path
) -> None:
    for org in ("acme", "other"):
        code, said = await say("connect", org, *server(sandbox, tmp_path))
        assert code == 0, said
    listed = await witness.witnessed(store, "acme", now=clock.now())
    assert (listed.servers, listed.tenant_ids, listed.addresses) == ((), (), ())
    assert len(listed.credentials) == 1


async def test_a_wrong_password_is_one_failed_sign_in_whose_sentence_is_said(
    say: Say, sandbox: Sandbox, tmp_path: Path
) -> None:
    code, said = await say("connect", "acme", *server(sandbox, tmp_path, password="wrong"))
    assert code == 1
    assert "sign_in_refused: The server refuses the sign-in" in said
    assert sum(sandbox.state.ews.failed_sign_ins.values()) == 1
    code, said = await say("connect", "acme", *server(sandbox, tmp_path))
    assert code == 0, said
    assert sum(sandbox.state.ews.failed_sign_ins.values()) == 1


async def test_a_change_refused_leaves_the_connection_in_force(say: Say, sandbox: Sandbox, tmp_path: Path) -> None:
    await say("connect", "acme", *server(sandbox, tmp_path))
    options = list(server(sandbox, tmp_path))
    options[1] = f"{sandbox.url}/EWS/Wrong.asmx"
    code, said = await say("connect", "acme", *options)
    assert (code, "not_found" in said, "stays connected as it was" in said) == (1, True, True), said
