"""What is asked of Microsoft, who may consent, and that every way a journey can end has its own words."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.authorizer.console.microsoft_rules import (
    OTHER,
    REASONS,
    SLOW,
    UNTOLD,
    JourneyRefused,
    choices,
    is_times_only,
    of_identity,
    permissions,
    role,
    see_consent,
    see_error,
)
from services.authorizer.console.texts_microsoft import TEXTS
from services.authorizer.sentences import JUDGED
from shared import aadsts
from shared.clouds import NAMES, SANDBOX
from shared.contracts.policy import Detail, Policy, Scope

TENANT = "0a000000-0000-4000-8000-000000000001"
GLOBAL = "62e90394-69f5-4237-9190-012177145e10"
PRIVILEGED = "e8611ab8-c189-46e8-94e1-60213ab1f814"
APPLICATION = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
CLOUD_APPLICATION = "158c047a-c907-4556-b7ef-446551a6b5f7"
EVERYBODY = "b79fbf4d-3ef9-4689-8143-76b194e85509"
YES = {"admin_consent": "True", "tenant": TENANT}


def names(policy: Policy) -> list[str]:
    return [one.name for one in permissions(policy)]


def test_free_busy_asks_for_the_least() -> None:
    assert names(Policy()) == ["User.Read.All", "Calendars.Read", "MailboxSettings.Read", "Place.Read.All"]
    assert names(Policy(scope=Scope(rooms=False)))[-1] == "MailboxSettings.Read"
    assert names(Policy(scope=Scope(groups=("g",))))[-1] == "GroupMember.Read.All"


def test_nothing_that_is_asked_for_can_change_anything() -> None:
    every = Policy(detail=Detail.DETAILS, conferencing=True, scope=Scope(groups=("g",)))
    assert not any("Write" in name for name in names(every))


def test_each_permission_says_why_and_each_cloud_has_a_name() -> None:
    for policy in (Policy(), Policy(detail=Detail.DETAILS, scope=Scope(groups=("g",)))):
        assert all(f"microsoft.why.{one.key}" in TEXTS for one in permissions(policy))
    assert all(f"microsoft.cloud.{name}" in TEXTS for name in NAMES)
    assert is_times_only(Policy())
    assert not is_times_only(Policy(detail=Detail.DETAILS))


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_each_way_a_journey_ends_has_its_own_words(reason: str) -> None:
    for part in ("title", "text", "next"):
        assert TEXTS[f"microsoft.refused.{reason}.{part}"]
    assert JourneyRefused(reason).status in {400, 403, 503}


def test_no_two_ends_have_the_same_title() -> None:
    titles = [text for key, text in TEXTS.items() if key.startswith("microsoft.refused.") and key.endswith(".title")]
    assert len(titles) == len(set(titles)) == len(REASONS)


@pytest.mark.parametrize(
    ("wids", "named"),
    [
        ((GLOBAL, EVERYBODY), "global_administrator"),
        ((EVERYBODY, PRIVILEGED), "privileged_role_administrator"),
        ((APPLICATION, PRIVILEGED), "privileged_role_administrator"),
        (None, UNTOLD),
    ],
)
def test_who_may_consent_goes_on(wids: tuple[str, ...] | None, named: str) -> None:
    assert role(wids) == named


@pytest.mark.parametrize(
    ("wids", "reason"),
    [
        ((), "role_missing"),
        ((EVERYBODY,), "role_missing"),
        ((APPLICATION, EVERYBODY), "role_application_administrator"),
        ((CLOUD_APPLICATION,), "role_application_administrator"),
    ],
)
def test_who_may_not_consent_is_told_why(wids: tuple[str, ...], reason: str) -> None:
    with pytest.raises(JourneyRefused, match=reason):
        role(wids)


def test_microsofts_number_counts_more_than_oauths_word() -> None:
    query = {"error": "access_denied", "error_description": "AADSTS50105: not assigned", "admin_consent": "True"}
    with pytest.raises(JourneyRefused) as caught:
        see_error(query)
    assert (caught.value.reason, caught.value.code) == ("not_assigned", 50105)


def test_a_yes_for_the_tenant_that_signed_in_is_a_yes() -> None:
    see_consent(YES, TENANT)
    see_consent(YES | {"tenant": TENANT.upper(), "admin_consent": "true"}, TENANT)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({}, "consent_incomplete"),
        ({"tenant": TENANT}, "consent_incomplete"),
        ({"tenant": TENANT, "admin_consent": "False"}, "consent_incomplete"),
        ({"admin_consent": "True"}, "tenant_mismatch"),
        (YES | {"tenant": f"{TENANT}x"}, "tenant_mismatch"),
        (YES | {"error": ""}, OTHER),
        (YES | {"error": "consent_required"}, "consent_needed"),
    ],
)
def test_anything_else_is_a_no(query: dict[str, str], reason: str) -> None:
    with pytest.raises(JourneyRefused, match=reason):
        see_consent(query, TENANT)


@given(
    st.dictionaries(
        st.sampled_from(["admin_consent", "tenant", "error", "x"]), st.sampled_from(["True", TENANT, ""]) | st.text()
    )
)
def test_only_one_query_is_a_yes(query: dict[str, str]) -> None:
    with suppress(JourneyRefused):
        see_consent(query, TENANT)
        assert "error" not in query
        assert (query["tenant"].lower(), query["admin_consent"].lower()) == (TENANT, "true")


def test_what_may_pass_by_waiting_is_a_verdict_there_is() -> None:
    assert SLOW <= JUDGED


@given(st.text(), st.text())
def test_whatever_an_error_says_it_ends_in_a_known_word_without_its_text(error: str, description: str) -> None:
    with pytest.raises(JourneyRefused) as caught:
        see_error({"error": error, "error_description": description})
    assert caught.value.reason in REASONS
    assert str(caught.value) == caught.value.reason


def test_every_word_of_the_sign_in_is_translated() -> None:
    busy = {"identity_throttled", "identity_unavailable", "identity_timeout"}
    away = {"identity_unreachable", "identity_not_trusted", "identity_unexpected"}
    for reason in aadsts.REASONS | busy | away | {"certificate_malformed", "sign_in_state"}:
        found = of_identity(reason, 0)
        assert found.reason in REASONS
        assert found.reason != OTHER or reason == aadsts.REFUSED
    assert of_identity("id_token_nonce", 0).reason == "id_token_nonce"
    assert of_identity("identity_refused", 50076).reason == "proof_wanted"


def test_the_sandbox_is_offered_only_where_there_is_one() -> None:
    assert choices(NAMES, sandbox=SANDBOX, has_sandbox=False)[0] == "global"
    assert SANDBOX not in choices(NAMES, sandbox=SANDBOX, has_sandbox=False)
    assert choices(NAMES, sandbox=SANDBOX, has_sandbox=True)[0] == SANDBOX
