"""What an admin is told once stays long enough to be read, whatever the page does by itself."""

from playwright.async_api import Error, Route, expect

from tests.browser.admin import Admin
from tests.browser.world import World
from tests.waiting import until

STAYS = 2000  # milliseconds, of the six seconds that it is meant to
ANOTHER = 'event: standing\ndata: {"phase": "attention", "mark": "", "figures": {}}\n\n'


async def is_old(admin: Admin) -> bool:
    """Say whether the page was loaded a while ago; one that is just being loaded anew was not."""
    try:
        return float(await admin.page.evaluate("performance.now()")) > STAYS
    except Error:
        return False


async def changes_at_once(route: Route) -> None:
    """Answer as a stream that tells of another state in the moment the page is loaded."""
    await route.fulfill(content_type="text/event-stream", body=ANOTHER)


async def test_what_was_asked_for_is_still_said_when_the_state_changes_at_once(admin: Admin, place: World) -> None:
    await place.connect()
    await admin.enters()
    await admin.opens("/setup/status")
    await admin.page.route("**/setup/status/events", changes_at_once)
    await admin.presses("Sync all mailboxes again")
    said = admin.page.locator("main > .notice")
    await expect(said).to_contain_text("every mailbox is being read again")
    await until(lambda: is_old(admin))
    await expect(said).to_contain_text("every mailbox is being read again")
