"""What Exchange knows beside the calendars: who may sign in and as whom, how it behaves, who listens, what was tried.

It holds values and finds accounts by name; it decides about no request.
"""

from collections import Counter

from msgspec import Struct, field

from deploy.sandbox.ews.listeners import Listeners

NETBIOS, USER = "SANDBOX", "svc-busyline"
FULL_ACCESS = "full_access_as_app"


class ServiceAccount(Struct, kw_only=True):
    """An account of an organisation's directory that may sign in.

    `scope` is the address of the group whose members it may impersonate, "*" for everybody, "" for nobody. `mailbox` is
    its own address, "" where it has none.
    """

    domain: str
    user: str
    upn: str
    password: str
    tenant_id: str
    scope: str = ""
    mailbox: str = ""
    locked: bool = False
    disabled: bool = False

    @property
    def logon(self) -> str:
        r"""Return the name in the form of DOMAIN\user."""
        return f"{self.domain}\\{self.user}"


class Manners(Struct, kw_only=True):
    """How this server behaves, all of it changeable while it runs.

    `schemes` are those it offers (basic, ntlm, oauth); `without` names operations it lacks; `fault_status` is the HTTP
    status of SOAP faults (Exchange: 500, others: 200); `redirect` sends every request elsewhere; `shut` answers 403 to
    whoever signed in, `blocked` to those whose User-Agent contains one of these texts; `minute` is how many seconds
    of this machine a minute lasts; with `affinity` listening needs the cookie that subscribing gave; `nested` says
    whether members of nested groups are in a scope; `hanging` bounds the connections an account may listen on at once.
    `version` and `build` (four numbers) are what the answers say of the server.
    """

    schemes: tuple[str, ...] = ("basic", "ntlm", "oauth")
    without: frozenset[str] = frozenset()
    fault_status: int = 500
    redirect: str = ""
    shut: bool = False
    blocked: tuple[str, ...] = ()
    minute: float = 60.0
    affinity: bool = True
    nested: bool = True
    hanging: int = 10
    version: str = "V2017_07_11"
    build: tuple[int, int, int, int] = (15, 2, 1748, 10)


class EwsWorld(Struct, kw_only=True):
    """Everything of one sandbox that only EWS knows.

    `accounts` are found under each of their names in lower case; `aliases` maps (tenant, secondary address) to the id
    of a person; `redirects` maps an address to the one that autodiscover names instead. `sign_ins` counts by scheme,
    `failed_sign_ins` by principal name, or by the name given where nobody bears it; both in lower case.
    """

    manners: Manners = field(default_factory=Manners)
    accounts: dict[str, ServiceAccount] = field(default_factory=dict)
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    hidden: set[tuple[str, str]] = field(default_factory=set)
    sign_ins: Counter[str] = field(default_factory=Counter)
    failed_sign_ins: Counter[str] = field(default_factory=Counter)
    ntlm_file: str = ""
    listeners: Listeners = field(default_factory=Listeners)

    def admit(self, account: ServiceAccount) -> None:
        r"""Let an account sign in under its principal name, DOMAIN\user, and its bare name where that is free."""
        for name in (account.upn, account.logon):
            self.accounts[name.lower()] = account
        self.accounts.setdefault(account.user.lower(), account)

    def account(self, name: str) -> ServiceAccount | None:
        """Return the account that a name stands for, a leading backslash or none."""
        return self.accounts.get(name.lstrip("\\").lower())

    def every(self) -> list[ServiceAccount]:
        """Return the accounts, each once."""
        return list({id(one): one for one in self.accounts.values()}.values())
