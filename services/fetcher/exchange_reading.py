"""Reads one mailbox of an Exchange organisation: free and busy time together with others, details by itself.

Where details are polled the server is asked first whether anything changed; if it says no, the last reading holds.
"""

from datetime import UTC, datetime
from functools import lru_cache

from msgspec import Struct

from services.fetcher import exchange_details
from services.fetcher.due import Row
from services.fetcher.exchange_batches import Events, Told
from services.fetcher.exchange_server import Server
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import Bucket, Generation, Instant, Window, WorkingHours, WorkPeriod
from shared.ews.errors import EwsError
from shared.ews.time_zone import ZoneRules, zone_name
from shared.work_week import working_hours


class Wish(Struct, frozen=True, kw_only=True):
    """A reading that is wanted: of which row, under which policy and generation, after a hint (`live`) or not."""

    row: Row
    policy: Policy
    generation: Generation
    now: Instant
    live: bool

    @property
    def window(self) -> Window:
        """Return the window kept now."""
        return self.policy.window_at(self.now)


class Reading(Struct, frozen=True, kw_only=True):
    """What a reading came to: the events of the whole window, or None where nothing changed since the last one.

    `time_zone` is a Windows zone whose clock shows the same as the owner's this year, where the zone's own name is not
    known: a server that does not tell it still tells its rules. `working_hours` are told only with free and busy times.
    """

    events: Events | None
    sync_state: str | None = None
    time_zone: str = ""
    working_hours: WorkingHours | None = None


async def read(server: Server, wish: Wish) -> Reading:
    """Return a complete reading, or that the last one still holds. Raises EwsError and IdentityError."""
    address = wish.row.address
    if wish.policy.detail is not Detail.DETAILS:
        told = await server.batches.read(address, wish.window, live=wish.live)
        known, year = wish.row.time_zone, datetime.fromtimestamp(wish.now, UTC).year
        return Reading(
            events=told.events,
            time_zone="" if known or told.zone is None else zone_name(told.zone, year),
            working_hours=hours_told(told, known, wish.now),
        )
    return await _with_details(server, wish)


def hours_told(told: Told, time_zone: str, now: Instant) -> WorkingHours | None:
    """Return when somebody works as free and busy times tell it; None where they do not, or in a zone nobody knows.

    The zone's rules are told without its name: `time_zone`, which the mailbox is known to have, goes before others.
    """
    if told.zone is None or not told.work:
        return None
    return _hours(told.zone, told.work, time_zone, datetime.fromtimestamp(now, UTC).year)


@lru_cache(maxsize=4096)
def _hours(rules: ZoneRules, work: tuple[WorkPeriod, ...], known: str, year: int) -> WorkingHours | None:
    return working_hours(zone_name(rules, year, known), work)


async def _with_details(server: Server, wish: Wish) -> Reading:
    address = wish.row.address
    state = await _followed(server, wish)
    if state is not None and not state[1] and may_stand(wish):
        return Reading(events=None, sync_state=state[0])
    events = await exchange_details.read_details(server, address, wish.window, policy=wish.policy)
    return Reading(events=events, sync_state=state and state[0])


async def _followed(server: Server, wish: Wish) -> tuple[str, bool] | None:
    """Return the server's word on changes, taken before the view: what changes meanwhile is a change the next time.

    None where the server does not follow changes: then every reading is a whole one.
    """
    if not server.follows:
        return None
    try:
        return await exchange_details.followed(server, wish.row.address, wish.row.sync_state or "")
    except EwsError as error:
        if not exchange_details.lacks_following(error.code):
            raise
        server.follows = False
        return None


def may_stand(wish: Wish) -> bool:
    """Say whether the last reading would still hold if nothing changed: same window and policy, good, and not too old.

    However quiet a calendar is, it is read anew after the long interval: a hint is never data (decision 0007).
    """
    row = wish.row
    if wish.live or row.read_at is None or row.sync_state is None or row.bucket is not Bucket.ACTIVE:
        return False
    if row.read_generation != wish.generation or row.failures:
        return False
    young = 0 <= wish.now - row.read_at < wish.policy.poll_seconds_subscribed
    return young and wish.policy.window_at(row.read_at) == wish.window
