"""Settings in a browser: each of them changed, previewed, put in force; and what is not allowed."""

from services.authorizer import orgs
from shared.contracts.policy import Detail, Policy, Scope
from shared.contracts.values import Status
from tests.browser.admin import Admin
from tests.browser.conftest import NewAdmin
from tests.browser.world import World

SETTINGS = "/setup/settings"


async def policy(place: World) -> Policy:
    state = await orgs.org(place.store, "acme")
    assert state is not None
    return state.policy


async def test_every_setting_is_changed_previewed_and_put_in_force(admin: Admin, place: World) -> None:
    await place.connect()
    people = place.sandbox.mailboxes(readable=True)
    await admin.enters()
    await admin.follows("Settings")
    await admin.arrives(SETTINGS)
    await admin.looks("settings")
    page = admin.page
    await page.locator("input[name=detail][value=details]").check()
    await page.locator("#f-conferencing").check()
    await page.locator("#f-show_free").check()
    await page.locator("#f-tentative").select_option("free")
    await page.locator("#f-oof").select_option("busy")
    await page.locator("#f-elsewhere").select_option("busy")
    await page.locator("#f-days_back").fill("7")
    await page.locator("#f-days_ahead").fill("60")
    await page.locator("#f-exclude").fill(people[0].address.upper())
    await page.locator("#f-rooms").uncheck()
    await page.locator("form#policy button.main").click()
    await admin.arrives(f"{SETTINGS}/preview")
    await admin.reads("mailboxes are left out")
    await admin.looks("settings-preview")
    assert await policy(place) == Policy()
    await admin.presses("Put it in force")
    await admin.arrives(SETTINGS)
    await admin.reads("The new settings are in force")
    await admin.looks("settings-saved")
    assert await policy(place) == Policy(
        detail=Detail.DETAILS,
        conferencing=True,
        show_free=True,
        tentative=Status.FREE,
        oof=Status.BUSY,
        elsewhere=Status.BUSY,
        days_back=7,
        days_ahead=60,
        scope=Scope(exclude=(people[0].address,), rooms=False),
    )
    await admin.opens("/setup/audit")
    await admin.reads("ada@customer.example")
    await admin.looks("audit")


async def test_what_is_wrong_is_named_and_nothing_is_changed(admin: Admin, place: World) -> None:
    await place.connect()
    await admin.enters()
    await admin.opens(SETTINGS)
    await admin.page.locator("#f-days_ahead").fill("0")
    await admin.page.locator("#f-exclude").fill("not an address")
    await admin.page.locator("form#policy button.main").click()
    await admin.reads("There is a problem")
    await admin.looks("settings-wrong")
    assert await policy(place) == Policy()


async def test_of_two_tabs_the_second_is_told_that_things_have_moved(admins: NewAdmin, place: World) -> None:
    await place.connect()
    admin = await admins()
    await admin.enters()
    await admin.opens(SETTINGS)
    await admin.page.locator("#f-show_free").check()
    await admin.page.locator("form#policy button.main").click()
    await admin.arrives(f"{SETTINGS}/preview")
    other = await admin.page.context.new_page()
    await other.goto(f"{place.url}{SETTINGS}")
    await other.locator("#f-days_back").fill("3")
    await other.locator("form#policy button.main").click()
    await other.get_by_role("button", name="Put it in force").click()
    await other.get_by_text("The new settings are in force").wait_for()
    await admin.presses("Put it in force")
    await admin.reads("changed in the meantime")
    assert (await policy(place)).show_free is False
    await admin.presses("Put it in force")
    await admin.reads("The new settings are in force")
    assert (await policy(place)).show_free is True


async def test_the_back_button_leads_to_what_was_filled_in_and_does_nothing_twice(admin: Admin, place: World) -> None:
    await place.connect()
    await admin.enters()
    await admin.opens(SETTINGS)
    await admin.page.locator("#f-show_free").check()
    await admin.page.locator("form#policy button.main").click()
    await admin.arrives(f"{SETTINGS}/preview")
    await admin.presses("Put it in force")
    await admin.reads("The new settings are in force")
    state = await orgs.org(place.store, "acme")
    await admin.page.go_back()
    await admin.page.go_back()
    await admin.page.go_forward()
    assert await orgs.org(place.store, "acme") == state
