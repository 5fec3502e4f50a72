"""The steps by which an Exchange server is tried: their order, which failure ends them, which is only a warning."""

from typing import Any

import pytest

from services.authorizer.exchange import Trial, verified
from services.authorizer.exchange_doors import Question, exchange
from services.authorizer.preflight import NEEDED, Step
from services.authorizer.refusals import Refusal
from shared.clouds import cloud
from shared.contracts.messages import GroupSource, LdapSource, RoomListsSource
from shared.contracts.policy import Detail
from shared.errors import Retry
from shared.ews.availability import Answered
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings
from shared.ews.errors import EwsError
from shared.ews.people import Members, Named
from shared.ews.version import ServerVersion
from shared.identity import GraphCredential, IdentityError
from shared.ldap_line import LdapError
from tests.unit.authorizer.authorizer_fakes import FakeTokens
from tests.unit.authorizer.exchange_fakes import APP, MEMBER, OUTSIDER, URL, FakeServer, ews, offered, question

NOW = 1_800_000_000
DETAILS, FREE_BUSY = NEEDED[Detail.DETAILS], NEEDED[Detail.FREE_BUSY]
REFUSED = EwsError("sign_in_refused", status=401)
DIRECTORY = LdapSource(url="ldaps://dc.acme.example", base="dc=acme,dc=example")


async def tried(server: FakeServer, asked: Question | None = None) -> list[Step]:
    return [step async for step in Trial(asked or question(), server.exchange()).steps(NOW)]


async def outcome(server: FakeServer, name: str, asked: Question | None = None) -> tuple[bool | None, str]:
    """Return how one step ended."""
    (step,) = [step for step in await tried(server, asked) if step.name == name]
    return step.ok, step.reason


async def refusal(server: FakeServer, asked: Question | None = None) -> str:
    with pytest.raises(Refusal) as caught:
        await verified(asked or question(), server.exchange(), now=NOW)
    return caught.value.reason


async def test_a_good_server_passes_every_step_in_their_order() -> None:
    server = FakeServer()
    steps = await tried(server)
    assert [step.name for step in steps] == [
        "tcp", "tls", "schemes", "sign_in", "version", "names", "member", "outsider", "view", "changes", "zone",
        "free_busy", "list",
    ]  # fmt: skip
    assert all(step.ok for step in steps)
    assert server.opened == [(URL, "ntlm")]
    assert server.closed == 1


async def test_what_was_settled_is_put_into_the_connection() -> None:
    found = await verified(question(), FakeServer().exchange(), now=NOW)
    assert (found.endpoint, found.scheme, found.url) == (URL, "ntlm", URL)


async def test_a_connection_in_force_keeps_what_was_settled() -> None:
    server = FakeServer(offers={"https://old.acme.example/ews": offered("basic", "ntlm")})
    asked = question(ews(url="", endpoint="https://old.acme.example/ews", scheme="basic"))
    found = await verified(asked, server.exchange(), now=NOW)
    assert (found.endpoint, found.scheme) == ("https://old.acme.example/ews", "basic")
    assert server.reached == ["https://old.acme.example/ews"]


async def test_a_way_to_sign_in_that_is_offered_no_more_is_not_tried() -> None:
    server = FakeServer(offers={URL: offered("basic")})
    asked = question(ews(endpoint=URL, scheme="ntlm"))
    assert await outcome(server, "schemes", asked) == (False, "scheme_not_offered")
    assert server.opened == []


async def test_what_a_server_is_shows_in_what_was_found() -> None:
    found = {step.name: step.found for step in await tried(FakeServer())}
    assert found["version"] == "Exchange 2019 15.2.1748.10"
    assert found["schemes"] == "ntlm, basic; ntlm is used"


@pytest.mark.parametrize(
    ("code", "names", "reason"),
    [
        ("name_unknown", ["tcp"], "name_unknown"),
        ("address_refused", ["tcp"], "address_refused"),
        ("unreachable", ["tcp"], "unreachable"),
        ("timeout", ["tcp"], "server_timeout"),
        ("not_trusted", ["tcp", "tls"], "not_trusted"),
        ("not_tls", ["tcp", "tls"], "not_tls"),
    ],
)
async def test_a_server_that_cannot_be_reached_is_not_signed_in_to(code: str, names: list[str], reason: str) -> None:
    server = FakeServer(offers={URL: EwsError(code)})
    steps = await tried(server)
    assert [step.name for step in steps] == names
    assert (steps[-1].ok, steps[-1].reason) == (False, reason)
    assert server.opened == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "not_found"), (403, "forbidden"), (302, "redirected"), (503, "server_busy"), (502, "server_disturbed"),
     (405, "http_error"), (401, "no_scheme")],
)  # fmt: skip
async def test_a_server_that_offers_no_sign_in_says_why_by_its_status(status: int, reason: str) -> None:
    server = FakeServer(offers={URL: offered(status=status)})
    assert await outcome(server, "schemes") == (False, reason)
    assert server.opened == []


