"""One frozen struct per message of the pipeline, named for the fact it states or the job it asks for.

A new optional field keeps the version; any other change is a new class beside the old one (decision 0003).
Nothing here holds a secret. Only `AvailabilitySnapshot` and what the publisher makes of it is public.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from shared.contracts.policy import Policy
from shared.contracts.values import (
    Address,
    Block,
    Bucket,
    Generation,
    Instant,
    Mailbox,
    MailboxId,
    OrgId,
    Reason,
    Version,
    Window,
)

Text = Annotated[str, Meta(max_length=4096)]
Actor = Annotated[str, Meta(min_length=1, max_length=320, description="Who did it: a platform's user, an operator.")]
PurgeId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$", description="One disconnection of one org.")]
EWS_URL = r"^$|^https?://[0-9A-Za-z.:\[\]-]{1,260}(/[!-~]{0,512})?$"  # no user, no fragment hides in the host
Scheme = Literal["", "basic", "ntlm", "oauth"]
Purged = Literal["fetcher", "normalizer", "publisher"]  # the services that hold something of an org, or pass it on


class Message(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every message of the pipeline carries: the org it belongs to."""

    org_id: OrgId


class GraphConnection(Struct, frozen=True, kw_only=True, tag="graph", tag_field="kind"):
    """How a Microsoft 365 organisation is reached. `credential` names a sealed credential; it is never one itself."""

    tenant_id: Annotated[str, Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z.-]{0,252}$")]
    credential: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] = "default"
    cloud: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] = "global"


class LdapSource(Struct, frozen=True, kw_only=True, tag="ldap", tag_field="kind"):
    """Active Directory, read over TLS: ldaps://, or ldap:// with StartTLS. `group` (a DN) keeps to its members."""

    url: Annotated[str, Meta(pattern=r"^ldaps?://[0-9A-Za-z.:\[\]-]{1,260}$")]
    base: Annotated[str, Meta(min_length=1, max_length=1024, description="Where the search begins: a DN.")]
    group: Annotated[str, Meta(max_length=1024)] = ""


class GroupSource(Struct, frozen=True, kw_only=True, tag="group", tag_field="kind"):
    """The members of a distribution group, and of the groups in it, as Exchange expands them."""

    address: Address


class RoomListsSource(Struct, frozen=True, kw_only=True, tag="rooms", tag_field="kind"):
    """The rooms of every room list that Exchange has."""


class ListSource(Struct, frozen=True, kw_only=True, tag="list", tag_field="kind"):
    """Addresses that the admin gave."""

    addresses: Annotated[tuple[Address, ...], Meta(min_length=1, max_length=50_000)]


Source = LdapSource | GroupSource | RoomListsSource | ListSource


class EwsConnection(Struct, frozen=True, kw_only=True, tag="ews", tag_field="kind"):
    """How an Exchange server is reached: a service account with the right to impersonate, through EWS.

    `url` is where the admin says it is, empty where autodiscover shall find it; `auth` is how to sign in, empty for
    what the server offers. What verification settled stands in `endpoint` and `scheme`: the authorizer alone writes
    them. `member` is an ordinary mailbox that is read to verify, `outsider` one that must be refused. With OAuth
    `tenant_id` in `cloud` issues the tokens, for `resource` (empty: Exchange Online; a hybrid server's own address).
    """

    member: Address
    directory: Annotated[tuple[Source, ...], Meta(min_length=1, max_length=16)]
    url: Annotated[str, Meta(pattern=EWS_URL)] = ""
    auth: Scheme = ""
    outsider: Annotated[str, Meta(max_length=320)] = ""
    credential: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] = "default"
    tenant_id: Annotated[str, Meta(pattern=r"^$|^[0-9A-Za-z][0-9A-Za-z.-]{0,252}$")] = ""
    cloud: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] = "global"
    resource: Annotated[str, Meta(pattern=r"^$|^https://[0-9A-Za-z.:-]{1,260}/?$")] = ""
    endpoint: Annotated[str, Meta(pattern=EWS_URL)] = ""
    scheme: Scheme = ""


Connection = GraphConnection | EwsConnection


class OrgConnected(Message, frozen=True, kw_only=True, tag="org.connected.v1"):
    """The platform says: this organisation connected its calendars, under this policy."""

    connection: Connection
    policy: Policy = Policy()
    actor: Actor = "platform"


class PolicyChanged(Message, frozen=True, kw_only=True, tag="policy.changed.v1"):
    """The platform says: this organisation, connected before, allows something else from now on."""

    policy: Policy
    actor: Actor = "platform"


class OrgDisconnected(Message, frozen=True, kw_only=True, tag="org.disconnected.v1"):
    """The platform says: this organisation left; nothing of it may remain."""

    actor: Actor = "platform"


