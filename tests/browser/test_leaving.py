"""Disconnecting in a browser: asked for by name, watched to its end, with the receipt to take home."""

import json

from services.authorizer import orgs
from tests.browser.admin import Admin
from tests.browser.conftest import NewAdmin
from tests.browser.world import World

DISCONNECT = "/setup/disconnect"


async def test_an_org_is_disconnected_down_to_its_receipt(admin: Admin, place: World) -> None:
    await place.connect()
    await admin.enters()
    await admin.follows("Disconnect")
    await admin.arrives(DISCONNECT)
    await admin.reads("What only you can take back")
    await admin.looks("disconnect")
    await admin.page.locator("#f-name").fill("Acme")
    await admin.presses("Disconnect and delete everything")
    await admin.reads("This is not the name of the organisation")
    await admin.looks("disconnect-wrong")
    await admin.page.locator("#f-name").fill("acme")
    await admin.presses("Disconnect and delete everything")
    await admin.reads("Keep it: as long as the audit log", within=60)
    await admin.arrives("/setup/receipt")
    await admin.looks("receipt")
    found = await orgs.receipt(place.store, "acme")
    assert found is not None
    async with admin.page.expect_download() as waiting:
        await admin.follows("Download the receipt")
    told = json.loads((await (await waiting.value).path()).read_text())
    assert told["audit_hash"] == found.audit_hash
    assert await orgs.org(place.store, "acme") is None


async def test_after_that_the_session_shows_the_receipt_and_nothing_else(admins: NewAdmin, place: World) -> None:
    await place.connect()
    admin = await admins()
    await admin.enters()
    await admin.opens(DISCONNECT)
    await admin.page.locator("#f-name").fill("acme")
    await admin.presses("Disconnect and delete everything")
    await admin.reads("Keep it", within=60)
    for path in ("/setup", "/setup/mailboxes", "/setup/settings", "/setup/status"):
        await admin.opens(path)
        await admin.arrives("/setup/receipt")
    again = await admins()
    await again.enters()
    await again.arrives("/setup/connect")
    await again.looks("connect-former")


async def test_how_far_it_is_can_be_watched(admin: Admin, place: World) -> None:
    await place.connect()
    await place.leaves_slowly()
    await admin.enters()
    await admin.opens(DISCONNECT)
    await admin.reads("Disconnecting")
    await admin.looks("disconnecting")
    await admin.reads("Keep it", within=60)
