"""Is a connection good: every way Microsoft may answer, and what an admin is told."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.authorizer.refusals import Refusal
from services.authorizer.verify import Microsoft, Question, Verified, read_claims, verify
from shared.clouds import cloud
from shared.contracts.policy import Scope
from shared.errors import Retry
from shared.identity import GraphCredential, IdentityError
from tests.unit.authorizer.authorizer_fakes import (
    TENANT,
    FakeGraph,
    FakeTokens,
    graph_error,
    microsoft,
    readable,
    token_of,
    users,
)

NOW = 1_800_000_000
ALL = Scope()
DENIED = graph_error(403, "ErrorAccessDenied")
ABSENT = graph_error(404, "MailboxNotEnabledForRESTAPI")


def question(scope: Scope = ALL) -> Question:
    return Question(
        tenant_id="Example.ONMICROSOFT.com",
        cloud=cloud("global"),
        credential=GraphCredential(client_id="a"),
        scope=scope,
    )


async def asked(answers: dict[str, Any] | None = None, *, scope: Scope = ALL, token: Any = None) -> Verified:
    return await verify(question(scope), microsoft(answers, token), now=NOW)


async def refusal(answers: dict[str, Any] | None = None, *, scope: Scope = ALL, token: Any = None) -> str:
    with pytest.raises(Refusal) as caught:
        await asked(answers, scope=scope, token=token)
    return caught.value.reason


async def retry(answers: dict[str, Any] | None = None, *, token: Any = None) -> Retry:
    with pytest.raises(Retry) as caught:
        await asked(answers, token=token)
    return caught.value


async def test_a_good_connection_is_known_by_its_tenants_guid() -> None:
    found = await asked()
    assert found.tenant_id == TENANT
    assert "Calendars.Read" in found.roles


async def test_a_token_is_always_asked_for_anew() -> None:
    tokens = FakeTokens()
    await verify(question(), Microsoft(tokens, FakeGraph()), now=NOW)
    assert tokens.asked == [("Example.ONMICROSOFT.com", "global", "a", True)]


async def test_of_a_mailboxs_settings_its_automatic_replies_are_not_asked_for() -> None:
    graph = FakeGraph()
    await verify(question(), Microsoft(FakeTokens(), graph), now=NOW)
    (settings,) = (url for url in graph.asked if "mailboxSettings" in url)
    assert settings.partition("?")[2] == "$select=timeZone,userPurpose"


async def test_only_times_are_asked_for_of_a_calendar() -> None:
    graph = FakeGraph()
    await verify(question(), Microsoft(FakeTokens(), graph), now=NOW)
    (calendar,) = (url for url in graph.asked if "calendarView" in url)
    assert calendar == (
        "/users/u1/calendarView?startDateTime=2027-01-15T08:00:00Z&endDateTime=2027-01-16T08:00:00Z"
        "&$select=start,end,showAs&$top=1"
    )


async def test_an_installation_scoped_in_exchange_is_accepted_without_any_role() -> None:
    assert (await asked(token=token_of(roles=None))).roles == ()


async def test_a_token_that_cannot_be_read_is_accepted_by_what_it_can_do() -> None:
    assert (await asked(token="opaque")).tenant_id == "example.onmicrosoft.com"


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: "e30." + raw.hex() + ".x"))
def test_no_token_breaks_the_diagnostics(token: str) -> None:
    assert read_claims(token, "t").tenant_id


@pytest.mark.parametrize("claims", ["[]", "null", '{"roles": 1, "tid": 2}', '{"roles": [1, null]}', "nonsense"])
def test_odd_claims_say_nothing(claims: str) -> None:
    token = f"e30.{base64.urlsafe_b64encode(claims.encode()).decode()}.x"
    assert read_claims(token, "T") == Verified(tenant_id="t")


async def test_a_refused_sign_in_is_refused_with_microsofts_code() -> None:
    with pytest.raises(Refusal) as caught:
        await asked(token=IdentityError("secret_expired", code=7000222))
    assert (caught.value.reason, caught.value.code) == ("secret_expired", 7000222)


async def test_a_disturbed_sign_in_is_tried_again_when_it_says() -> None:
    told = await retry(token=IdentityError("identity_throttled", transient=True, retry_after=17.0))
    assert (told.reason, told.after, told.counted) == ("identity_throttled", 17.0, False)


async def test_a_directory_that_may_not_be_read_names_the_permission() -> None:
    denied = {"/users?$top=1&": graph_error(403, "Authorization_RequestDenied")}
    assert await refusal(denied) == "directory_permission_missing"


async def test_an_app_without_an_identity_in_the_tenant_is_named_so() -> None:
    gone = {"/users?$top=1&": graph_error(403, "Authorization_IdentityNotFound")}
    assert await refusal(gone) == "app_not_in_tenant"


async def test_a_token_that_graph_rejects_is_named_so() -> None:
    rejected = {"/users?$top=1&": graph_error(401, "InvalidAuthenticationToken")}
    assert await refusal(rejected) == "token_rejected"


@pytest.mark.parametrize("status", [400, 404, 501])
async def test_a_request_that_graph_does_not_understand_is_named_so(status: int) -> None:
    assert await refusal({"/users?$top=1&": graph_error(status, "Odd")}) == "graph_refused"


@pytest.mark.parametrize("place", ["/users?$top=1&", "/users?$top=25", "/users/u1/calendarView", "/users/u1/mailboxS"])
@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (429, "TooManyRequests", "graph_throttled"),
        (500, "", "graph_unavailable"),
        (503, "ServiceUnavailable", "graph_unavailable"),
        (504, "", "graph_unavailable"),
        (509, "", "graph_unavailable"),
        (0, "network", "graph_unreachable"),
        (0, "timeout", "graph_unreachable"),
        (200, "not_json", "graph_unexpected"),
        (200, "truncated", "graph_unexpected"),
        (200, "unexpected_shape", "graph_unexpected"),
        (302, "redirected", "graph_unexpected"),
    ],
)
async def test_a_disturbance_anywhere_is_tried_again(place: str, status: int, code: str, reason: str) -> None:
    assert (await retry({place: graph_error(status, code)})).reason == reason


async def test_a_pause_that_graph_orders_is_kept() -> None:
    told = await retry({"/users?$top=1&": graph_error(429, "TooManyRequests", retry_after=2.128)})
    assert (told.after, told.counted) == (2.128, False)


async def test_one_readable_mailbox_is_enough() -> None:
    several = {
        "/users?$top=25": users("a", "b", "c", "d"),
        "/users/a/": ABSENT,
        "/users/b/": DENIED,
        "/users/c/": graph_error(503),
        **readable("d"),
    }
    assert (await asked(several)).tenant_id == TENANT


async def test_users_without_a_mailbox_alone_are_no_readable_mailbox() -> None:
    assert await refusal({"/users?$top=25": users("a", "b")}) == "no_readable_mailbox"


async def test_guests_are_not_tried() -> None:
    guests = {"/users?$top=25": {"value": [{"id": "u1", "userType": "Guest"}]}}
    assert await refusal(guests) == "directory_empty"


async def test_a_user_of_no_stated_type_is_tried() -> None:
    assert (await asked({"/users?$top=25": {"value": [{"id": "u1"}]}})).tenant_id == TENANT


@pytest.mark.parametrize(
    ("roles", "reason"),
    [
        ((), "calendar_permission_missing"),
        (("User.Read.All",), "calendar_permission_missing"),
        (("Calendars.Read",), "calendars_out_of_scope"),
        (("Calendars.ReadBasic.All",), "calendars_out_of_scope"),
    ],
)
async def test_denied_calendars_are_told_apart_by_the_tokens_roles(roles: tuple[str, ...], reason: str) -> None:
    denied = {"/users?$top=25": users("a", "b"), "/users/a/": DENIED, "/users/b/": ABSENT}
    assert await refusal(denied, token=token_of(roles=roles)) == reason


async def test_mailbox_settings_that_may_not_be_read_name_their_permission() -> None:
    assert await refusal({"/users/u1/mailboxSettings": DENIED}) == "settings_permission_missing"


async def test_throttling_stops_the_tries_at_once() -> None:
    graph = FakeGraph({"/users?$top=25": users("a", "b"), "/users/a/": graph_error(429, "", 9.0)})
    with pytest.raises(Retry):
        await verify(question(), Microsoft(FakeTokens(), graph), now=NOW)
    assert not any("/users/b/" in url for url in graph.asked)


async def test_addresses_in_the_scope_are_tried_first() -> None:
    scoped = {"/users?$top=25": users("z"), **readable("person.0001%40example.com")}
    assert await asked(scoped, scope=Scope(include=("person.0001@example.com",)))


async def test_the_groups_that_limit_the_scope_are_tried_and_nobody_else() -> None:
    graph = FakeGraph({"/groups/g1/transitiveMembers": users("m"), **readable("m")})
    await verify(question(Scope(groups=("g1",))), Microsoft(FakeTokens(), graph), now=NOW)
    assert not any(url.startswith("/users?$top=25") for url in graph.asked)
    assert {"ConsistencyLevel": "eventual"} in graph.headers


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (graph_error(403, "Authorization_RequestDenied"), "group_permission_missing"),
        (graph_error(404, "Request_ResourceNotFound"), "group_unknown"),
        (users(), "group_empty"),
    ],
)
async def test_groups_that_cannot_be_read_name_what_is_wrong(answer: Any, reason: str) -> None:
    assert await refusal({"/groups/g1/": answer}, scope=Scope(groups=("g1",))) == reason


async def test_one_unknown_group_of_two_does_not_refuse() -> None:
    scope = Scope(groups=("g1", "g2"))
    assert await asked({"/groups/g2/": users("u1")}, scope=scope)


async def test_at_most_twenty_five_users_are_tried() -> None:
    graph = FakeGraph({"/users?$top=25": users(*(f"n{n}" for n in range(100)))})
    with pytest.raises(Refusal):
        await verify(question(), Microsoft(FakeTokens(), graph), now=NOW)
    assert len({url for url in graph.asked if "calendarView" in url}) == 25


async def test_an_id_cannot_change_the_address_asked() -> None:
    graph = FakeGraph({"/users?$top=25": users("../../x?y#z")})
    with pytest.raises(Refusal):
        await verify(question(), Microsoft(FakeTokens(), graph), now=NOW)
    assert any(url.startswith("/users/..%2F..%2Fx%3Fy%23z/") for url in graph.asked)
