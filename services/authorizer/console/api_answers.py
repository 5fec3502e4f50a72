"""What the JSON API takes and gives: closed types, and no credential in any answer."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from services.authorizer.console.phases import Phase
from shared.contracts.messages import Source
from shared.contracts.policy import Policy
from shared.contracts.values import Bucket, Instant, MailboxId, OrgId

Moment = Annotated[Instant | None, Meta(description="UTC seconds; null where it is not known or not planned.")]
Word = Annotated[str, Meta(description="A fixed word; empty where there is nothing to say.")]


class Given(Struct, frozen=True, kw_only=True):
    """The mark of an answer."""


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mark of a body that is taken."""


class Reach(Given, frozen=True, kw_only=True):
    """How an org's calendars are reached; the name of a credential is not told."""

    kind: Literal["graph", "ews"]
    cloud: str
    tenant_id: str = ""
    server: Annotated[str, Meta(description="The Exchange server's address, as settled or as given.")] = ""
    scheme: Annotated[str, Meta(description="How its service account signs in.")] = ""
    member: str = ""
    outsider: str = ""
    directory: tuple[Source, ...] = ()


class ProgressTold(Given, frozen=True, kw_only=True):
    """How far reading is: `done` of `found` mailboxes. `searching`: more may be found. `per_minute` 0: not known."""

    searching: bool
    done: int
    found: int
    percent: int
    per_minute: int
    ends_at: Moment


class CauseTold(Given, frozen=True, kw_only=True):
    """So many mailboxes are in a bucket for a reason."""

    bucket: Bucket
    reason: Word
    count: int


class OrgStatus(Given, frozen=True, kw_only=True):
    """How an org stands. `reason` is a fixed word, `sentence` what its admin must do about it.

    `causes` count every object of the directory once; `waiting` those whose reading is to be tried again, by word.
    Where many mailboxes would go at once, `held` of `held_of` wait for an operator's word. `left` counts what is still
    to be deleted of an org that is leaving, by kind.
    """

    org_id: OrgId
    phase: Phase
    pending: Annotated[bool, Meta(description="A verification is still to come.")] = False
    generation: int = 0
    reason: Word = ""
    sentence: str = ""
    connection: Reach | None = None
    connected_at: Moment = None
    progress: ProgressTold | None = None
    causes: tuple[CauseTold, ...] = ()
    waiting: dict[str, int] = {}
    oldest_reading_at: Moment = None
    median_reading_at: Moment = None
    verify_at: Moment = None
    search_at: Moment = None
    held: int = 0
    held_of: int = 0
    left: dict[str, int] = {}


class MailboxTold(Given, frozen=True, kw_only=True):
    """A mailbox as it stands. `address` is empty of one that was erased."""

    mailbox_id: MailboxId
    address: str
    kind: str
    bucket: Bucket
    reason: Word
    waiting: Word
    read_at: Moment
    next_try: Moment
    subscribed_until: Moment
    failures: int


class MailboxesPage(Given, frozen=True, kw_only=True):
    """Mailboxes by address; `count` is of all that are of this sort, `after` the next page's parameter (null: none)."""

    mailboxes: tuple[MailboxTold, ...]
    count: int
    after: str | None


class PolicyInForce(Given, frozen=True, kw_only=True):
    """The policy of an org, and the generation it belongs to."""

    generation: int
    policy: Policy


class ChangeTold(Given, frozen=True, kw_only=True):
    """One member of a policy that differs (of the scope as `scope.groups`), as it is and as it would be."""

    field: str
    before: Any
    after: Any


class FigureTold(Given, frozen=True, kw_only=True):
    """How many: of what (`leave`, `join`, `open`, `read`, `shown`), and for which reason."""

    kind: Word
    word: Word
    count: int


class PolicyPreviewed(Given, frozen=True, kw_only=True):
    """What a policy would change. `stricter`: what is shown now is taken away at once, until it is read again.

    `unread` names what cannot be foreseen, because it was never read.
    """

    changes: tuple[ChangeTold, ...]
    stricter: bool
    figures: tuple[FigureTold, ...]
    unread: tuple[str, ...]


class Act(Given, frozen=True, kw_only=True):
    """One entry of the audit log: the `number`-th of the org's chain. `hash` seals it and all before it."""

    number: int
    at: Instant
    actor: str
    action: str
    details: dict[str, str | int | bool]
    previous: str
    hash: str


class AuditTold(Given, frozen=True, kw_only=True):
    """Entries, the newest first; `total` counts all. `broken` is the first that was tampered with (null: none)."""

    entries: tuple[Act, ...]
    total: int
    broken: int | None
    older: Annotated[int | None, Meta(description="The number of the next page; null on the last.")]


class ReceiptTold(Given, frozen=True, kw_only=True):
    """What was deleted of an org that left, by kind. `audit_hash` is of the entry that closes its audit log."""

    purge_id: str
    org_id: OrgId
    generation: int
    actor: str
    started_at: Instant
    ended_at: Instant
    counts: dict[str, int]
    audit_hash: str


class DisconnectAsked(Asked, frozen=True, kw_only=True):
    """The word to disconnect: the org's own id, so that nobody says it by mistake."""

    org_id: OrgId


class Disconnected(Given, frozen=True, kw_only=True):
    """A disconnection that has begun."""

    purge_id: str


class Reading(Given, frozen=True, kw_only=True):
    """How many mailboxes are being read now."""

    mailboxes: int


class MailboxTested(Given, frozen=True, kw_only=True):
    """What a real attempt to read a mailbox came to; `reason` says why it was not `read`, `sentence` what to do."""

    mailbox_id: MailboxId
    at: Instant
    read: bool
    reason: Word
    sentence: str
