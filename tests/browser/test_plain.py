"""Without scripting, and by keyboard alone: everything but what is live goes on."""

from services.authorizer import orgs
from tests.browser.admin import Admin
from tests.browser.conftest import NewAdmin
from tests.browser.test_exchange import describes
from tests.browser.test_microsoft import connects
from tests.browser.world import World


async def test_without_scripting_an_org_is_connected_changed_and_disconnected(admins: NewAdmin, place: World) -> None:
    admin = await admins(script=False)
    await admin.enters()
    await connects(admin)
    await admin.arrives("/setup/status", within=60)
    await admin.reads("Enabled", within=60)
    await admin.reads("Times are in UTC")
    await admin.opens("/setup/settings")
    await admin.page.locator("#f-show_free").check()
    await admin.page.locator("form#policy button.main").click()
    await admin.presses("Put it in force")
    await admin.reads("The new settings are in force")
    await admin.opens("/setup/disconnect")
    await admin.page.locator("#f-name").fill("acme")
    await admin.presses("Disconnect and delete everything")
    await admin.reads("Keep it", within=60)
    assert await orgs.org(place.store, "acme") is None


async def test_without_scripting_an_exchange_server_is_tested_and_connected(admins: NewAdmin) -> None:
    admin = await admins(script=False)
    await admin.enters()
    await admin.opens("/setup/connect/exchange")
    await describes(admin)
    await admin.presses("Test connection")
    await admin.page.locator(".notice.good").wait_for(timeout=60_000)
    await admin.page.locator("form[action='/setup/connect/exchange'] button.main").click()
    await admin.reads("Enabled", within=60)


async def presses_tab_until(admin: Admin, name: str, *, most: int = 60) -> None:
    """Press the tabulator until what bears a name has the focus, which must be seen on every stop."""
    for _ in range(most):
        await admin.page.keyboard.press("Tab")
        said, seen = await admin.page.evaluate(
            """() => {
                const one = document.activeElement, style = getComputedStyle(one);
                const label = one.labels && one.labels[0] ? one.labels[0].innerText : one.innerText;
                const seen = style.outlineStyle !== "none" || style.boxShadow !== "none";
                return [label || "", seen || one === document.body];
            }"""
        )
        assert seen, f"no focus is to be seen on {said}"
        if name in said:
            return
    raise AssertionError(f"{name} is not reached by the keyboard")


async def test_by_keyboard_alone_an_admin_connects_and_changes_the_settings(admin: Admin, place: World) -> None:
    await admin.enters()
    await presses_tab_until(admin, "Skip to the content")
    await admin.page.keyboard.press("Enter")
    await presses_tab_until(admin, "Connect Microsoft 365")
    await admin.page.keyboard.press("Enter")
    await admin.arrives("/setup/connect/microsoft")
    await presses_tab_until(admin, "I accept these terms")
    await admin.page.keyboard.press("Space")
    await presses_tab_until(admin, "Authorize calendar access")
    await admin.page.keyboard.press("Enter")
    await admin.page.get_by_role("button", name="Global Administrator of").first.press("Enter")
    await admin.page.get_by_role("button", name="Accept").press("Enter")
    await admin.arrives("/setup/status", within=60)
    await admin.reads("Enabled", within=60)
    await admin.opens("/setup/settings")
    await presses_tab_until(admin, "Show entries marked Free")
    await admin.page.keyboard.press("Space")
    await presses_tab_until(admin, "See what this changes")
    await admin.page.keyboard.press("Enter")
    await admin.arrives("/setup/settings/preview")
    await presses_tab_until(admin, "Put it in force")
    await admin.page.keyboard.press("Enter")
    await admin.reads("The new settings are in force")
    state = await orgs.org(place.store, "acme")
    assert state is not None
    assert state.policy.show_free is True
