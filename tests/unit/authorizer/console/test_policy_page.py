"""The settings on the setup page: shown, previewed, and put in force only as they were previewed."""

import re
from collections.abc import Mapping
from typing import Any

from services.authorizer import orgs
from services.authorizer.console.policy_form import values_of
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import DAY, Status, Window
from shared.store import Store
from tests.unit.authorizer.acting import OPEN, acts, connect, fill, state
from tests.unit.authorizer.console.visiting import Console, Page
from tests.unit.authorizer.exchange_fakes import ews

HERE = "/setup/settings"
BEFORE = 1_700_000_000  # by the real clock's word
PREVIEW = "/setup/settings/preview"


async def connected(store: Store, **given: Any) -> None:
    """Have the org connected by a word that was given before what the page says."""
    await connect(store, at=BEFORE, **given)


def form(policy: Policy = OPEN, **changes: str) -> dict[str, str]:
    return {name: value for name, value in {**values_of(policy), **changes}.items() if value}


def hidden(page: Page) -> dict[str, str]:
    """Return what the preview's form carries."""
    pairs = re.findall(r'<input type="hidden" name="(draft|seal)" value="([^"]+)">', page.text)
    assert len(pairs) == 2, page.text
    return dict(pairs)


async def previewed(console: Console, given: Mapping[str, str]) -> Page:
    way = await console.post(PREVIEW, given)
    assert way.status == 303
    return await console.get(way.location)


async def test_the_settings_in_force_are_shown(console: Console) -> None:
    await connected(console.store, policy=Policy(detail=Detail.DETAILS, oof=Status.BUSY, days_back=7))
    page = await console.get(HERE)
    assert re.search(r'value="details" checked', page.text)
    assert re.search(r'<option value="busy" selected>', page.text)
    assert 'value="7"' in page.text
    assert "RBAC for Applications" in page.text


async def test_at_an_exchange_server_nothing_is_said_of_microsofts_consent(console: Console) -> None:
    await connected(console.store, connection=ews(url="", endpoint=""), policy=OPEN)
    page = await console.get(HERE)
    assert "RBAC for Applications" not in page.text
    assert "distribution groups" in page.text
    found = await previewed(console, form(groups="sales@acme.example"))
    assert "sales@acme.example" in found.text


async def test_before_an_org_is_connected_there_is_nothing_to_set(console: Console) -> None:
    for answer in (
        await console.get(HERE),
        await console.get(PREVIEW),
        await console.post(PREVIEW, form()),
        await console.post(HERE, {"draft": "x", "seal": "x"}),
    ):
        assert (answer.status, answer.location) == (303, "/setup/connect")


async def test_a_change_is_previewed_and_changes_nothing(console: Console) -> None:
    await connected(console.store)
    await fill(console.store, count=3)
    found = await previewed(console, form(detail="free-busy", exclude="a@x.example"))
    assert found.status == 200
    assert "This shows less than before" in found.text
    assert "Nobody would be left" in found.text
    assert re.search(r"<strong class=\"figure\">3</strong> <span>mailboxes are left out", found.text)
    assert re.search(r"<strong class=\"figure\">3</strong> <span>calendars are hidden", found.text)
    assert "a@x.example" in found.text
    assert (await state(console.store)).policy == OPEN
    assert ("it@acme.example", "policy.changed") not in await acts(console.store)


async def test_what_was_previewed_is_put_in_force_by_who_is_signed_in(console: Console) -> None:
    await connected(console.store)
    generation = (await state(console.store)).generation
    found = await previewed(console, form(show_free="yes", tentative="busy"))
    saved = await console.post(HERE, hidden(found))
    assert (saved.status, saved.location) == (303, HERE)
    after = await state(console.store)
    assert after.policy == Policy(detail=Detail.DETAILS, show_free=True, tentative=Status.BUSY)
    assert after.generation == generation + 1
    assert (await acts(console.store))[-1] == ("it@acme.example", "policy.changed")
    assert console.place.wakes.enumerate.is_set()
    assert "The new settings are in force" in (await console.get(HERE)).text