class ConnectionDoubted(Message, frozen=True, kw_only=True, tag="connection.doubted.v1"):
    """The fetcher was turned away as the whole organisation is; the authorizer finds out whether it is so."""

    generation: Generation
    reason: Reason


class OrgPurge(Message, frozen=True, kw_only=True, tag="org.purge.v1"):
    """Delete all that `service` holds of an org, up to and with this generation, and what waits for it in its queues.

    Asked for again until it is answered; doing it twice deletes nothing more.
    """

    generation: Generation
    purge_id: PurgeId
    service: Purged


class OrgPurged(Message, frozen=True, kw_only=True, tag="org.purged.v1"):
    """One service says: nothing of the org is left here. `counts` says what this time went, by kind."""

    purge_id: PurgeId
    service: Purged
    counts: dict[Reason, Annotated[int, Meta(ge=0)]] = {}


class MailboxErase(Message, frozen=True, kw_only=True, tag="mailbox.erase.v1"):
    """Delete all that is held of one mailbox, tell consumers to, and never read it again; only its id is kept."""

    generation: Generation
    mailbox_id: MailboxId


class MailboxEnumerate(Message, frozen=True, kw_only=True, tag="mailbox.enumerate.v1"):
    """Find the org's mailboxes: one page of the directory a message; `stage` and `cursor` say where to go on.

    `run` names one whole enumeration; objects not seen by the end of it have left.
    """

    generation: Generation
    run: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
    stage: Annotated[str, Meta(max_length=256)] = ""
    cursor: Annotated[str, Meta(max_length=8192)] = ""


class MailboxRead(Message, frozen=True, kw_only=True, tag="mailbox.read.v1"):
    """Read one mailbox's window. A reading that started at or after `since` answers it already.

    `live` is a hint that something changed just now: it goes ahead of backfill, and since clocks of replicas differ,
    no earlier reading answers it. Readings of an Exchange organisation (`exchange`) share requests: but for hints they
    have a lane of their own.
    """

    generation: Generation
    mailbox_id: MailboxId
    since: Instant
    live: bool = False
    exchange: bool = False


class RawDetails(Struct, frozen=True, array_like=True):
    """What the fetcher asks for beyond times, only under the details policy."""

    event_id: str
    subject: str
    organizer: str
    attendees: tuple[str, ...]
    location: str
    preview: str
    join_url: str


class RawEvent(Struct, frozen=True, array_like=True):
    """One instance as Microsoft gave it: words unjudged, only times parsed.

    A timed event has UTC seconds. An all-day event (`all_day`) has the midnights of its dates written as if in UTC,
    because Graph prints them so whatever zone they are in; the mailbox's zone places them. EWS gives the instants of
    an all-day event: such a one is `placed` already.
    """

    start: Instant
    end: Instant
    show_as: str
    sensitivity: str = "normal"
    all_day: bool = False
    cancelled: bool = False
    response: str = ""
    details: RawDetails | None = None
    placed: bool = False


class CalendarSnapshot(Message, frozen=True, kw_only=True, tag="calendar.snapshot.v1"):
    """One complete reading of one mailbox, not yet fit for anyone to see. `as_of` is when the reading started."""

    generation: Generation
    mailbox: Mailbox
    version: Version
    window: Window
    as_of: Instant
    policy: Policy
    events: tuple[RawEvent, ...]
    live: bool = False


class PublicEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the world may know of one event under the details policy; a private one shows only when and how."""

    start: Instant
    end: Instant
    status: str
    all_day: bool = False
    private: bool = False
    event_id: Text = ""
    subject: Text = ""
    organizer: Text = ""
    attendees: tuple[Text, ...] = ()
    location: Text = ""
    preview: Text = ""
    join_url: Text = ""
    provider: Text = ""


class AvailabilitySnapshot(Message, frozen=True, kw_only=True, tag="availability.snapshot.v1"):
    """What the world may know of one reading: `blocks` sorted, not overlapping, touching ones of one status joined.

    `time_zone` is an IANA name ("UTC" where the mailbox's is not known). `events` is None under free/busy only.
    """

    generation: Generation
    mailbox: Mailbox
    version: Version
    window: Window
    as_of: Instant
    time_zone: str
    blocks: tuple[Block, ...]
    events: tuple[PublicEvent, ...] | None = None
    live: bool = False


class MailboxUnreadable(Message, frozen=True, kw_only=True, tag="mailbox.unreadable.v1"):
    """A mailbox cannot or must not be read (any more): what was published of it no longer holds."""

    generation: Generation
    mailbox: Mailbox
    version: Version
    as_of: Instant
    bucket: Bucket
    reason: Reason


PipelineMessage = (
    OrgConnected
    | PolicyChanged
    | OrgDisconnected
    | ConnectionDoubted
    | OrgPurge
    | OrgPurged
    | MailboxErase
    | MailboxEnumerate
    | MailboxRead
    | CalendarSnapshot
    | AvailabilitySnapshot
    | MailboxUnreadable
)
