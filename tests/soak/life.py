"""What happens to an organisation in an hour, drawn by lot from a seed: calendars change, people come, go and are
renamed, Microsoft fails in its ways. Whoever breaks something for longer mends it after some hours.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from deploy.sandbox import Fault, FaultKind, RetryForm, Sandbox
from deploy.sandbox.notice_faults import NoticeFault, NoticeFaultKind
from tests.pipeline.scene import Scene

PASSING: Final = (  # each strikes a few requests and is over
    Fault(kind=FaultKind.THROTTLE, share=0.5, seconds=7, times=6),
    Fault(kind=FaultKind.THROTTLE, share=0.5, seconds=2.5, times=6, retry_form=RetryForm.FRACTION),
    Fault(kind=FaultKind.THROTTLE, share=0.5, seconds=30, times=4, retry_form=RetryForm.DATE),
    Fault(kind=FaultKind.ERROR, status=503, share=0.5, times=8),
    Fault(kind=FaultKind.ERROR, status=500, share=0.5, times=8),
    Fault(kind=FaultKind.HTML, match="calendarView", times=4),
    Fault(kind=FaultKind.TRUNCATED, match="calendarView", times=4),
    Fault(kind=FaultKind.DROP, share=0.3, times=4),
    Fault(kind=FaultKind.UNAUTHORIZED, share=0.3, times=4),
    Fault(kind=FaultKind.SLOW, share=0.5, seconds=20, times=5),
)
NOTICES: Final = (  # strike notifications until the day's end
    NoticeFault(kind=NoticeFaultKind.LOSE, share=0.5),
    NoticeFault(kind=NoticeFaultKind.DUPLICATE, share=0.5, copies=3),
    NoticeFault(kind=NoticeFaultKind.DELAY, share=0.5, seconds=900),
    NoticeFault(kind=NoticeFaultKind.REORDER, seconds=30),
)
LONGEST: Final = 4  # hours until consent is given again


class Life:
    """One organisation's life, the same for the same seed."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene = scene
        self._chance = Random(f"life/{seed}")
        self._number = 0
        self._refused_for = 0
        self.said: dict[str, int] = {}

    @property
    def _sandbox(self) -> Sandbox:
        return self._scene.sandbox

    def hour(self) -> None:
        """Let an hour's worth happen."""
        self._mend()
        self._scene.stir(self._chance.randrange(0, 8))
        for what, share in self._lots():
            if self._chance.random() < share:
                what()
                name = what.__name__.strip("_")
                self.said[name] = self.said.get(name, 0) + 1

    def _lots(self) -> tuple[tuple[Callable[[], None], float], ...]:
        """Return what may happen in an hour, and how probable each is."""
        return (
            (self._joins, 0.06),
            (self._leaves, 0.05),
            (self._renamed, 0.05),
            (self._fails, 0.4),
            (self._revoked, 0.02),
            (self._tokens_expire, 0.1),
            (self._notices_fail, 0.1),
            (self._subscriptions_vanish, 0.1),
            (self._life_is_told, 0.1),
            (self._forged, 0.1),
        )

    def rest(self) -> None:
        """Let nothing be broken any more."""
        self._refused_for = min(self._refused_for, 1)
        self._mend()
        self._sandbox.clear_faults()
        self._sandbox.notifications.clear()

    def _mend(self) -> None:
        if self._refused_for:
            self._refused_for -= 1
            if not self._refused_for:
                self._sandbox.consent()

    def _joins(self) -> None:
        self._number += 1
        self._sandbox.add_user(f"joiner.{self._number:04d}@sandbox.example", time_zone="Europe/Berlin")

    def _leaves(self) -> None:
        people = self._scene.people()
        if len(people) > 20:
            self._sandbox.remove_user(self._chance.choice(people).address)

    def _renamed(self) -> None:
        self._number += 1
        address = f"renamed.{self._number:04d}@sandbox.example"
        self._sandbox.change_user(self._chance.choice(self._scene.people()).address, mail=address, upn=address)

    def _fails(self) -> None:
        self._sandbox.order(self._chance.choice(PASSING))

    def _revoked(self) -> None:
        if not self._refused_for:
            self._refused_for = self._chance.randrange(1, LONGEST)
            self._sandbox.revoke()

    def _tokens_expire(self) -> None:
        self._sandbox.expire_tokens()

    def _notices_fail(self) -> None:
        self._sandbox.notifications.order(self._chance.choice(NOTICES))

    def _subscriptions_vanish(self) -> None:
        for subscription in self._some():
            self._sandbox.notifications.drop(subscription)

    def _life_is_told(self) -> None:
        event = self._chance.choice(("missed", "reauthorizationRequired", "subscriptionRemoved"))
        for subscription in self._some():
            self._sandbox.notifications.lifecycle(subscription, event)

    def _forged(self) -> None:
        for subscription in self._some():
            self._sandbox.notifications.forge(subscription, unknown=self._chance.random() < 0.5)

    def _some(self) -> list[str]:
        """Return some living subscriptions."""
        living = [subscription.id for subscription in self._sandbox.subscriptions()]
        return self._chance.sample(living, min(len(living), 5))