async def test_the_same_settings_change_nothing(console: Console) -> None:
    await connected(console.store)
    found = await previewed(console, form())
    assert "Nothing would change" in found.text
    assert 'name="seal"' not in found.text


async def test_what_is_wrong_is_said_beside_its_field_and_what_was_typed_stays(console: Console) -> None:
    await connected(console.store)
    found = await previewed(console, form(days_back="many", include="<b>anna</b>"))
    assert 'href="#f-days_back"' in found.text
    assert 'value="many"' in found.text
    assert "&lt;b&gt;anna&lt;/b&gt;" in found.text
    assert "<b>anna" not in found.text


async def test_a_change_can_be_changed_before_it_is_made(console: Console) -> None:
    await connected(console.store)
    found = await previewed(console, form(days_back="7"))
    page = await console.get(f"{HERE}?proposed={hidden(found)['draft']}")
    assert 'value="7"' in page.text


async def test_a_preview_of_settings_that_changed_since_is_shown_anew(console: Console) -> None:
    await connected(console.store)
    given = hidden(await previewed(console, form(days_back="7")))
    later = Policy(detail=Detail.DETAILS, days_back=40)
    assert await orgs.change_policy(console.store, "acme", later, actor="platform", now=BEFORE + 1)
    answer = await console.post(HERE, given)
    assert answer.location == f"{PREVIEW}?id={given['draft']}"
    assert "changed in the meantime" in (page := await console.get(answer.location)).text
    assert (await state(console.store)).policy == later
    assert (await console.post(HERE, hidden(page))).location == HERE
    assert (await state(console.store)).policy == Policy(detail=Detail.DETAILS, days_back=7)


async def test_only_what_was_previewed_can_be_saved(console: Console) -> None:
    await connected(console.store)
    one = hidden(await previewed(console, form(days_back="7")))
    other = hidden(await previewed(console, form(days_back="8")))
    for forged in ({"draft": one["draft"], "seal": other["seal"]}, {"draft": one["draft"], "seal": ""}):
        assert (await console.post(HERE, forged)).location.startswith(PREVIEW)
    assert (await console.post(HERE, {"draft": "unknown", "seal": one["seal"]})).location == HERE
    assert (await state(console.store)).policy == OPEN


async def test_a_proposal_is_saved_once(console: Console) -> None:
    await connected(console.store)
    given = hidden(await previewed(console, form(days_back="7")))
    await console.post(HERE, given)
    generation = (await state(console.store)).generation
    again = await console.post(HERE, given)
    assert again.location == HERE
    assert (await state(console.store)).generation == generation


async def test_another_session_neither_sees_nor_saves_a_proposal(console: Console) -> None:
    await connected(console.store)
    given = hidden(await previewed(console, form(days_back="7", exclude="secret@acme.example")))
    async with console.another() as other:
        await other.enter()
        assert (await other.get(f"{PREVIEW}?id={given['draft']}")).location == HERE
        assert (await other.post(HERE, given)).location == HERE
        assert "secret@acme.example" not in (await other.get(f"{HERE}?proposed={given['draft']}")).text
    assert (await state(console.store)).policy == OPEN


async def test_a_fixed_span_is_shown_and_can_be_let_go(console: Console) -> None:
    fixed = Policy(window=Window(0, DAY))
    await connected(console.store, policy=fixed)
    assert "From 1 Jan 1970 to 2 Jan 1970" in (await console.get(HERE)).text
    found = await previewed(console, form(fixed, span="rolling"))
    assert "moves with today" in found.text
    await console.post(HERE, hidden(found))
    assert (await state(console.store)).policy == Policy()


async def test_nobody_changes_settings_without_the_forms_token(console: Console) -> None:
    await connected(console.store)
    given = hidden(await previewed(console, form(days_back="7")))
    assert (await console.post(HERE, given, csrf="forged")).status == 403
    assert (await console.post(PREVIEW, form(), csrf="forged")).status == 403
    assert (await state(console.store)).policy == OPEN
