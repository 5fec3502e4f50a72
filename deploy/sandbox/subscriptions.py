"""The subscriptions of all tenants and apps: which live, whose mailbox each one watches, and which exists already.

It decides nothing about rights and sends nothing. An expired subscription is as gone as a deleted one.
"""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from shared.contracts.values import Instant

Mailbox = tuple[str, str]  # ids of the tenant and of the user
NO_FRACTION = "0000000"


class Subscription(Struct, frozen=True, kw_only=True):
    """One subscription to the events of a mailbox, living until `expiry` (UTC seconds; `fraction` as it was asked).

    `mailbox` is the address of the mailbox, `paused` says that Graph waits for it to be authorised again.
    """

    id: str
    mailbox: str
    expiry: Instant
    client_state: str | None
    url: str
    immutable: bool = False
    lifecycle_url: str | None = None
    change_types: str = "created,updated,deleted"
    resource: str
    tenant_id: str
    client_id: str
    user_id: str
    fraction: str = NO_FRACTION
    tls_version: str = "v1_2"
    paused: bool = False

    @property
    def watched(self) -> Mailbox:
        """The mailbox it watches."""
        return self.tenant_id, self.user_id

    @property
    def kinds(self) -> frozenset[str]:
        """The sorts of change it is told of."""
        return frozenset(self.change_types.lower().split(","))


class Subscriptions:
    """Every subscription there is, found by id and by mailbox."""

    def __init__(self) -> None:
        """Begin with none."""
        self._by_id: dict[str, Subscription] = {}
        self._by_mailbox: dict[Mailbox, dict[str, Subscription]] = {}

    def put(self, subscription: Subscription) -> None:
        """Add a subscription, or replace the one of the same id."""
        self._by_id[subscription.id] = subscription
        self._by_mailbox.setdefault(subscription.watched, {})[subscription.id] = subscription

    def remove(self, subscription_id: str) -> None:
        """Take a subscription away, if it is there."""
        gone = self._by_id.pop(subscription_id, None)
        if gone is not None:
            watching = self._by_mailbox[gone.watched]
            del watching[subscription_id]
            if not watching:
                del self._by_mailbox[gone.watched]

    def change(self, subscription_id: str, *, expiry: Instant, fraction: str = NO_FRACTION) -> None:
        """Set when a subscription ends."""
        self.put(replace(self._by_id[subscription_id], expiry=expiry, fraction=fraction))

    def pause(self, subscription_id: str, *, paused: bool) -> None:
        """Let a subscription wait for its authorisation, or no longer."""
        self.put(replace(self._by_id[subscription_id], paused=paused))

    def find(self, subscription_id: str, now: Instant) -> Subscription | None:
        """Return a living subscription."""
        found = self._by_id.get(subscription_id.lower())
        return found if found is not None and found.expiry > now else None

    def watching(self, mailbox: Mailbox, now: Instant) -> tuple[Subscription, ...]:
        """Return the living subscriptions to a mailbox."""
        watching = self._by_mailbox.get(mailbox)
        return tuple(each for each in watching.values() if each.expiry > now) if watching else ()

    def named(self, name: str, now: Instant) -> tuple[Subscription, ...]:
        """Return the living subscriptions of an id, or of a mailbox's address or id; `name` is in lower case."""
        found = self.find(name, now)
        if found is not None:
            return (found,)
        return tuple(
            each for each in self._by_id.values() if each.expiry > now and name in {each.mailbox, each.user_id}
        )

    def living(self, now: Instant, *, tenant_id: str) -> Iterator[Subscription]:
        """Yield a tenant's living subscriptions, in the order they were made."""
        yield from (each for each in self._by_id.values() if each.tenant_id == tenant_id and each.expiry > now)

    def twin(self, new: Subscription, now: Instant) -> Subscription | None:
        """Return the same app's living subscription to the same mailbox and changes, of which there can be one."""
        return next(
            (
                each
                for each in self.watching(new.watched, now)
                if each.client_id == new.client_id and each.kinds == new.kinds
            ),
            None,
        )
