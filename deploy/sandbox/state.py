"""Everything a running sandbox knows: tenants, apps and what they may do, tokens, calendars, faults and counts.

It decides nothing about answers; the routes read it and control changes it.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable

from cryptography import x509
from msgspec import Struct, field

from deploy.sandbox.calendars import Book
from deploy.sandbox.directory import Person, Reach, Tenant
from deploy.sandbox.ews.expansions import Expansions
from deploy.sandbox.ews.world import EwsWorld, Manners
from deploy.sandbox.faults import Faults
from deploy.sandbox.notifier import Notifier
from deploy.sandbox.options import SandboxOptions
from deploy.sandbox.posting import Letter, Post, Poster, Reply
from deploy.sandbox.sign_ins import SignIns
from deploy.sandbox.subscriptions import Subscription
from deploy.sandbox.tokens import Issued, Signer
from shared.contracts.values import Instant

CALENDAR_ROLES = frozenset({"Calendars.Read", "Calendars.ReadWrite"})


class App(Struct, kw_only=True):
    """A registered application. `secrets` maps each value to the instant it expires (None: never)."""

    client_id: str
    name: str = "Busyline"
    secrets: dict[str, Instant | None] = field(default_factory=dict)
    certificates: list[x509.Certificate] = field(default_factory=list)
    roles: frozenset[str] = frozenset()
    redirect_uris: tuple[str, ...] = ()


class Grant(Struct, kw_only=True):
    """What an app may do in one tenant: permissions for all of it, and mailboxes allowed one by one (RBAC)."""

    roles: frozenset[str] = frozenset()
    mailboxes: frozenset[str] = frozenset()
    enabled: bool = True


class Counts(Struct, kw_only=True):
    """What was asked: requests per kind of path, calendar views and peaks per mailbox, and each $select seen."""

    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    views: Counter[str] = field(default_factory=Counter)
    mailboxes: Counter[str] = field(default_factory=Counter)
    selects: dict[str, Counter[str]] = field(default_factory=dict)
    in_flight: Counter[str] = field(default_factory=Counter)
    peaks: dict[str, int] = field(default_factory=dict)
    total: int = 0

    def select(self, kind: str, asked: str) -> None:
        """Note a $select; `*` stands for its absence, which asks for everything."""
        self.selects.setdefault(kind, Counter())[asked or "*"] += 1

    def enter(self, mailbox: str) -> int:
        """Note that a request for a mailbox is in flight and return how many are."""
        self.mailboxes[mailbox] += 1
        self.in_flight[mailbox] += 1
        now = self.in_flight[mailbox]
        if now > self.peaks.get(mailbox, 0):
            self.peaks[mailbox] = now
        return now

    def leave(self, mailbox: str) -> None:
        """Note that a request for a mailbox is answered."""
        self.in_flight[mailbox] -= 1
        if not self.in_flight[mailbox]:
            del self.in_flight[mailbox]


FEWEST = 40  # calendars kept however large: those being read page by page must not be written anew for each page


class Kept:
    """Serialised events, the least recently used given up beyond a number of bytes."""

    def __init__(self, limit: int) -> None:
        """Take the limit in bytes."""
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[object, tuple[list[str], int]] = OrderedDict()

    def get(self, key: object) -> list[str] | None:
        """Return what is kept under a key."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: object, written: list[str]) -> None:
        """Keep a list of fragments."""
        size = sum(map(len, written)) + 60 * len(written) + 200
        self._kept[key] = (written, size)
        self._size += size
        while self._size > self._limit and len(self._kept) > FEWEST:
            _, (_, freed) = self._kept.popitem(last=False)
            self._size -= freed


class State:
    """One sandbox's world."""

    def __init__(self, options: SandboxOptions, *, clock: Callable[[], Instant]) -> None:
        """Take the options and the clock; the directory is filled by `worlds.build`."""
        self.options = options
        self.clock = clock
        self.tenants: dict[str, Tenant] = {}
        self.apps: dict[str, App] = {}
        self.grants: dict[tuple[str, str], Grant] = {}
        self.tokens: dict[str, Issued] = {}
        self.books: dict[tuple[str, str], Book] = {}
        self.signer = Signer()
        self.faults = Faults(options.seed)
        self.counts = Counts()
        self.kept = Kept(options.cache_bytes)
        self.problems: list[dict[str, str]] = []
        self.consent_refused = False
        self.sign_ins = SignIns(interactive=options.interactive)
        self.control_token = ""
        self.ews = EwsWorld(
            manners=Manners(
                schemes=options.ews_schemes,
                without=frozenset(options.ews_without),
                fault_status=options.ews_fault_status,
                minute=options.ews_minute,
            )
        )
        # shown every SOAP answer; tests compare it with Microsoft's schema
        self.ews_seen: Callable[[bytes], None] | None = None
        self.expansions = Expansions()
        self.poster = Poster(options.folder / "ca.pem", options.notification_ca)
        self.post: Post = self.poster.post
        self.notifier = Notifier(options, self._post, clock=self._now, allowed=self._allowed)

    def advance(self, seconds: int) -> None:
        """Move this world's clock on, or back; certificates and pauses know nothing of it."""
        before = self.clock
        self.clock = lambda: before() + seconds

    def tenant(self, name: str) -> Tenant | None:
        """Return the tenant of a GUID or a domain."""
        found = self.tenants.get(name.lower())
        return found or next((made for made in self.tenants.values() if made.domain == name.lower()), None)

    def _now(self) -> Instant:
        return self.clock()  # looked up for each call: a test may give the world another clock

    async def _post(self, letter: Letter) -> Reply:
        return await self.post(letter)  # looked up for each letter: tests have a door of their own

    def _allowed(self, subscription: Subscription) -> bool:
        """Say whether an app may still read the mailbox it subscribed to."""
        grant = self.grants.get((subscription.client_id, subscription.tenant_id))
        person = self.tenants[subscription.tenant_id].people.get(subscription.user_id)
        if grant is None or not grant.enabled or person is None or person.reach is not Reach.OPEN:
            return False
        return person.address in grant.mailboxes or not grant.roles.isdisjoint(CALENDAR_ROLES)

    def book(self, tenant: Tenant, person: Person) -> Book:
        """Return a person's calendar; each has one."""
        return self.books[tenant.tenant_id, person.user_id]
