"""Each condition of an Exchange server, produced by the sandbox: the step that shows it, and what its admin is told."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from deploy.command.main import main
from deploy.sandbox import FaultKind, SandboxOptions, start
from deploy.sandbox.ews.world import FULL_ACCESS
from services.authorizer.exchange import verified
from services.authorizer.preflight import NEEDED, Step
from services.authorizer.refusals import Refusal
from shared import clock
from shared.contracts.messages import ListSource
from shared.contracts.policy import Detail
from shared.errors import Retry
from shared.identity import Tokens
from tests.integration.exchange_bench import (
    FOLDER,
    LOOPBACK,
    MEMBER,
    OUTSIDER,
    ROWS,
    Bench,
    Row,
    account,
    fault,
    left,
    manners,
    password,
    with_app,
)
from tests.waiting import until


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    options = SandboxOptions(folder=tmp_path / "sandbox", mailboxes=20, events=2)
    sandbox = await start(options)
    tokens = Tokens(ca_file=str(sandbox.ca_file))
    yield Bench(sandbox, tokens)
    tokens.close()
    await until(lambda: left(sandbox))
    await sandbox.stop()


def told(steps: list[Step], name: str) -> tuple[bool | None, str]:
    (step,) = [step for step in steps if step.name == name]
    return step.ok, step.reason


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_each_condition_is_shown_by_its_step_and_explained(bench: Bench, row: Row) -> None:
    row.prepare(bench)
    steps = await bench.steps()
    assert told(steps, row.step) == (row.ok, row.reason)
    assert next(step for step in steps if step.name == row.step).sentence
    assert bench.failed_sign_ins <= 1


async def test_a_good_server_passes_every_step(bench: Bench) -> None:
    steps = await bench.steps()
    assert [(step.name, step.reason) for step in steps if not step.ok] == []
    assert [step.name for step in steps] == [
        "tcp", "tls", "schemes", "sign_in", "version", "names", "member", "outsider", "view", "changes", "zone",
        "free_busy", "group", "rooms", "list",
    ]  # fmt: skip
    assert (bench.failed_sign_ins, dict(bench.world.sign_ins)["ntlm"] >= 1) == (0, True)


@pytest.mark.parametrize("auth", ["basic", "ntlm"])
async def test_each_way_to_sign_in_is_settled(bench: Bench, auth: str) -> None:
    bench.world.manners.schemes = (auth,)
    found = await verified(bench.asked(), bench.doors, now=clock.now())
    assert (found.endpoint, found.scheme) == (bench.sandbox.ews_url, auth)


async def test_an_app_with_the_permission_is_let_in(bench: Bench) -> None:
    with_app(bench)
    grant = bench.sandbox.state.grants[(bench.sandbox.client_id, bench.sandbox.tenant_id)]
    grant.roles = (*grant.roles, FULL_ACCESS)
    bench.given["outsider"] = ""
    found = await verified(bench.asked(), bench.doors, now=clock.now())
    assert found.scheme == "oauth"


@pytest.mark.parametrize("wrong", ["basic", "ntlm"])
async def test_a_wrong_password_is_exactly_one_failed_sign_in(bench: Bench, wrong: str) -> None:
    password("wrong", auth=wrong)(bench)
    with pytest.raises(Refusal, match="sign_in_refused"):
        await verified(bench.asked(), bench.doors, now=clock.now())
    assert bench.failed_sign_ins == 1


async def test_a_pause_that_the_server_orders_is_kept(bench: Bench) -> None:
    fault(FOLDER, kind=FaultKind.THROTTLE, seconds=178.51)(bench)
    with pytest.raises(Retry) as caught:
        await verified(bench.asked(NEEDED[Detail.DETAILS]), bench.doors, now=clock.now())
    assert (caught.value.reason, caught.value.after) == ("server_busy", 178.51)


async def test_a_server_that_lacks_much_is_taken_for_what_it_can_do(bench: Bench) -> None:
    """Faults come with HTTP 200, neither NTLM nor lookups of names are known: that is enough for either policy."""
    lacking = frozenset({"ConvertId", "ResolveNames", "GetServerTimeZones", "GetRoomLists", "GetRooms", "ExpandDL",
                         "SyncFolderItems", "GetUserConfiguration"})  # fmt: skip
    manners(fault_status=200, without=lacking, schemes=("basic",))(bench)
    bench.given["directory"] = (ListSource(addresses=(MEMBER,)),)
    steps = await bench.steps()
    assert [step.name for step in steps if step.ok is False] == []
    assert told(steps, "sign_in") == (True, "")
    assert told(steps, "outsider") == (True, "")
    said = {step.reason for step in steps if step.ok is None}
    assert said == {"version_untold", "names_missing", "changes_missing", "zone_missing"}
    assert (await verified(bench.asked(), bench.doors, now=clock.now())).scheme == "basic"


async def test_faults_with_http_200_mean_the_same(bench: Bench) -> None:
    manners(fault_status=200)(bench)
    account(scope="")(bench)
    assert told(await bench.steps(), "member") == (False, "impersonation_denied")


async def test_what_answers_without_tls_is_named(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with listening.accept()[0] as line:
                line.recv(4096)
                line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        bench.given["url"] = f"https://127.0.0.1:{listening.getsockname()[1]}/EWS/Exchange.asmx"
        assert told(await bench.steps(), "tls") == (False, "not_tls")
        thread.join(60)


async def test_autodiscover_finds_the_server_and_the_trial_goes_on_there(bench: Bench) -> None:
    bench.given["url"] = ""
    place = f"{bench.sandbox.url}/autodiscover/autodiscover.svc"
    bench.doors = replace(bench.doors, places=lambda _: (place,))
    steps = await bench.steps()
    assert steps[0].found == f"{bench.sandbox.ews_url} (told by 127.0.0.1)"
    assert [step.name for step in steps if not step.ok] == []


async def test_a_wrong_password_at_autodiscover_is_the_one_attempt(bench: Bench) -> None:
    bench.given["url"] = ""
    place = f"{bench.sandbox.url}/autodiscover/autodiscover.svc"
    bench.doors = replace(bench.doors, places=lambda _: (place, place))
    bench.credential = replace(bench.credential, password="wrong")
    assert told(await bench.steps(), "autodiscover") == (False, "sign_in_refused")
    assert bench.failed_sign_ins == 1


# -- the command --------------------------------------------------------------------------------------------------


async def command(bench: Bench, folder: Path, *more: str, secret: str = "") -> tuple[int, str]:
    """Run `busyline test-connection` against the sandbox; return its exit code and what it printed."""
    file = folder / "password"
    file.write_text(secret or bench.sandbox.ews_password, encoding="utf-8")
    arguments = [
        "test-connection", "--ews", bench.sandbox.ews_url, "--account", bench.sandbox.ews_user,
        "--password-file", str(file), "--member", MEMBER, "--from-group", bench.account.scope, *more,
    ]  # fmt: skip
    environ = {"BUSYLINE_CA_FILE": str(bench.sandbox.ca_file), "BUSYLINE_REACH_NETWORKS": LOOPBACK}
    environ["BUSYLINE_DATABASE_URL"] = f"sqlite:///{folder / 'never.db'}"
    ran = await asyncio.to_thread(CliRunner().invoke, main, arguments, env=environ)
    assert not (folder / "never.db").exists()  # nothing is stored
    return ran.exit_code, ran.output


async def test_the_command_shows_every_step_and_ends_well(bench: Bench, tmp_path: Path) -> None:
    code, printed = await command(bench, tmp_path, "--outsider", OUTSIDER)
    assert code == 0, printed
    assert printed.count("✓") == 13
    assert "✗" not in printed
    assert "Exchange 2019 15.2.1748.10" in printed


async def test_the_command_fails_where_a_step_fails_and_says_what_to_do(bench: Bench, tmp_path: Path) -> None:
    code, printed = await command(bench, tmp_path, "--outsider", OUTSIDER, secret="wrong")
    assert code == 1
    assert "✗ Sign-in" in printed
    assert "sign_in_refused: The server refuses the sign-in" in printed
    assert bench.failed_sign_ins == 1


async def test_a_warning_alone_is_no_failure(bench: Bench, tmp_path: Path) -> None:
    code, printed = await command(bench, tmp_path, "--policy", "details")
    assert code == 0, printed
    assert "! Refusal for the outsider" in printed
