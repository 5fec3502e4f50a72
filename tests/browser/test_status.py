"""Status and mailboxes in a browser: live progress, causes, one mailbox tested and read again, the file."""

from deploy.sandbox.faults import Fault, FaultKind
from tests.browser.admin import Admin
from tests.browser.world import World

MAILBOXES = "/setup/mailboxes"


async def test_progress_is_live_until_everything_is_enabled(admin: Admin, place: World) -> None:
    place.sandbox.order(Fault(kind=FaultKind.SLOW, match="calendarView", seconds=4))
    connecting = place.request_connection()
    await admin.enters()
    await connecting
    await admin.opens("/setup/status")
    await admin.reads("Sync in progress", within=60)
    await admin.reads("mailboxes")
    await admin.looks("status-syncing")
    await admin.reads("Enabled", within=60)


async def test_a_connection_that_is_refused_says_what_to_do(admin: Admin, place: World) -> None:
    place.sandbox.enable_app(enabled=False)
    await place.request_connection()
    await admin.enters()
    await admin.opens("/setup/status")
    await admin.reads("Not connected", within=60)
    await admin.reads("The app is disabled in this tenant")
    await admin.looks("status-refused")


async def test_what_is_wrong_leads_to_the_mailboxes_and_each_can_be_tested(admin: Admin, place: World) -> None:
    await place.connect()
    await admin.enters()
    await admin.follows("Show it")
    await admin.arrives(MAILBOXES)
    await admin.looks("mailboxes-filtered")
    await admin.page.locator("tbody a").first.click()
    await admin.reads("What to do")
    await admin.looks("mailbox-denied")
    await admin.presses("Test")
    await admin.reads("could not be read", within=60)
    await admin.looks("mailbox-tested")


async def test_mailboxes_are_searched_read_again_and_downloaded(admin: Admin, place: World) -> None:
    await place.connect()
    await admin.enters()
    await admin.follows("Mailboxes")
    await admin.looks("mailboxes")
    await admin.page.locator("#f-q").fill("PERSON.0003")
    await admin.presses("Show")
    assert await admin.page.locator("tbody tr").count() == 1
    await admin.page.locator("tbody a").first.click()
    await admin.looks("mailbox")
    await admin.page.locator("form[action$='/sync'] button").click()
    await admin.page.locator(".notice.good").wait_for()
    await admin.opens(MAILBOXES)
    async with admin.page.expect_download() as waiting:
        await admin.follows("Download as CSV")
    path = await (await waiting.value).path()
    assert "person.0003@" in path.read_text()
    await admin.opens(f"{MAILBOXES}?q=nobody-at-all")
    await admin.looks("mailboxes-none")


async def test_all_mailboxes_are_read_again(admin: Admin, place: World) -> None:
    await place.connect()
    await admin.enters()
    async with admin.page.expect_response(lambda answer: answer.request.method == "POST") as waiting:
        await admin.presses("Sync all mailboxes again")
    assert (await waiting.value).status == 303
    await admin.opens("/setup/audit")
    await admin.reads("org.resynced")


async def test_times_are_in_the_viewers_zone_and_in_utc_beside(admin: Admin, place: World) -> None:
    await place.connect()
    await admin.enters()
    await admin.opens(MAILBOXES)
    time = admin.page.locator("tbody time").first
    shown, title, exact = (
        await time.inner_text(),
        await time.get_attribute("title"),
        await time.get_attribute("datetime"),
    )
    assert title is not None
    assert title.endswith("UTC")
    assert exact is not None
    local = await admin.page.evaluate(
        "at => new Date(at).toLocaleTimeString('en', {hour: 'numeric', minute: '2-digit', timeZone: 'Europe/Berlin'})",
        exact,
    )
    assert local in shown


async def test_an_org_that_is_turned_away_is_told_what_to_repair(admin: Admin, place: World) -> None:
    await place.connect()
    place.sandbox.enable_app(enabled=False)
    place.sandbox.expire_tokens()
    await place.verify_now()
    await admin.enters()
    await admin.opens("/setup/status")
    await admin.reads("Needs your attention", within=60)
    await admin.looks("status-attention")
    await admin.follows("Go to the connection")
    await admin.looks("connection-attention")
