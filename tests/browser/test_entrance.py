"""The entrance in a browser: who gets in, who does not and is told why, and the way out."""

import pytest

from shared import clock
from tests.browser.admin import Admin
from tests.browser.conftest import NewAdmin
from tests.browser.world import RETURN_TO, World


async def test_another_role_is_told_who_may(admin: Admin) -> None:
    await admin.enters(role="member")
    await admin.reads("This page is for IT administrators")
    await admin.looks("link-role")


async def test_a_link_that_has_expired_is_told_so(admin: Admin) -> None:
    now = clock.now()
    await admin.enters(iat=now - 400, exp=now - 100)
    await admin.reads("This link has expired")
    await admin.looks("link-expired")


async def test_a_link_is_followed_once(admins: NewAdmin, place: World) -> None:
    first, second = await admins(), await admins()
    link = place.link("acme")
    await first.page.goto(link)
    await first.arrives("/setup/connect")
    await second.page.goto(link)
    await second.reads("This link was used already")
    await second.looks("link-used")


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"return_to": "https://evil.example/"}, "unknown address"),
        ({"aud": "https://elsewhere.example/setup"}, "cannot be read"),
        ({"org_id": "../../etc"}, "cannot be read"),
    ],
)
async def test_a_link_that_is_wrong_is_told_so(admin: Admin, claims: dict[str, str], said: str) -> None:
    await admin.enters(**{"org_id": "acme", **claims})
    await admin.reads(said)


async def test_a_link_signed_by_nobody_known_is_not_trusted(admin: Admin, place: World) -> None:
    await admin.page.goto(place.link("acme")[:-4] + "AAAA")
    await admin.reads("cannot be trusted")
    await admin.looks("link-signature")


async def test_without_a_link_nobody_is_signed_in(admin: Admin) -> None:
    await admin.opens("/setup")
    await admin.reads("You are not signed in")
    await admin.looks("signed-out")


async def test_signing_out_leads_back_to_the_platform(admin: Admin) -> None:
    back = f"{RETURN_TO}?tab=1"
    await admin.page.route("https://platform.example/**", lambda route: route.fulfill(body="the platform"))
    await admin.enters(return_to=back)
    await admin.presses("Sign out")
    await admin.page.wait_for_url(back)
    await admin.page.go_back()
    await admin.reads("You are not signed in")  # what was shown before is kept by no cache
    await admin.opens("/setup/audit")
    await admin.reads("You are not signed in")


async def test_a_link_for_another_org_asks_before_it_takes_over(admin: Admin) -> None:
    await admin.enters("acme")
    await admin.arrives("/setup/connect")
    await admin.enters("other")
    await admin.reads("You are signed in already")
    await admin.looks("enter-other")
    await admin.follows("Stay as I am")
    await admin.reads("acme")
    await admin.enters("other")
    await admin.presses("Sign out, and sign in by this link")
    await admin.arrives("/setup/connect")
    await admin.reads("other")


async def test_a_page_that_is_not_there_is_told_so(admin: Admin) -> None:
    await admin.enters()
    assert await admin.opens("/setup/nothing") == 404
    await admin.reads("There is no such page")
    await admin.looks("error-404")
