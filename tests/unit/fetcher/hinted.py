"""One mailbox's row under hints, polls, readings, crashes and redeliveries, without a store: what the pure steps do."""

from itertools import count

from msgspec.structs import replace

from services.fetcher import due, endings
from services.fetcher.due import Claim, Later, Lease, Row
from services.fetcher.endings import Ending, Pause
from services.fetcher.polling import UNSETTLED
from shared.contracts.values import Bucket, Instant, Kind

START = 1_790_000_000_000  # milliseconds
SECONDS = 600  # of a lease


class Mailbox:
    """`steps` orders what happened: a hint is answered by a reading that started at a later step."""

    def __init__(self, due_in: int = 0) -> None:
        self.row = Row(
            org_id="o",
            mailbox_id="m",
            address="a@b.example",
            kind=Kind.USER,
            generation=2,
            bucket=Bucket.ACTIVE,
            due_at=START // 1000 + due_in,
        )
        self.now_ms = START
        self.steps = count(1)
        self.names = count(1)
        self.hinted_at = 0  # the step of the last hint that was handled
        self.hints: dict[str, int] = {}  # a hint's message: the step at which it came
        self.started_at = 0  # the step of the last reading that started
        self.starts: list[tuple[int, bool, bool]] = []  # ms, live, tried again
        self.versions: list[int] = []
        self.queue: list[Claim] = []
        self.reading: dict[str, tuple[Claim, Row]] = {}
        self.waiting: list[tuple[Claim, Later]] = []
        self.done: list[Claim] = []

    @property
    def now(self) -> Instant:
        return self.now_ms // 1000

    def ask(self, *, live: bool, since: int | None = None) -> None:
        lease = Lease(generation=2, message_id=f"m{next(self.names)}")
        wish = Claim(lease=lease, since=self.now if since is None else since, now=self.now, seconds=SECONDS, live=live)
        if live and since is None:
            self.hints[lease.name] = next(self.steps)
        self.queue.append(wish)

    def handle(self, number: int = 0, skew_ms: int = 0) -> None:
        wish = self.queue.pop(number % len(self.queue))
        self.claim(wish, skew_ms)

    def wake(self, number: int = 0) -> None:
        wish, later = self.waiting.pop(number % len(self.waiting))
        self.now_ms = max(self.now_ms, later.at_ms)
        self.claim(replace(wish, seen=later.version))

    def claim(self, wish: Claim, skew_ms: int = 0) -> None:
        at = self.now_ms + skew_ms
        change = due.claim(self.row, replace(wish, now=at // 1000, exact_ms=at))
        again = self.row.lease_id == wish.lease.name
        self.row = change.row or self.row
        if isinstance(change.answer, Row):
            self._started(wish, change.answer, again=again)
        elif isinstance(change.answer, Later):
            self.waiting.append((wish, change.answer))
        else:
            self.done.append(wish)
        self.hinted_at = max(self.hinted_at, self.hints.get(wish.lease.name, 0))

    def _started(self, wish: Claim, taken: Row, *, again: bool) -> None:
        self.started_at = next(self.steps)
        self.starts.append((self.now_ms, wish.live, again))
        self.versions.append(taken.version)
        self.reading[wish.lease.name] = (replace(wish, seen=None), taken)

    def end(self, number: int = 0, *, good: bool = True, readable: bool = True) -> None:
        name = list(self.reading)[number % len(self.reading)]
        wish, taken = self.reading.pop(name)
        ending = Ending(
            lease=wish.lease,
            version=taken.version,
            bucket=Bucket.ACTIVE if good else Bucket.FAILING,
            read_at=self.now if good else None,
            now=self.now,
            due_at=self.now + 300 if readable else None,
        )
        self.row = endings.end(self.row, ending).row or self.row
        self.done.append(wish)

    def retry(self, number: int = 0) -> None:
        name = list(self.reading)[number % len(self.reading)]
        wish, _ = self.reading.pop(name)
        pause = Pause(reason="throttled", until=self.now + 5)
        self.row = endings.postpone(self.row, wish.lease, pause, seconds=SECONDS).row or self.row
        self.queue.append(wish)

    def turned_away(self, number: int = 0) -> None:
        name = list(self.reading)[number % len(self.reading)]
        wish, _ = self.reading.pop(name)
        pause = Pause(reason="token_rejected", until=self.now + 20)
        self.row = endings.put_off(self.row, wish.lease, pause).row or self.row
        self.done.append(wish)

    def crash(self) -> None:
        """End the process: whatever it had in hand is delivered again."""
        self.queue += [wish for wish, _ in self.reading.values()]
        self.queue += [wish for wish, _ in self.waiting]
        self.reading, self.waiting = {}, []

    def lose(self, number: int = 0) -> None:
        """Park a message that is being handled: nobody ends its reading."""
        del self.reading[list(self.reading)[number % len(self.reading)]]

    def repeat(self, number: int = 0) -> None:
        self.queue.append(self.done[number % len(self.done)])

    def look(self, *, dies: bool = False) -> bool:
        """Poll once; True where the mailbox was due."""
        if self.row.due_at is None or self.row.due_at > self.now:
            return False
        hinted = self.row.dirty
        self.row = replace(self.row, due_at=self.now + UNSETTLED)
        if not dies:
            self.ask(live=hinted, since=due.MARKED if hinted else self.now)
        return True

    def settle(self) -> None:
        """Let everything under way come to its end, and time pass, until no hint waits."""
        for _ in range(100):
            while self.queue or self.waiting or self.reading:
                if self.queue:
                    self.handle()
                elif self.reading:
                    self.end()
                else:
                    self.wake()
            if not self.row.dirty and self.started_at > self.hinted_at:
                return
            self.now_ms = max(self.now_ms, (self.row.due_at or 0) * 1000)
            self.look()
        raise AssertionError("a hint is never answered")