async def test_a_wrong_password_is_sent_once_and_ends_the_trial() -> None:
    ldap = ews(directory=(DIRECTORY,))
    server = FakeServer({"ConvertId": REFUSED})
    steps = await tried(server, question(ldap))
    assert (steps[-1].name, steps[-1].ok, steps[-1].reason) == ("sign_in", False, "sign_in_refused")
    assert server.asked == ["ConvertId"]
    assert server.probed == []  # the directory would be the second failed sign-in


@pytest.mark.parametrize("said", [EwsError("http_error", status=500), EwsError("not_xml", status=200)])
@pytest.mark.parametrize("calendar", [None, EwsError("ErrorImpersonateUserDenied", status=500)])
async def test_a_server_that_knows_no_convert_id_is_signed_in_to_by_the_members_calendar(
    said: EwsError, calendar: EwsError | None
) -> None:
    server = FakeServer({"ConvertId": said, f"GetFolder {MEMBER}": calendar})
    assert await outcome(server, "sign_in") == (True, "")
    assert (await outcome(server, "version"))[1] == "version_untold"


async def test_a_server_that_never_speaks_soap_is_no_exchange_server() -> None:
    said = EwsError("not_xml", status=200)
    server = FakeServer({"ConvertId": said, f"GetFolder {MEMBER}": said})
    assert (await outcome(server, "sign_in"))[0] is False


async def test_an_error_of_soap_is_a_sign_in_that_was_good() -> None:
    untold = ServerVersion()
    server = FakeServer({"ConvertId": untold, "ResolveNames": EwsError("fault")})
    assert await outcome(server, "sign_in") == (True, "")
    assert await outcome(server, "version") == (None, "version_untold")
    assert await outcome(server, "names") == (None, "names_missing")
    await verified(question(), server.exchange(), now=NOW)  # nothing of it is needed


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (ServerVersion(major=15, minor=0, build=1497, name="Exchange 2013"), "version_old"),
        (ServerVersion(major=14, minor=3, build=123, name="Exchange 2010"), "version_old"),
        (ServerVersion(major=15, minor=20, build=1, name="Exchange Online", online=True), "exchange_online"),
    ],
)
async def test_an_old_server_and_exchange_online_are_warned_of(version: ServerVersion, reason: str) -> None:
    assert await outcome(FakeServer({"ConvertId": version}), "version") == (None, reason)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ((), "names_missing"),
        ((Named(address=MEMBER, name="Anna", kind="Contact"),), "names_elsewhere"),
        ((Named(address=MEMBER, name="Administrator", kind="Mailbox"),), "member_is_administrator"),
    ],
)
async def test_what_the_address_book_says_of_the_member_is_only_a_warning(named: Any, reason: str) -> None:
    server = FakeServer({"ResolveNames": named})
    assert await outcome(server, "names") == (None, reason)
    await verified(question(), server.exchange(), now=NOW)


async def test_impersonation_denied_fails_what_publishes_details_and_warns_what_does_not() -> None:
    server = FakeServer({f"GetFolder {MEMBER}": EwsError("ErrorImpersonateUserDenied")})
    assert await outcome(server, "member", question(needs=DETAILS)) == (False, "impersonation_denied")
    assert await outcome(server, "member", question(needs=FREE_BUSY)) == (None, "impersonation_denied")
    assert f"FindItem {MEMBER}" not in server.asked
    await verified(question(needs=FREE_BUSY), server.exchange(), now=NOW)
    assert await refusal(server, question(needs=DETAILS)) == "impersonation_denied"


async def test_free_busy_fails_where_it_is_all_that_is_read() -> None:
    server = FakeServer({"GetUserAvailability": EwsError("fault")})
    assert await outcome(server, "free_busy", question(needs=FREE_BUSY)) == (False, "operation_missing")
    assert await outcome(server, "free_busy", question(needs=DETAILS)) == (None, "operation_missing")


@pytest.mark.parametrize(("first", "ok", "address"), [(True, False, MEMBER), (False, None, "ben@acme.example")])
async def test_a_mailbox_without_free_busy_is_named_and_decides_if_it_is_the_member(
    first: bool, ok: bool | None, address: str
) -> None:
    denied = (Answered(error=EwsError("ErrorNoFreeBusyAccess")), Answered())
    server = FakeServer({"GetUserAvailability": denied if first else denied[::-1]})
    (step,) = [step for step in await tried(server) if step.name == "free_busy"]
    assert (step.ok, step.reason, step.found) == (ok, "free_busy_denied", address)


