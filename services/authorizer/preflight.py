"""Pure: the steps by which an Exchange server is tried, what each is called, which of them decide, and what is odd.

A step that says more than is needed is a warning: a server may lack what no policy asks of it.
"""

from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from services.authorizer.sentences import sentence
from shared.contracts.messages import EwsConnection, ListSource, Scheme
from shared.contracts.policy import Detail
from shared.ews.credential import EwsCredential

TITLES: Final = {
    "autodiscover": "Autodiscover",
    "tcp": "Connection (TCP)",
    "tls": "Certificate (TLS)",
    "schemes": "Ways to sign in",
    "sign_in": "Sign-in",
    "version": "Version",
    "names": "Address book",
    "member": "Impersonation of the member",
    "outsider": "Refusal for the outsider",
    "view": "One day of the member's calendar",
    "changes": "What has changed",
    "zone": "Time zone of the member",
    "free_busy": "Free/busy",
    "ldap": "Directory (LDAP)",
    "group": "Distribution group",
    "rooms": "Room lists",
    "list": "List of addresses",
    "account": "Account",
    "endpoint": "Endpoint",
    "mailbox": "Mailbox",
}
EVERYTHING: Final = frozenset({"member", "view", "free_busy"})
NEEDED: Final = {Detail.DETAILS: frozenset({"member", "view"}), Detail.FREE_BUSY: frozenset({"free_busy"})}
ONLINE: Final = frozenset(
    {
        "outlook.office365.com",
        "outlook.office.com",
        "outlook.office365.us",
        "outlook-dod.office365.us",
        "webmail.apps.mil",
        "partner.outlook.cn",
        "outlook.office.de",
    }
)
_ADMINISTRATORS: Final = ("admin", "administrator", "administrateur", "exadmin", "domainadmin", "exchangeadmin")
_TRIED: Final = 5  # of a list, to find a second mailbox in


class Step(Struct, frozen=True, kw_only=True):
    """One step. `ok` is None where it is a warning. `found` is shown to whoever tests: a version, an address."""

    name: str
    ok: bool | None = True
    reason: str = ""
    found: str = ""
    code: int = 0
    back_off: float | None = None

    @property
    def title(self) -> str:
        """What it is called."""
        return TITLES[self.name]

    @property
    def sentence(self) -> str:
        """What an IT admin is told, empty where all is well."""
        return sentence(self.reason, code=self.code) if self.reason else ""


def warning(name: str, reason: str, *, found: str = "") -> Step:
    """Return a step that warns."""
    return Step(name=name, ok=None, reason=reason, found=found)


def oddities(connection: EwsConnection, credential: EwsCredential) -> tuple[Step, ...]:
    """Return what is odd about a connection before anything was asked."""
    found = []
    if looks_like_an_administrator(connection.member):
        found.append(warning("mailbox", "member_is_administrator", found=connection.member))
    if credential.app is None and not same_domain(credential.username, connection.member):
        found.append(warning("account", "domains_differ"))
    return tuple(found)


def of_endpoint(url: str) -> tuple[Step, ...]:
    """Return what is odd about an endpoint."""
    found = []
    if is_online(url):
        found.append(warning("endpoint", "exchange_online"))
    if urlsplit(url).scheme.lower() == "http":
        found.append(warning("endpoint", "plain_http"))
    return tuple(found)


def is_online(url: str) -> bool:
    """Say whether an endpoint is Exchange Online's."""
    return (urlsplit(url).hostname or "").lower().rstrip(".") in ONLINE


def looks_like_an_administrator(address: str) -> bool:
    """Say whether a mailbox's name is one that administrators have."""
    local = address.partition("@")[0].lower().replace("-", "").replace(".", "").replace("_", "")
    return local in _ADMINISTRATORS or local.startswith("admin") or local.endswith("administrator")


def same_domain(account: str, address: str) -> bool:
    r"""Say whether an account may be of the domain of an address; a name without a domain may be of any.

    A domain's old name (CONTOSO of CONTOSO\svc) is compared with each part of the address's.
    """
    theirs = address.rpartition("@")[2].lower()
    old, slash, _ = account.rpartition("\\")
    if slash:
        return old.lower() in {theirs, *theirs.split(".")}
    _, at, own = account.rpartition("@")
    return not at or own.lower() == theirs or own.lower().endswith(f".{theirs}") or theirs.endswith(f".{own.lower()}")


def scheme_for(connection: EwsConnection, credential: EwsCredential, offered: tuple[str, ...]) -> tuple[Scheme, str]:
    """Return how to sign in, and the reason where there is no way.

    Of what is offered the one is taken that shows least: NTLM before Basic, which sends the password itself.
    """
    if connection.auth:
        wanted: tuple[Scheme, ...] = (connection.auth,)
    else:
        wanted = ("oauth",) if credential.app is not None else ("ntlm", "basic")
    for scheme in wanted:
        if scheme in offered or (scheme == "oauth" and credential.app is not None):
            fits = (scheme == "oauth") == (credential.app is not None)
            return (scheme, "") if fits else ("", "scheme_without_credential")
    if not offered:
        return "", "no_scheme"
    return "", "scheme_not_offered" if connection.auth else "scheme_without_credential"


def tokens_may_go(connection: EwsConnection, endpoint: str) -> bool:
    """Say whether a token may be sent to an endpoint: to the server it is issued for, and to no other.

    Whoever names an endpoint could have a token for Exchange Online, or for somebody else's server, sent there.
    """
    host = (urlsplit(endpoint).hostname or "").lower()
    if connection.resource:
        return host == (urlsplit(connection.resource).hostname or "").lower()
    return host in ONLINE


def second(connection: EwsConnection) -> str:
    """Return a mailbox beside the member to ask the free/busy of: one of a list, else the outsider; "" where none."""
    for source in connection.directory:
        if isinstance(source, ListSource):
            others = (one for one in source.addresses[:_TRIED] if one.lower() != connection.member.lower())
            return next(others, connection.outsider)
    return connection.outsider
