"""An Exchange server that the sandbox plays, and each condition of it: how it is brought about, and what shows it."""

import gc
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from deploy.sandbox import Fault, FaultKind, Sandbox
from deploy.sandbox.directory import GROUP_EMPTY, GROUP_HALF, Reach
from deploy.sandbox.faults import RetryForm
from services.authorizer.exchange import Trial
from services.authorizer.exchange_doors import Exchange, Question, exchange
from services.authorizer.preflight import EVERYTHING, Step
from shared import clock
from shared.clouds import cloud
from shared.contracts.messages import EwsConnection, GroupSource, ListSource, RoomListsSource
from shared.ews.credential import EwsCredential
from shared.ews.dialling import surroundings
from shared.identity import GraphCredential, Tokens
from tests.processes import free_port

Prepare = Callable[["Bench"], None]
MEMBER, OUTSIDER = "person.0001@sandbox.example", "person.0002@sandbox.example"
LOOPBACK = "127.0.0.0/8"


class Bench:
    """A sandbox whose account may impersonate the people with odd numbers, and what a trial of it is made of."""

    def __init__(self, sandbox: Sandbox, tokens: Tokens) -> None:
        self.sandbox = sandbox
        self.world = sandbox.state.ews
        self.tenant = next(iter(sandbox.state.tenants.values()))
        (self.account,) = self.world.every()
        self.account.scope = self.tenant.address_of(self.tenant.groups[GROUP_HALF])
        self.given: dict[str, Any] = {
            "member": MEMBER, "outsider": OUTSIDER, "url": sandbox.ews_url,
            "directory": (GroupSource(address=self.account.scope), RoomListsSource(), ListSource(addresses=(MEMBER,))),
        }  # fmt: skip
        self.credential = EwsCredential(username=sandbox.ews_user, password=sandbox.ews_password)
        self.doors: Exchange = exchange(tokens, surroundings(str(sandbox.ca_file), LOOPBACK))

    def asked(self, needs: frozenset[str] = EVERYTHING) -> Question:
        where = cloud("sandbox", sandbox_url=self.sandbox.url)
        return Question(connection=EwsConnection(**self.given), credential=self.credential, cloud=where, needs=needs)

    async def steps(self) -> list[Step]:
        return [step async for step in Trial(self.asked(), self.doors).steps(clock.now())]

    def address_of(self, reach: Reach) -> str:
        return next(person.address for person in self.tenant.people.values() if person.reach is reach)

    @property
    def failed_sign_ins(self) -> int:
        return sum(self.world.failed_sign_ins.values())


def left(sandbox: Sandbox) -> bool:
    """Say whether every connection has ended; the last answer of one is let go when it is collected."""
    gc.collect()
    return not sandbox._runner.server.connections


# -- how each condition is brought about --------------------------------------------------------------------------


def given(**changed: Any) -> Prepare:
    return lambda bench: bench.given.update(changed)


def at(path: str) -> Prepare:
    return lambda bench: bench.given.update(url=f"{bench.sandbox.url}{path}")


def manners(**changed: Any) -> Prepare:
    def prepare(bench: Bench) -> None:
        for name, value in changed.items():
            setattr(bench.world.manners, name, value)

    return prepare


def account(**changed: Any) -> Prepare:
    def prepare(bench: Bench) -> None:
        for name, value in changed.items():
            setattr(bench.account, name, value)

    return prepare


def fault(match: str, **told_: Any) -> Prepare:
    return lambda bench: bench.sandbox.order(Fault(match=match, **{"kind": FaultKind.ERROR, **told_})) and None


def password(wrong: str, **changed: Any) -> Prepare:
    def prepare(bench: Bench) -> None:
        bench.credential = replace(bench.credential, password=wrong)
        bench.given.update(changed)

    return prepare


def basic_alone(bench: Bench) -> None:
    bench.given["auth"] = "ntlm"
    bench.world.manners.schemes = ("basic",)


def unreachable(bench: Bench) -> None:
    bench.given["url"] = f"https://127.0.0.1:{free_port()}/EWS/Exchange.asmx"


def untrusted(bench: Bench) -> None:
    bench.doors = replace(bench.doors, surroundings=surroundings("", LOOPBACK))


def not_allowed(bench: Bench) -> None:
    bench.doors = replace(bench.doors, surroundings=surroundings(str(bench.sandbox.ca_file), ""))


def elsewhere(bench: Bench) -> None:
    bench.given["member"] = bench.address_of(Reach.ON_PREMISES)


