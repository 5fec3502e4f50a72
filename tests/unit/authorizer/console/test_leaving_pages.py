"""Disconnecting on the page: what it says before, what it asks, how it goes, the receipt, and nothing after it."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from services.authorizer import leaving, orgs
from services.authorizer.console.leaving import FRESH, steps
from services.authorizer.purging import Purge
from shared import clock
from shared.contracts.messages import EwsConnection, ListSource
from shared.tables import sessions, sign_ins
from tests.unit.authorizer.acting import acts, all_answer, emptied
from tests.unit.authorizer.console.town import connected, put
from tests.unit.authorizer.console.visiting import ACTOR, BACK, Console, Page

EXCHANGE = EwsConnection(
    member="member@acme.example", directory=(ListSource(addresses=("member@acme.example",)),),
    endpoint="https://mail.example/EWS/Exchange.asmx", scheme="ntlm", credential="acme-0123abcd",
)  # fmt: skip


async def aged(console: Console, seconds: int) -> None:
    """Let the sessions have begun so long ago."""
    async with console.store.write() as writing:
        await writing.execute(update(sessions).values(created_at=clock.now() - seconds))


async def purged(console: Console) -> None:
    """Do what the services and the timer do."""
    (purge,) = await leaving.under_way(console.store)
    await emptied(console.store, word=False)
    await all_answer(console.store, purge.purge_id)
    (purge,) = await leaving.under_way(console.store)
    await leaving.close(console.store, purge, now=clock.now())


async def disconnected(console: Console) -> Page:
    return await console.post("/setup/disconnect", {"name": "acme"})


async def test_the_page_counts_what_will_be_deleted(console: Console) -> None:
    await connected(console.store)
    for number in range(3):
        await put(console.store, number)
    page = (await console.get("/setup/disconnect")).text
    assert "Mailboxes: their addresses and how they were read</span> <strong>3</strong>" in page
    assert "Calendars as they were shown</span> <strong>3</strong>" in page


async def test_the_page_leads_to_the_app_that_only_microsofts_admin_can_remove(console: Console) -> None:
    await connected(console.store)
    page = (await console.get("/setup/disconnect")).text
    assert 'href="https://portal.azure.com/#view/Microsoft_AAD_IAM/ManagedAppMenuBlade/~/Properties/appId/app"' in page


async def test_for_exchange_the_page_gives_the_commands_that_end_impersonation(console: Console) -> None:
    await connected(console.store, connection=EXCHANGE)
    page = (await console.get("/setup/disconnect")).text
    assert "Remove-ManagementRoleAssignment" in page
    assert "portal.azure.com" not in page


async def test_the_typed_name_begins_it_in_the_name_of_who_is_signed_in(console: Console) -> None:
    await connected(console.store)
    page = await disconnected(console)
    assert (page.status, page.location) == (303, "/setup/disconnect")
    assert console.place.wakes.purge.is_set()
    assert (ACTOR, "org.disconnected") in await acts(console.store)


@pytest.mark.parametrize("name", ["", "ACME", "beta", "acme acme"])
async def test_another_name_deletes_nothing(console: Console, name: str) -> None:
    await connected(console.store)
    page = await console.post("/setup/disconnect", {"name": name})
    assert page.status == 422
    assert 'href="#f-name"' in page.text
    assert await leaving.under_way(console.store) == ()


async def test_an_old_session_has_to_come_again(console: Console) -> None:
    await connected(console.store)
    await aged(console, FRESH)
    shown = await console.get("/setup/disconnect")
    assert "Come again by a fresh link" in shown.text
    assert 'name="name"' not in shown.text
    page = await console.followed((await disconnected(console)).location)
    assert "Nothing was deleted" in page.text
    assert await leaving.under_way(console.store) == ()


async def test_an_old_session_is_led_back_to_its_platform(stranger: Console) -> None:
    await connected(stranger.store)
    await stranger.enter(return_to=BACK)
    await aged(stranger, FRESH)
    assert f'href="{BACK}"' in (await stranger.get("/setup/disconnect")).text


async def test_the_purge_is_shown_step_by_step(console: Console) -> None:
    await connected(console.store)
    await put(console.store, 1)
    await disconnected(console)
    page = (await console.get("/setup/disconnect")).text
    assert "Disconnecting" in page
    assert 'data-live="/setup/status/events"' in page
    assert 'data-live-text="left">2<' in page
    assert "Calendars on their way" in page


async def test_it_ends_with_the_receipt_on_the_page_and_as_a_file(console: Console) -> None:
    await connected(console.store)
    await put(console.store, 1)
    await disconnected(console)
    await purged(console)
    page = await console.followed("/setup/disconnect")
    receipt = await orgs.receipt(console.store, "acme")
    assert receipt is not None
    assert receipt.audit_hash in page.text
    assert 'href="/setup/connect"' not in page.text  # no tab leads anywhere any more
    file = await console.get("/setup/receipt.json")
    told = msgspec.json.decode(file.text, type=dict[str, Any])
    assert (told["purge_id"], told["counts"]["mailboxes"]) == (receipt.purge_id, 1)
    assert file.headers["Content-Disposition"].startswith('attachment; filename="receipt-acme-')


async def test_what_an_admin_had_in_hand_goes_with_the_organisation(console: Console) -> None:
    await connected(console.store)
    await console.get("/setup/disconnect")
    async with console.store.write() as writing:
        (mine,) = (await writing.execute(select(sessions.c.session_hash))).scalars()
        row = {"kind": "exchange_test", "sealed": b"a password", "until": clock.now() + 1800}
        await writing.execute(sign_ins.insert(), [
            {"state_hash": "a", "session_hash": mine, "org_id": "acme", **row},
            {"state_hash": "b", "session_hash": "another's", "org_id": "globex", **row},
        ])  # fmt: skip
    await disconnected(console)
    await purged(console)
    async with console.store.read() as reading:
        assert (await reading.execute(select(sign_ins.c.state_hash))).scalars().all() == ["b"]


@pytest.mark.parametrize(
    "path", ["/setup", "/setup/status", "/setup/mailboxes", "/setup/settings", "/setup/connect", "/setup/audit"]
)
async def test_after_the_purge_the_session_sees_the_receipt_and_nothing_else(console: Console, path: str) -> None:
    await connected(console.store)
    await disconnected(console)
    await purged(console)
    page = await console.get(path)
    assert (page.status, page.location) == (303, "/setup/receipt")


async def test_a_session_of_later_may_connect_anew(console: Console) -> None:
    await connected(console.store)
    await disconnected(console)
    await purged(console)
    async with console.store.write() as writing:
        await writing.execute(update(sessions).values(created_at=clock.now() + 1))
    assert (await console.followed("/setup")).status == 200
    assert (await console.get("/setup/connect")).status == 200
    receipt = await console.get("/setup/receipt")
    assert receipt.status == 200
    assert 'href="/setup/connect"' in receipt.text


async def test_without_a_receipt_there_is_none_to_see(console: Console) -> None:
    assert (await console.get("/setup/receipt")).location == "/setup"
    assert (await console.get("/setup/receipt.json")).status == 404
    await connected(console.store)
    assert (await console.get("/setup/receipt")).location == "/setup/disconnect"


async def test_nothing_shown_of_a_purge_is_a_secret(console: Console) -> None:
    await connected(console.store)
    assert "canary" not in (await console.get("/setup/disconnect")).text


def test_our_own_step_comes_once_every_service_has_answered() -> None:
    begun = Purge(purge_id="0" * 32, org_id="acme", generation=2, actor="eve", started_at=1)
    assert dict(steps(begun)) == {"normalizer": "now", "publisher": "now", "fetcher": "now", "authorizer": "wait"}
    ended = msgspec.structs.replace(begun, done=("fetcher", "normalizer", "publisher"))
    assert dict(steps(ended))["authorizer"] == "now"
