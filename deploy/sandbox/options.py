"""What a sandbox is started with: how many people, how many events, where its papers lie, how slowly it answers."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

ROLES = (
    "Calendars.Read",
    "GroupMember.Read.All",
    "MailboxSettings.Read",
    "Organization.Read.All",
    "Place.Read.All",
    "User.Read.All",
)


class SandboxOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of one sandbox; the same options and seed give the same directory and the same events."""

    folder: Annotated[
        Path, Meta(description="Where the CA, the certificate and the client secret lie; made if absent.")
    ]
    mailboxes: Annotated[int, Meta(ge=0, le=1_000_000, description="Readable mailboxes per tenant.")] = 25
    events: Annotated[int, Meta(ge=0, le=100_000, description="Events per mailbox in the default window.")] = 40
    seed: Annotated[int, Meta(description="The same seed gives the same people and events.")] = 1
    others: Annotated[bool, Meta(description="Whether guests, unlicensed, on-premises and denied users exist too.")] = (
        True
    )
    calendars: Annotated[Path | None, Meta(description="A folder of .ics files: each is one mailbox.")] = None
    canaries: Annotated[bool, Meta(description="Whether every private field carries a string that must not leak.")] = (
        False
    )
    tenants: Annotated[int, Meta(ge=1, le=1000, description="Tenants, each with its own people.")] = 1
    host: Annotated[str, Meta(description="The address listened on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="The port listened on; 0 takes a free one.")] = 0
    names: Annotated[tuple[str, ...], Meta(description="Further host names in the certificate.")] = ()
    latency: Annotated[float, Meta(ge=0, le=60, description="Seconds added to each Graph and EWS request.")] = 0.0
    concurrency: Annotated[int, Meta(ge=0, description="Requests in flight per mailbox before 429; 0: no limit.")] = 4
    token_lifetime: Annotated[int, Meta(ge=1, le=86_400, description="Seconds an access token lives.")] = 3599
    roles: Annotated[tuple[str, ...], Meta(description="Application permissions granted at the start.")] = ROLES
    redirect_uris: Annotated[tuple[str, ...], Meta(description="Registered redirect addresses; none: any.")] = ()
    interactive: Annotated[bool, Meta(description="Whether consent is asked of a person, on a page of its own.")] = (
        False
    )
    client_secret: Annotated[str, Meta(description="The app's secret; empty: made once and kept in the folder.")] = ""
    cache_bytes: Annotated[int, Meta(ge=0, description="Bytes of serialised events kept in memory.")] = 128 * 2**20
    notification_delay: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds between a change and its notifications.")
    ] = 0.0
    notification_pause_scale: Annotated[
        float, Meta(gt=0, le=1, description="What the pauses before a notification is sent again are multiplied by.")
    ] = 1.0
    notification_ca: Annotated[
        Path | None, Meta(description="A CA trusted at notification addresses, besides the system's and the sandbox's.")
    ] = None
    ews_schemes: Annotated[tuple[str, ...], Meta(description="How one signs in to EWS: basic, ntlm, oauth.")] = (
        "basic",
        "ntlm",
        "oauth",
    )
    ews_without: Annotated[tuple[str, ...], Meta(description="EWS operations this server lacks.")] = ()
    ews_fault_status: Annotated[int, Meta(description="The HTTP status of SOAP faults: 500, elsewhere 200.")] = 500
    ews_minute: Annotated[float, Meta(gt=0, le=60, description="Seconds a minute of streaming lasts.")] = 60.0
    ews_password: Annotated[
        str, Meta(description="The service account's password; empty: made once and kept in the folder.")
    ] = ""
    ews_days: Annotated[int, Meta(ge=1, le=3650, description="Days of the longest free/busy window EWS allows.")] = 42
    ews_items: Annotated[int, Meta(ge=1, le=100_000, description="Items a calendar view of EWS holds at most.")] = 1000
    ews_mailboxes: Annotated[int, Meta(ge=1, le=1000, description="Mailboxes a free/busy request may name.")] = 100
    now: Annotated[int | None, Meta(description="The instant events are generated around; none: the clock's.")] = None