def alias(bench: Bench) -> None:
    person = next(each for each in bench.tenant.people.values() if each.address == MEMBER)
    bench.world.aliases[(bench.tenant.tenant_id, "anna@sandbox.example")] = person.user_id
    bench.given["member"] = "anna@sandbox.example"


def out_of_scope(bench: Bench) -> None:
    bench.given.update(member=OUTSIDER, outsider="")


def group(address: Callable[[Bench], str]) -> Prepare:
    return lambda bench: bench.given.update(directory=(GroupSource(address=address(bench)),))


def no_rooms(bench: Bench) -> None:
    bench.tenant.people = {name: each for name, each in bench.tenant.people.items() if each.kind.value != "room"}
    bench.tenant.__dict__.pop("by_name", None)


def with_app(bench: Bench) -> None:
    app = GraphCredential(client_id=bench.sandbox.client_id, client_secret=bench.sandbox.client_secret)
    bench.credential = EwsCredential(app=app)
    bench.given.update(tenant_id=bench.sandbox.tenant_id, cloud="sandbox", resource=bench.sandbox.url)


def with_foreign_token(bench: Bench) -> None:
    with_app(bench)
    bench.given["resource"] = ""


class Row(Struct, frozen=True):
    """A condition, the step that shows it, how that step ends, and with which reason."""

    name: str
    prepare: Prepare
    step: str
    reason: str
    ok: bool | None = False


