"""The status page: each phase with its sentence, causes with counts and advice, and nothing of another org."""

import re

from services.authorizer import leaving
from shared import clock
from tests.unit.authorizer.acting import said
from tests.unit.authorizer.console.town import change, connected, put, searched, stands
from tests.unit.authorizer.console.visiting import Console


async def test_an_org_that_is_not_known_is_led_to_connect(console: Console) -> None:
    page = await console.get("/setup/status")
    assert (page.status, page.location) == (303, "/setup/connect")


async def test_a_connected_org_is_syncing_until_its_search_has_ended(console: Console) -> None:
    await connected(console.store)
    await put(console.store, 1)
    await searched(console.store, finished=False)
    page = await console.get("/setup/status")
    assert "Sync in progress" in page.text
    assert "1 of 1 mailboxes found so far done" in page.text


async def test_progress_counts_those_with_a_final_reason_as_done(console: Console) -> None:
    await connected(console.store)
    await searched(console.store)
    await put(console.store, 1)
    await put(console.store, 2, bucket="denied", reason="access_denied", read_generation=None, read_at=None)
    await put(console.store, 3, read_generation=None, read_at=None, covered=False)
    page = await console.get("/setup/status")
    assert "2 of 3 mailboxes done" in page.text


async def test_an_org_is_enabled_once_every_mailbox_has_coverage_or_a_reason(console: Console) -> None:
    await connected(console.store)
    await searched(console.store)
    await put(console.store, 1)
    await put(console.store, 2, bucket="failing", reason="timeout")
    assert "<h1>Enabled</h1>" in (await console.get("/setup/status")).text


async def test_an_org_is_not_enabled_while_a_mailbox_read_is_not_published(console: Console) -> None:
    await connected(console.store)
    await searched(console.store)
    await put(console.store, 1, covered=False)
    assert "Sync in progress" in (await console.get("/setup/status")).text


async def test_a_daily_search_does_not_take_enabled_away(console: Console) -> None:
    await connected(console.store)
    await put(console.store, 1)
    await searched(console.store, finished=False, started_at=clock.now() + 86_400)
    assert "<h1>Enabled</h1>" in (await console.get("/setup/status")).text


async def test_causes_are_counted_with_advice_and_lead_to_their_mailboxes(console: Console) -> None:
    await connected(console.store)
    await searched(console.store)
    for number in range(3):
        await put(console.store, number, bucket="denied", reason="access_denied")
    await put(console.store, 9, waiting="throttled")
    page = (await console.get("/setup/status")).text
    assert "Show these 3" in page
    assert "application access policy" in page
    assert 'href="/setup/mailboxes?bucket=denied&amp;reason=access_denied"' in page
    assert 'href="/setup/mailboxes?waiting=yes"' in page


async def test_a_refused_org_is_told_why_and_where_to_go(console: Console) -> None:
    await connected(console.store)
    await stands(console.store, state="refused", reason="secret_expired", sentence="Make a new `secret`.")
    page = (await console.get("/setup/status")).text
    assert "Make a new <code" in page
    assert "It is tried again by itself" in page
    assert 'href="/setup/connect"' in page


async def test_a_refused_sign_in_is_said_not_to_be_tried_again(console: Console) -> None:
    await connected(console.store)
    await stands(console.store, state="refused", reason="sign_in_refused", sentence="Wrong password.")
    assert "so as not to lock an account" in (await console.get("/setup/status")).text


async def test_an_org_in_need_of_attention_is_told_why(console: Console) -> None:
    await connected(console.store)
    await put(console.store, 1)
    await stands(console.store, state="attention", reason="consent_missing", sentence="Grant consent again.")
    page = (await console.get("/setup/status")).text
    assert "Needs your attention" in page
    assert "Grant consent again." in page


async def test_a_removal_held_back_is_shown(console: Console) -> None:
    await connected(console.store)
    await put(console.store, 1)
    await searched(console.store, held=40, held_of=50, last_error="removal_held")
    assert "40 of 50 mailboxes would be removed" in (await console.get("/setup/status")).text


async def test_trouble_of_the_search_is_shown_with_advice(console: Console) -> None:
    await connected(console.store)
    await put(console.store, 1)
    await searched(console.store, last_error="scope_group_missing")
    assert "no longer exists in the directory" in (await console.get("/setup/status")).text


async def test_the_page_says_how_fresh_readings_are(console: Console) -> None:
    await connected(console.store)
    await searched(console.store)
    for number, at in enumerate((1_790_000_000, 1_790_086_400, 1_790_172_800)):
        await change(console.store, await put(console.store, number), read_at=at)
    times = re.findall(r'datetime="([^"]+)"', (await console.get("/setup/status")).text)
    assert [clock.moment(1_790_086_400), clock.moment(1_790_000_000)] == times[:2]


async def test_without_script_the_page_loads_itself_again_while_something_moves(console: Console) -> None:
    await connected(console.store)
    await searched(console.store, finished=False)
    assert '<noscript><meta http-equiv="refresh"' in (await console.get("/setup/status")).text
    await put(console.store, 1)
    await stands(console.store, state="refused", reason="secret_expired", sentence="-")
    assert "http-equiv" not in (await console.get("/setup/status")).text


async def test_nothing_of_another_org_is_counted(console: Console) -> None:
    await connected(console.store)
    await searched(console.store)
    await put(console.store, 1)
    await put(console.store, 2, org_id="beta", bucket="denied", reason="access_denied", covered=False)
    page = (await console.get("/setup/status")).text
    assert "<h1>Enabled</h1>" in page
    assert "Access denied" not in page


async def test_an_org_that_is_leaving_is_led_to_how_far_that_is(console: Console) -> None:
    await connected(console.store)
    now = clock.now()
    await leaving.begin(console.store, "acme", word=said(now + 1, now=now + 1))
    assert (await console.get("/setup/status")).location == "/setup/disconnect"
