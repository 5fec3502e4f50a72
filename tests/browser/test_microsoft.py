"""Connecting Microsoft 365 in a browser: the way there and back, and each way it can end."""

import pytest

from deploy.sandbox.sign_ins import Misstep, Step
from services.authorizer import orgs
from tests.browser.admin import Admin
from tests.browser.conftest import NewAdmin
from tests.browser.world import World

MICROSOFT = "/setup/connect/microsoft"
GLOBAL = "Global Administrator of"


async def authorises(admin: Admin, *, terms: bool = True) -> None:
    """Fill in the page and go to Microsoft."""
    await admin.opens(MICROSOFT)
    await admin.page.get_by_label("Where does your organisation").select_option("sandbox")
    if terms:
        await admin.page.get_by_label("I accept these terms").check()
    await admin.presses("Authorize calendar access")


async def connects(admin: Admin, *, persona: str = GLOBAL) -> None:
    """Go all the way, as somebody who may."""
    await authorises(admin)
    await admin.page.get_by_role("button", name=persona).first.click()
    await admin.presses("Accept")


async def test_an_admin_connects_and_sees_everything_enabled(admin: Admin, place: World) -> None:
    await admin.enters()
    await admin.arrives("/setup/connect")
    await admin.looks("connect")
    await admin.follows("Connect Microsoft 365")
    await admin.arrives(MICROSOFT)
    await admin.looks("microsoft")
    await connects(admin)
    await admin.arrives("/setup/status", within=60)
    await admin.reads("Enabled", within=60)
    await admin.looks("status-enabled")
    state = await orgs.org(place.store, "acme")
    assert state is not None
    assert (state.state, state.tenant_id) == ("connected", place.sandbox.tenant_id)


@pytest.mark.parametrize("persona", ["Application Administrator of", "Ordinary user of"])
async def test_somebody_who_may_not_consent_is_told_who_may(admin: Admin, place: World, persona: str) -> None:
    await admin.enters()
    await authorises(admin)
    await admin.page.get_by_role("button", name=persona).first.click()
    await admin.reads("Global Administrator")
    assert admin.path == "/setup/microsoft/signed-in"
    await admin.looks(f"microsoft-refused-{persona.split(maxsplit=1)[0].lower()}")
    assert await orgs.org(place.store, "acme") is None


async def test_the_terms_have_to_be_accepted(admin: Admin) -> None:
    await admin.enters()
    await authorises(admin, terms=False)
    await admin.reads("Accept the terms to go on")
    await admin.looks("microsoft-terms-missing")
    assert await admin.page.evaluate("document.activeElement.className") == "notice bad summary"


async def test_an_admin_who_cancels_is_shown_the_way_on(admin: Admin, place: World) -> None:
    await admin.enters()
    await authorises(admin)
    await admin.page.get_by_role("button", name=GLOBAL).first.click()
    await admin.presses("Cancel")
    await admin.reads("Begin anew")
    await admin.looks("microsoft-declined")
    await admin.follows("Begin anew")
    await connects(admin)
    await admin.arrives("/setup/status", within=60)
    assert await orgs.org(place.store, "acme") is not None


@pytest.mark.parametrize(
    ("step", "error", "code"),
    [
        (Step.SIGN_IN, "access_denied", 65004),
        (Step.SIGN_IN, "interaction_required", 50076),
        (Step.TOKEN, "invalid_grant", 70008),
        (Step.TOKEN, "invalid_client", 7000215),
        (Step.CONSENT, "access_denied", 90094),
        (Step.CONSENT, "server_error", 90033),
    ],
)
async def test_each_error_of_microsofts_has_a_page_with_a_way_on(
    admin: Admin, place: World, step: Step, error: str, code: int
) -> None:
    place.sandbox.state.sign_ins.order(Misstep(step=step, error=error, code=code))
    await admin.enters()
    await authorises(admin)
    if step is not Step.SIGN_IN:  # that one strikes before anybody is asked who they are
        await admin.page.get_by_role("button", name=GLOBAL).first.click()
    await admin.reads("What to do")
    await admin.reads("Begin anew")
    await admin.reads(f"AADSTS{code}")
    assert await orgs.org(place.store, "acme") is None


async def test_a_consent_for_another_tenant_is_refused(admins: NewAdmin, place: World) -> None:
    admin = await admins()
    await admin.enters()
    await authorises(admin)
    await admin.page.get_by_role("button", name=GLOBAL).first.click()
    await admin.page.get_by_role("radio").nth(5).check()  # the second tenant's
    await admin.presses("Accept")
    await admin.reads("What to do")
    await admin.looks("microsoft-foreign-consent")
    assert await orgs.org(place.store, "acme") is None


async def test_a_tenant_of_another_org_is_refused(admins: NewAdmin) -> None:
    first, second = await admins(), await admins()
    await first.enters("first")
    await connects(first)
    await first.arrives("/setup/status", within=60)
    await second.enters("second")
    await connects(second)
    await second.reads("already connected under another organisation", within=60)
    await second.looks("microsoft-tenant-taken")
