"""Decides who is told of a change, and when: living subscriptions whose app may read the mailbox, faults applied.

It keeps back what a paused subscription is owed, and counts everything: a loss on order can be told from others.
"""

from collections.abc import Callable
from uuid import uuid4

from msgspec.structs import replace

from deploy.sandbox import notifications
from deploy.sandbox.delivery import GIVES_UP, Delivery, Tally
from deploy.sandbox.directory import Unknown
from deploy.sandbox.notice_faults import NoticeFault, NoticeFaults
from deploy.sandbox.notifications import Change, Notice
from deploy.sandbox.options import SandboxOptions
from deploy.sandbox.posting import Post
from deploy.sandbox.subscriptions import Mailbox, Subscription, Subscriptions
from shared.contracts.values import Instant

Allowed = Callable[[Subscription], bool]


class Notifier:
    """The notifications of one sandbox. Methods that name a subscription take its id, or a mailbox's address or id."""

    def __init__(self, options: SandboxOptions, post: Post, *, clock: Callable[[], Instant], allowed: Allowed) -> None:
        """Take the door to the network, the clock, and the test whether an app may read what it subscribed to."""
        self.subscriptions = Subscriptions()
        self.faults = NoticeFaults(options.seed)
        self._clock = clock
        self._allowed = allowed
        self._late = options.notification_delay
        self._tally = Tally()
        self._held: dict[str, list[Notice]] = {}
        self._delivery = Delivery(post, self._tally, admits=self._admits, scale=options.notification_pause_scale)

    @property
    def counts(self) -> Tally:
        """How many notifications were due, lost, sent, delivered, failed; `waiting` is the rest."""
        now = self._clock()
        for subscription_id in [each for each in self._held if self.subscriptions.find(each, now) is None]:
            self._tally.failed += len(self._held.pop(subscription_id))
        return self._tally

    def changed(self, mailbox: Mailbox, change: Change) -> None:
        """Tell every subscription to a mailbox of a change of one of its events."""
        for subscription in self.subscriptions.watching(mailbox, self._clock()):
            if change.kind in subscription.kinds:
                self._tell(subscription, change)

    def _tell(self, subscription: Subscription, change: Change) -> None:
        tally = self._tally
        if not self._allowed(subscription):
            tally.withheld += 1
            return
        tally.due += 1
        pauses = self.faults.treat(subscription.mailbox, subscription.user_id).pauses
        if not pauses:
            tally.lost += 1
            return
        tally.duplicated += len(pauses) - 1
        notice = self._notice(subscription, notifications.of_change(subscription, change, number=tally.due))
        for pause in pauses:
            self._delivery.push(notice, seconds=self._late + pause)

    def _notice(self, subscription: Subscription, body: bytes) -> Notice:
        return Notice(subscription_id=subscription.id, url=subscription.url, body=body, since=self._clock())

    def _admits(self, notice: Notice) -> bool:
        """Say whether a notification goes now; what does not is kept back or given up."""
        if not notice.bound:
            return True
        subscription = self.subscriptions.find(notice.subscription_id, self._clock())
        if subscription is None or not self._allowed(subscription):
            self._tally.failed += 1
            return False
        if subscription.paused:
            self._held.setdefault(subscription.id, []).append(notice)
            return False
        return True

    # what Graph's routes do

    def create(self, subscription: Subscription) -> None:
        """Let a subscription begin."""
        self.subscriptions.put(subscription)
        self._tally.created += 1

    def renew(self, subscription_id: str, *, expiry: Instant, fraction: str) -> None:
        """Let a subscription live until `expiry`; that authorises it too."""
        self.subscriptions.change(subscription_id, expiry=expiry, fraction=fraction)
        self._tally.renewed += 1
        self._resume(subscription_id)

    def reauthorize(self, subscription_id: str) -> None:
        """Let a paused subscription go on."""
        self._tally.reauthorized += 1
        self._resume(subscription_id)

    def delete(self, subscription_id: str) -> None:
        """End a subscription because its app asks for it."""
        self._tally.deleted += 1
        self.subscriptions.remove(subscription_id)

    def _resume(self, subscription_id: str) -> None:
        """Send what was kept back, but for what is older than four hours."""
        self.subscriptions.pause(subscription_id, paused=False)
        for notice in self._held.pop(subscription_id, ()):
            if self._clock() - notice.since > GIVES_UP:
                self._tally.failed += 1
            else:
                self._delivery.push(notice)

    # what control orders

    def order(self, fault: NoticeFault) -> int:
        """Put a fault on order and return its number."""
        return self.faults.order(fault)

    def clear(self, number: int | None = None) -> None:
        """Cancel one fault, or all."""
        self.faults.clear(number)

    def lifecycle(self, name: str, event: str) -> None:
        """Send `missed`, `reauthorizationRequired` (pauses) or `subscriptionRemoved` (ends). Raises Unknown.

        Raises ValueError for any other event.
        """
        if event not in notifications.LIFECYCLE:
            raise ValueError("event")
        for subscription in self.named(name):
            self._live(subscription, event)

    def gone(self, mailbox: Mailbox) -> None:
        """End every subscription to a mailbox that is no more, and say so."""
        for subscription in self.subscriptions.watching(mailbox, self._clock()):
            self._live(subscription, notifications.REMOVED)

    def _live(self, subscription: Subscription, event: str) -> None:
        if event == notifications.REAUTHORIZE:
            self.subscriptions.pause(subscription.id, paused=True)
        if event == notifications.REMOVED:
            self.subscriptions.remove(subscription.id)
        if subscription.lifecycle_url:
            self._tally.lifecycle += 1
            notice = self._notice(subscription, notifications.of_life(subscription, event))
            self._delivery.push(replace(notice, url=subscription.lifecycle_url, bound=False))

    def drop(self, name: str) -> None:
        """Let subscriptions vanish without a word. Raises Unknown."""
        for subscription in self.named(name):
            self.subscriptions.remove(subscription.id)

    def expire(self, name: str) -> None:
        """Let subscriptions end now. Raises Unknown."""
        for subscription in self.named(name):
            self.subscriptions.change(subscription.id, expiry=self._clock())

    def forge(self, name: str, *, client_state: str = "forged", unknown: bool = False) -> None:
        """Send what Graph would not: another client state, or with `unknown` another subscription. Raises Unknown."""
        for real in self.named(name):
            other = replace(real, id=str(uuid4())) if unknown else replace(real, client_state=client_state)
            change = Change(kind="updated", item_id=uuid4().hex[:24], revision=0)
            self._tally.forged += 1
            notice = self._notice(other, notifications.of_change(other, change, number=self._tally.forged))
            self._delivery.push(replace(notice, bound=False))

    def named(self, name: str) -> tuple[Subscription, ...]:
        """Return the living subscriptions of an id, or of a mailbox's address or id. Raises Unknown."""
        found = self.subscriptions.named(name.lower(), self._clock())
        if not found:
            raise Unknown("subscription")
        return found

    async def stop(self) -> None:
        """Give up everything that is on its way."""
        await self._delivery.stop()