async def test_an_outsider_whose_free_busy_is_refused_as_well_is_no_trouble() -> None:
    server = FakeServer({"GetUserAvailability": (Answered(), Answered(error=EwsError("ErrorNoFreeBusyAccess")))})
    asked = question(ews(directory=(RoomListsSource(),)))
    assert await outcome(server, "free_busy", asked) == (True, "")


async def test_fewer_answers_than_questions_are_no_answer() -> None:
    assert await outcome(FakeServer({"GetUserAvailability": (Answered(),)}), "free_busy") == (False, "malformed")


async def test_a_lone_mailbox_is_asked_for_and_warned_of() -> None:
    server = FakeServer({"GetUserAvailability": (Answered(),)})
    lone = ews(outsider="", directory=(RoomListsSource(),))
    assert await outcome(server, "free_busy", question(lone)) == (None, "one_mailbox")


@pytest.mark.parametrize(
    ("operation", "name", "reason"),
    [("SyncFolderItems", "changes", "changes_missing"), ("GetUserConfiguration", "zone", "zone_missing")],
)
async def test_what_readings_do_without_is_said_to_be_lacking_and_refuses_nothing(
    operation: str, name: str, reason: str
) -> None:
    server = FakeServer({f"{operation} {MEMBER}": EwsError("fault")})
    assert await outcome(server, name) == (None, reason)
    await verified(question(), server.exchange(), now=NOW)


async def test_a_mailbox_without_a_time_zone_of_its_own_is_no_lack_of_the_server() -> None:
    server = FakeServer({f"GetUserConfiguration {MEMBER}": EwsError("ErrorItemNotFound")})
    assert await outcome(server, "zone") == (True, "")


async def test_changes_are_not_asked_for_where_free_busy_is_all_that_is_read() -> None:
    server = FakeServer()
    await tried(server, question(needs=FREE_BUSY))
    assert f"GetUserConfiguration {MEMBER}" in server.asked
    assert f"SyncFolderItems {MEMBER}" not in server.asked


async def test_an_outsider_who_can_be_read_shows_that_the_scope_is_too_wide() -> None:
    server = FakeServer({f"GetFolder {OUTSIDER}": None})
    assert await outcome(server, "outsider") == (False, "scope_too_wide")
    assert await refusal(server, question(needs=FREE_BUSY)) == "scope_too_wide"


@pytest.mark.parametrize("code", ["ErrorNonExistentMailbox", "ErrorNonPrimarySmtpAddress", "ErrorAccessDenied"])
async def test_an_outsider_refused_for_another_cause_proves_nothing(code: str) -> None:
    assert await outcome(FakeServer({f"GetFolder {OUTSIDER}": EwsError(code)}), "outsider") == (
        None,
        "outsider_unclear",
    )


async def test_a_busy_server_does_not_pass_for_a_narrow_scope() -> None:
    server = FakeServer({f"GetFolder {OUTSIDER}": EwsError("ErrorServerBusy", back_off=9.0)})
    with pytest.raises(Retry) as caught:
        await verified(question(), server.exchange(), now=NOW)
    assert (caught.value.reason, caught.value.after) == ("server_busy", 9.0)


async def test_without_an_outsider_it_is_said_that_the_scope_was_not_tried() -> None:
    assert await outcome(FakeServer(), "outsider", question(ews(outsider=""))) == (None, "outsider_missing")


async def test_what_is_odd_is_said_before_anything_is_asked() -> None:
    odd = question(ews(member="administrator@acme.example"), EwsCredential(username="svc@other.example", password="x"))
    steps = await tried(FakeServer(offers={URL: EwsError("unreachable")}), odd)
    assert [step.reason for step in steps] == ["member_is_administrator", "domains_differ", "unreachable"]


async def test_exchange_online_is_warned_of_by_its_address() -> None:
    url = "https://outlook.office365.com/EWS/Exchange.asmx"
    assert await outcome(FakeServer(), "endpoint", question(ews(url=url))) == (None, "exchange_online")


