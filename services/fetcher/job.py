"""One page's work of an enumeration: for which org and run, at which place, and which message goes on from there."""

from typing import Final

from msgspec import Struct, field

from services.fetcher import paging
from services.fetcher.census import Seen
from services.fetcher.directory import DirectoryUser
from services.fetcher.due import Lease
from services.fetcher.paging import Place
from shared.connections import Connected
from shared.contracts.messages import MailboxEnumerate
from shared.contracts.values import Instant
from shared.graph import GraphError

LONGEST_CURSOR: Final = 8192  # what a message carries
OVERDUE: Final = 3600  # seconds until a mailbox whose first reading never came about is due again


class DirectoryPage(Struct, frozen=True):
    """One page of users: the directory's, or a group's members."""

    value: list[DirectoryUser]
    next_link: str | None = field(default=None, name="@odata.nextLink")


class Job(Struct, frozen=True, kw_only=True):
    """The org as it stands, the run, the place, and the link to fetch ("" at a stage's start)."""

    org: Connected
    run: str
    place: Place
    cursor: str
    lease: Lease
    now: Instant

    @property
    def seen(self) -> Seen:
        """Return how this page's look at mailboxes is remembered."""
        return Seen(
            org_id=self.org.org_id,
            run=self.run,
            generation=self.org.generation,
            lease=self.lease.name,
            due_at=self.now + OVERDUE,
        )

    def message(self, place: Place, cursor: str = "") -> MailboxEnumerate:
        """Return the message that goes on at a place."""
        return MailboxEnumerate(
            org_id=self.org.org_id, generation=self.org.generation, run=self.run, stage=str(place), cursor=cursor
        )

    def following(self, link: str | None) -> tuple[MailboxEnumerate, ...]:
        """Return the message for the next page, or for the next stage after the last. Raises LinkLoop, GraphError."""
        if link is None:
            place = paging.after(self.place, self.org.policy.scope)
            return () if place is None else (self.message(place),)
        if len(link) > LONGEST_CURSOR:
            raise GraphError(status=200, code="link_too_long")
        return (self.message(paging.advance(self.place, self.cursor, link), link),)
