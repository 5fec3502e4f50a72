"""Connecting an Exchange server in a browser: a test that fails, one that passes, and only that one saved."""

from services.authorizer import orgs
from shared.contracts.messages import EwsConnection, GroupSource
from tests.browser.admin import Admin
from tests.browser.conftest import NewAdmin
from tests.browser.world import World

EXCHANGE = "/setup/connect/exchange"
WRONG = "canary-wrong-password"


async def describes(admin: Admin, *, password: str = "") -> None:
    """Fill in the form about the sandbox's server."""
    page, sandbox = admin.page, admin.place.sandbox
    people = sandbox.mailboxes(readable=True)
    await page.get_by_label("I know its address").check()
    await page.get_by_label("Server address").fill(sandbox.ews_url)
    await page.get_by_label("Service account", exact=False).first.fill("")
    await page.locator("#f-account").fill(sandbox.ews_user)
    await page.locator("#f-password").fill(password or sandbox.ews_password)
    await page.locator("#f-member").fill(people[0].address)
    await page.locator("#f-with_group").check()
    await page.locator("#f-groups").fill(sandbox.ews_scope)


async def test_a_test_fails_then_passes_and_what_passed_is_connected(admin: Admin, place: World) -> None:
    await admin.enters()
    await admin.follows("Connect an Exchange server")
    await admin.arrives(EXCHANGE)
    await admin.looks("exchange")
    await describes(admin, password=WRONG)
    await admin.presses("Test connection")
    await admin.arrives(f"{EXCHANGE}/test")
    await admin.reads("Failed", within=60)
    await admin.looks("exchange-test-failed")
    assert await admin.page.get_by_role("button", name="Save").count() == 0
    assert WRONG not in await admin.page.content()
    await admin.page.locator("a.button.main").click()
    await admin.arrives(EXCHANGE)
    assert await admin.page.locator("#f-account").input_value() == place.sandbox.ews_user
    assert await admin.page.locator("#f-password").input_value() == ""
    await admin.page.locator("#f-password").fill(place.sandbox.ews_password)
    await admin.presses("Test connection")
    await admin.page.locator(".notice.good").wait_for(timeout=60_000)
    await admin.looks("exchange-test-passed")
    assert await orgs.org(place.store, "acme") is None
    await admin.page.locator("form[action='/setup/connect/exchange'] button.main").click()
    await admin.arrives("/setup/status")
    await admin.reads("Enabled", within=60)
    state = await orgs.org(place.store, "acme")
    assert state is not None
    assert isinstance(state.connection, EwsConnection)
    assert state.connection.directory == (GroupSource(address=place.sandbox.ews_scope),)
    await admin.opens("/setup/connect")
    await admin.looks("connection-exchange")
    assert place.sandbox.ews_password not in await admin.page.content()


async def test_each_field_that_is_wrong_is_named_and_led_to(admin: Admin) -> None:
    await admin.enters()
    await admin.opens(EXCHANGE)
    await admin.page.locator("#f-member").fill("nobody")
    await admin.page.locator("#f-password").fill(WRONG)
    await admin.presses("Test connection")
    await admin.reads("There is a problem")
    await admin.looks("exchange-wrong")
    assert WRONG not in await admin.page.content()
    first = admin.page.locator(".summary a").first
    target = (await first.get_attribute("href") or "").removeprefix("#")
    await first.click()
    assert await admin.page.locator(f"[id='{target}']").count() == 1


async def test_a_server_that_nobody_may_reach_is_refused_without_being_asked(admins: NewAdmin, place: World) -> None:
    admin = await admins()
    await admin.enters()
    await admin.opens(EXCHANGE)
    await describes(admin)
    await admin.page.get_by_label("Server address").fill("https://169.254.169.254/EWS/Exchange.asmx")
    await admin.presses("Test connection")
    await admin.reads("Failed", within=60)
    assert await orgs.org(place.store, "acme") is None