@pytest.mark.parametrize(
    ("source", "answers", "name", "reason"),
    [
        (GroupSource(address="g@acme.example"), {}, "group", ""),
        (GroupSource(address="g@acme.example"), {"ExpandDL": EwsError("ErrorNameResolutionNoResults")}, "group",
         "distribution_group_unknown"),
        (GroupSource(address="g@acme.example"), {"ExpandDL": Members(people=(), groups=(), complete=True)}, "group",
         "distribution_group_empty"),
        (GroupSource(address="g@acme.example"), {"ExpandDL": Members(people=(), groups=("h@x",), complete=True)},
         "group", ""),
        (GroupSource(address="g@acme.example"), {"ExpandDL": EwsError("fault")}, "group", "listing_missing"),
        (RoomListsSource(), {"GetRoomLists": EwsError("fault")}, "rooms", "listing_missing"),
        (RoomListsSource(), {}, "rooms", ""),
        (RoomListsSource(), {"GetRoomLists": ()}, "rooms", "room_lists_empty"),
        (RoomListsSource(), {"GetRoomLists": EwsError("ErrorNameResolutionNoResults")}, "rooms", "room_lists_empty"),
        (RoomListsSource(), {"GetRoomLists": EwsError("ErrorServerBusy")}, "rooms", "server_busy"),
        (RoomListsSource(), {"GetRoomLists": EwsError("ErrorNonExistentMailbox")}, "rooms", "account_without_mailbox"),
    ],
)  # fmt: skip
async def test_every_place_that_lists_mailboxes_is_asked(
    source: Any, answers: dict[str, Any], name: str, reason: str
) -> None:
    asked = question(ews(directory=(source,)))
    assert await outcome(FakeServer(answers), name, asked) == (not reason, reason)


@pytest.mark.parametrize(
    ("found", "reason"),
    [("an entry", ""), (None, "ldap_empty"), (LdapError("bind_refused"), "ldap_bind_refused"),
     (LdapError("base_unknown"), "ldap_base_unknown"), (LdapError("directory_busy"), "ldap_busy")],
)  # fmt: skip
async def test_a_directory_is_bound_to_and_shows_a_mailbox(found: Any, reason: str) -> None:
    server = FakeServer()
    server.ldap = found
    assert await outcome(server, "ldap", question(ews(directory=(DIRECTORY,)))) == (not reason, reason)
    assert server.probed == [DIRECTORY]


async def test_an_app_goes_to_the_server_that_its_tokens_are_for() -> None:
    server = FakeServer()
    asked = question(ews(url="", resource="https://mail.acme.example", tenant_id="t"), APP)
    await tried(server, asked)
    assert server.opened == [(URL, "oauth")]


async def test_a_token_is_not_sent_to_a_server_it_is_not_issued_for() -> None:
    server = FakeServer()
    asked = question(ews(url=URL, tenant_id="t"), APP)  # a token for Exchange Online
    assert await outcome(server, "endpoint", asked) == (False, "resource_foreign")
    assert (server.reached, server.opened) == ([], [])


async def test_a_refused_token_and_a_refused_app_are_told_apart() -> None:
    asked = question(ews(resource="https://mail.acme.example", tenant_id="t"), APP)
    assert await outcome(FakeServer({"ConvertId": REFUSED}), "sign_in", asked) == (False, "bearer_refused")
    wrong = FakeServer({"ConvertId": IdentityError("secret_wrong", code=7000215)})
    assert await outcome(wrong, "sign_in", asked) == (False, "secret_wrong")


async def test_a_token_is_asked_for_once_anew_and_for_its_resource() -> None:
    tokens = FakeTokens()
    connection = ews(resource="https://mail.acme.example/", tenant_id="t")
    app = EwsCredential(app=GraphCredential(client_id="app"))
    asked = Question(connection=connection, credential=app, cloud=cloud("global"), needs=DETAILS)
    door: Any = exchange(tokens, Surroundings()).door(asked, URL, "oauth")
    try:
        assert await door._token() == await door._token()
    finally:
        door.close()
    assert (tokens.asked, tokens.scopes) == ([("t", "global", "app", True)], ["https://mail.acme.example/.default"])


async def test_a_mailbox_that_is_being_moved_is_waited_for() -> None:
    server = FakeServer({f"GetFolder {MEMBER}": EwsError("ErrorMailboxMoveInProgress")})
    with pytest.raises(Retry) as caught:
        await verified(question(), server.exchange(), now=NOW)
    assert (caught.value.reason, caught.value.counted) == ("mailbox_moving", False)
    assert server.closed == 1


async def test_a_server_in_force_that_is_gone_is_waited_for() -> None:
    server = FakeServer(offers={URL: EwsError("unreachable")})
    with pytest.raises(Retry) as caught:
        await verified(question(ews(endpoint=URL, scheme="ntlm")), server.exchange(), now=NOW)
    assert caught.value.reason == "server_unreachable"
    assert await refusal(server) == "unreachable"
