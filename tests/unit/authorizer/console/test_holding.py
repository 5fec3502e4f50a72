"""What a failure in the middle, a rotated key, a malformed form or a way of writing an address must not do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace
from sqlalchemy import select, update

from services.authorizer.console import drafts, exchange_trials, home, sessions
from services.authorizer.console.exchange_trials import Trials
from services.authorizer.console.place import Visit
from services.authorizer.desk import Desk
from services.authorizer.preflight import Step
from shared import clock
from shared.contracts.messages import EwsConnection, ListSource
from shared.ews.credential import EwsCredential
from shared.store import Store
from shared.tables import orgs, sign_ins
from shared.vault import Vault, load_vault
from tests.unit.authorizer.console.test_leaving_pages import disconnected, purged
from tests.unit.authorizer.console.town import connected
from tests.unit.authorizer.console.visiting import Console, visited
from tests.waiting import until

NOW = 1_800_000_000
MINE = Visit(org_id="acme", actor="it", return_to="", csrf="", session_hash="a" * 64, created_at=NOW)


# -- failures -------------------------------------------------------------------------------------------------------


async def test_an_answer_that_fails_on_its_way_is_cut_off_and_no_page_is_written_into_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def halfway(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/csv"})
        await answer.prepare(request)
        await answer.write(b"address\n")
        raise RuntimeError("the store is away")

    monkeypatch.setattr(home, "ROUTES", (web.get("/setup/halfway", halfway),))
    async with visited(desk) as console:
        await console.enter()
        async with console.client.get("/setup/halfway") as answer:
            assert await answer.content.readline() == b"address\n"
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.content.read()


async def test_a_test_that_ends_with_the_page_is_said_to_be_lost_at_once(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow:
        async def steps(self, _: int) -> AsyncIterator[Step]:
            await asyncio.Event().wait()
            yield Step(name="tcp")

    monkeypatch.setattr(exchange_trials, "_trial", lambda *_: Slow())
    account, listed = EwsCredential(username="svc", password="p"), (ListSource(addresses=("ann@acme.example",)),)
    connection = EwsConnection(member="ann@acme.example", directory=listed)
    tried, trials = exchange_trials.Tested(connection=connection, credential=account), Trials()
    trial_id = await exchange_trials.begin(console.place, MINE, trials, tried)
    await asyncio.sleep(0)
    await trials.close()
    found = await exchange_trials.progress(console.place, MINE, trial_id)
    assert found is not None
    assert (found.ended, found.cut, found.passed) == (True, "lost", False)


async def test_a_test_is_watched_by_a_few_at_a_time_and_who_goes_makes_room(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_trials, "MOST_VIEWERS", 1)
    mine = await sessions.visit(console.store, console.place.vault, console.session_id, now=clock.now())
    assert isinstance(mine, Visit)
    body = msgspec.json.encode(exchange_trials.Progress(started_at=clock.now()))
    trial_id = await drafts.keep(console.place, mine, "exchange_steps", body, now=clock.now())
    path = f"/setup/connect/exchange/test/events?id={trial_id}"
    async with console.client.get(path) as first:
        await first.content.readline()
        second = await console.get(path)
        assert (second.status, second.headers["Retry-After"]) == (429, "30")
    ended = msgspec.json.encode(exchange_trials.Progress(started_at=clock.now(), ended=True, cut="timeout"))
    assert await drafts.put(console.place, mine, "exchange_steps", trial_id, ended)
    server: Any = console.client.server
    await until(lambda: not server.app[exchange_trials.TRIALS].viewers)
    assert (await console.get(path)).status == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=a", b"--b\r\n"),
        ("multipart/form-data; boundary=a", b"--a\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a--\r\n"),
        ("application/x-www-form-urlencoded; charset=none-such", b"csrf=x"),
        ("application/x-www-form-urlencoded", b"csrf=\xff\xfe"),
    ],
)
async def test_a_form_that_cannot_be_read_is_a_bad_one_and_no_failure_of_ours(
    console: Console, kind: str, body: bytes
) -> None:
    page = await console.ask("POST", "/setup/sign-out", data=body, headers={"Content-Type": kind})
    assert page.status in {400, 403}


async def test_a_head_begins_no_stream(console: Console) -> None:
    page = await console.ask("HEAD", "/setup/connect/exchange/test/events?id=x")
    assert page.status == 405


async def test_a_refused_change_is_not_checked_again_by_checking_what_is_in_force(console: Console) -> None:
    await connected(console.store)
    told = {"reason": "app_not_in_tenant", "sentence": "Consent to the app.", "verify_at": None}
    async with console.store.write() as writing:
        await writing.execute(update(orgs).values(**told))
    page = await console.get("/setup/connect/microsoft/waiting")
    assert "The connection in force stays as it was" in page.text
    assert "/setup/connect/microsoft/again" not in page.text
    assert (await console.post("/setup/connect/microsoft/again")).location == "/setup/connect/microsoft"
    async with console.store.read() as reading:
        row = (await reading.execute(select(orgs))).one()
    assert (row.asked, row.verify_at, row.reason) == (None, None, "app_not_in_tenant")


# -- keys -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def rotated(tmp_path: Path) -> tuple[Vault, Vault]:
    """The vault of a process that has not seen a rotation yet, and that of one that has."""
    file = tmp_path / "keys"
    old = load_vault(file, create=True)
    return old, load_vault(file, rotate=True)


async def test_a_form_that_another_process_made_with_a_newer_key_is_taken(rotated: tuple[Vault, Vault]) -> None:
    old, new = rotated
    assert sessions.is_csrf_token(old, "one", sessions.csrf_token(new, "one"))
    assert not sessions.is_csrf_token(old, "other", sessions.csrf_token(new, "one"))


async def test_a_draft_under_a_key_that_was_taken_away_is_gone_and_no_failure(console: Console) -> None:
    place = console.place
    draft_id = await drafts.keep(place, MINE, "kind", b"canary", now=NOW)
    other = replace(place, vault=Vault({"another": bytes(range(32))}))
    assert await drafts.kept(other, MINE, "kind", draft_id, now=NOW) is None
    assert await drafts.taken(other, MINE, "kind", draft_id, now=NOW) is None
    assert await drafts.kept(place, MINE, "kind", draft_id, now=NOW) == b"canary"


# -- what is left behind ----------------------------------------------------------------------------------------------


async def kept_of(store: Store) -> list[str]:
    async with store.read() as reading:
        return list((await reading.execute(select(sign_ins.c.kind).order_by(sign_ins.c.kind))).scalars())


def program(org_id: str) -> Visit:
    """Somebody who calls the API by a link: there is no session of theirs."""
    return replace(MINE, org_id=org_id, session_hash=sessions.hashed(f"{org_id}/it"), created_at=clock.now())


async def test_what_a_program_had_in_hand_goes_with_its_organisation_and_with_no_other(console: Console) -> None:
    await connected(console.store)
    for org_id in ("acme", "globex"):
        await drafts.keep(console.place, program(org_id), org_id, b"a password", now=clock.now())
    await disconnected(console)
    await purged(console)
    assert await kept_of(console.store) == ["globex"]


async def test_who_comes_by_another_link_leaves_no_draft_of_the_former_session(console: Console) -> None:
    former = await sessions.visit(console.store, console.place.vault, console.session_id, now=clock.now())
    assert isinstance(former, Visit)
    await drafts.keep(console.place, former, "kind", b"a password", now=clock.now())
    await console.enter()
    assert await kept_of(console.store) == []


async def test_what_is_over_leaves_no_draft_behind(console: Console) -> None:
    now = clock.now()
    mine = await sessions.visit(console.store, console.place.vault, console.session_id, now=now)
    assert isinstance(mine, Visit)
    await drafts.keep(console.place, mine, "kind", b"a password", now=now + sessions.IDLE - 60)
    await sessions.tidy(console.store, now=now + sessions.IDLE)
    assert await kept_of(console.store) == []


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("public", ["https://Setup.Example", "https://setup.example:443"])
async def test_however_the_public_address_is_written_a_browsers_own_forms_are_taken(desk: Desk, public: str) -> None:
    async with visited(desk, public_url=public) as console:
        await console.enter()
        page = await console.post("/setup/sign-out", headers={"Origin": "https://setup.example"})
        assert page.status == 303
        await console.enter()
        for foreign in ("https://setup.example:8443", "http://setup.example", "https://evil.example", "null", ""):
            page = await console.post("/setup/sign-out", headers={"Origin": foreign})
            assert page.status == 403


# -- what goes on for long --------------------------------------------------------------------------------------------


async def test_a_stream_ends_once_its_session_is_over_though_its_row_is_there(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.authorizer.console.progress.LOOK", 0)
    await connected(console.store)
    async with console.client.get("/setup/status/events") as answer:
        await answer.content.readline()
        later = clock.now() + sessions.IDLE
        monkeypatch.setattr(clock, "now", lambda: later)
        async with asyncio.timeout(60):
            while await answer.content.readline():
                pass