FOLDER = f"GetFolder&{MEMBER}"
ROWS = [
    Row("the name is wrong", given(url="https://nowhere.invalid/EWS/Exchange.asmx"), "tcp", "name_unknown"),
    Row("the port is wrong", unreachable, "tcp", "unreachable"),
    Row("the address must not be reached", not_allowed, "tcp", "address_refused"),
    Row("the address is the metadata service's", given(url="https://169.254.169.254/EWS"), "tcp", "address_refused"),
    Row("the certificate is not trusted", untrusted, "tls", "not_trusted"),
    Row("the path is wrong", at("/EWS/Wrong.asmx"), "schemes", "not_found"),
    Row("everybody is sent elsewhere", manners(redirect="https://169.254.169.254/"), "schemes", "redirected"),
    Row("the password is wrong, Basic", password("wrong", auth="basic"), "sign_in", "sign_in_refused"),
    Row("the password is wrong, NTLM", password("wrong", auth="ntlm"), "sign_in", "sign_in_refused"),
    Row("the account is locked", account(locked=True), "sign_in", "sign_in_refused"),
    Row("the account is disabled", account(disabled=True), "sign_in", "sign_in_refused"),
    Row("the scheme is not offered", basic_alone, "schemes", "scheme_not_offered"),
    Row("no scheme is offered", manners(schemes=()), "schemes", "no_scheme"),
    Row("only tokens are taken", manners(schemes=("oauth",)), "schemes", "scheme_without_credential"),
    Row("the role is missing", account(scope=""), "member", "impersonation_denied"),
    Row("the mailbox is outside the scope", out_of_scope, "member", "impersonation_denied"),
    Row("the scope is everybody", account(scope="*"), "outsider", "scope_too_wide"),
    Row("no outsider is named", given(outsider=""), "outsider", "outsider_missing", None),
    Row("the outsider is elsewhere", lambda bench: bench.given.update(outsider=bench.address_of(Reach.ON_PREMISES)),
        "outsider", "outsider_unclear", None),
    Row("the right of 2007 is missing", fault(FOLDER, code="ErrorImpersonationDenied"), "member",
        "impersonation_right_missing"),
    Row("the forest has no trust", fault(FOLDER, code="ErrorImpersonationFailed"), "member", "impersonation_failed"),
    Row("the mailbox is elsewhere", elsewhere, "member", "mailbox_unknown"),
    Row("nobody has the address", given(member="nobody@sandbox.example"), "member", "mailbox_unknown"),
    Row("the address is a secondary one", alias, "member", "address_not_primary"),
    Row("the principal name is wrong", fault(FOLDER, code="ErrorInvalidUserPrincipalName"), "member",
        "principal_invalid"),
    Row("the SID is wrong", fault(FOLDER, code="ErrorInvalidUserSid"), "member", "principal_invalid"),
    Row("the header is not taken", fault(FOLDER, code="ErrorInvalidExchangeImpersonationHeaderData"), "member",
        "impersonation_malformed"),
    Row("the account has no mailbox, 2013", fault("GetUserAvailability", code="ErrorMissingEmailAddress"), "free_busy",
        "account_without_mailbox"),
    Row("the account has no mailbox, 2016", fault("GetUserAvailability", code="ErrorNonExistentMailbox"), "free_busy",
        "account_without_mailbox"),
    Row("nothing is allowed", fault(FOLDER, code="ErrorAccessDenied"), "member", "calendar_denied"),
    Row("the folder is not shown", fault("FindItem", code="ErrorItemNotFound"), "view", "calendar_denied"),
    Row("there is no calendar", fault("FindItem", code="ErrorFolderNotFound"), "view", "calendar_missing"),
    Row("the mailbox never had a calendar", fault("FindItem", code="ErrorNoCalendar"), "view", "calendar_missing"),
    Row("the calendar is none", fault("FindItem", code="ErrorCalendarFolderIsInvalidForCalendarView"), "view",
        "calendar_missing"),
    Row("EWS is switched off", manners(shut=True), "sign_in", "forbidden"),
    Row("the client is filtered", manners(blocked=("busyline",)), "sign_in", "forbidden"),
    Row("the mailbox is being moved", fault(FOLDER, code="ErrorMailboxMoveInProgress"), "member", "mailbox_moving"),
    Row("the database is down", fault(FOLDER, code="ErrorMailboxStoreUnavailable"), "member",
        "mailbox_store_unavailable"),
    Row("Active Directory is away", fault(FOLDER, code="ErrorADUnavailable"), "member",
        "active_directory_unavailable"),
    Row("the server is busy", fault(FOLDER, kind=FaultKind.THROTTLE, seconds=178.51), "member", "server_busy"),
    Row("IIS queues", fault(FOLDER, kind=FaultKind.THROTTLE, retry_form=RetryForm.HTTP), "member", "server_busy"),
    Row("the server is busy within", fault(FOLDER, kind=FaultKind.THROTTLE, retry_form=RetryForm.INNER), "member",
        "server_busy"),
    Row("too many connections", fault(FOLDER, code="ErrorExceededConnectionCount"), "member", "too_many_connections"),
    Row("too many items", fault("FindItem", code="ErrorExceededFindCountLimit"), "view", "too_many_items"),
    Row("the server has an error", fault(FOLDER, code="ErrorInternalServerError"), "member", "server_disturbed"),
    Row("a proxy has an error", fault(FOLDER, status=502), "member", "server_disturbed"),
    Row("a page for people answers", fault(FOLDER, kind=FaultKind.HTML), "member", "not_xml"),
    Row("the answer is cut short", fault(FOLDER, kind=FaultKind.TRUNCATED), "member", "server_broke_off"),
    Row("free/busy is not allowed", fault("GetUserAvailability", code="ErrorNoFreeBusyAccess"), "free_busy",
        "free_busy_denied"),
    Row("free/busy cannot be worked out", fault("GetUserAvailability", code="ErrorFreeBusyGenerationFailed"),
        "free_busy", "free_busy_failed"),
    Row("free/busy lies elsewhere", fault("GetUserAvailability", code="ErrorProxyRequestProcessingFailed"),
        "free_busy", "free_busy_elsewhere"),
    Row("nobody is in the group", group(lambda bench: bench.tenant.address_of(bench.tenant.groups[GROUP_EMPTY])),
        "group", "distribution_group_empty"),
    Row("there is no such group", group(lambda _: "nothing@sandbox.example"), "group", "distribution_group_unknown"),
    Row("groups cannot be expanded", manners(without=frozenset({"ExpandDL"})), "group", "listing_missing"),
    Row("rooms cannot be listed", manners(without=frozenset({"GetRoomLists"})), "rooms", "listing_missing"),
    Row("there are no rooms", no_rooms, "rooms", "room_lists_empty"),
    Row("the app lacks the permission", with_app, "sign_in", "bearer_refused"),
    Row("the token is for another server", with_foreign_token, "endpoint", "resource_foreign"),
    Row("it is Exchange Online", manners(build=(15, 20, 8000, 20)), "version", "exchange_online", None),
    Row("the server is old", manners(build=(15, 0, 1497, 2)), "version", "version_old", None),
    Row("names cannot be looked up", manners(without=frozenset({"ResolveNames"})), "names", "names_missing", None),
    Row("changes cannot be told", manners(without=frozenset({"SyncFolderItems"})), "changes", "changes_missing", None),
    Row("time zones cannot be told", manners(without=frozenset({"GetUserConfiguration"})), "zone", "zone_missing",
        None),
    Row("the account is of another domain", lambda bench: setattr(bench, "credential", EwsCredential(
        username="svc@other.example", password="wrong")), "account", "domains_differ", None),
    Row("the mailbox is an administrator's", given(member="administrator@sandbox.example"), "mailbox",
        "member_is_administrator", None),
]  # fmt: skip
