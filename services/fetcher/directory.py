"""Decides which one bucket a directory object is in, and what follows for a mailbox that was known before.

It refuses to judge by licence or by a disabled account: shared mailboxes, rooms and equipment have neither licence nor
an enabled account, so only a call to the mailbox decides.
"""

import re
from typing import Final

from msgspec import Raw, Struct
from msgspec.structs import replace

from shared.contracts.policy import Scope
from shared.contracts.values import Bucket, Generation, Kind, WorkingHours

# What a Graph call says about a mailbox that is not there; the words are compared in lower case.
NO_MAILBOX: Final = frozenset(
    {
        "mailboxnotenabledforrestapi", "mailboxnotsupportedforrestapi", "errornonexistentmailbox", "errorinvaliduser",
        "resourcenotfound", "request_resourcenotfound",
    }
)  # fmt: skip
ON_PREMISES: Final = frozenset({"mailboxnothostedinexchangeonline", "extensionerror"})

# Buckets of which consumers hold something: availability, or that it is unknown.
PUBLISHED: Final = frozenset({Bucket.ACTIVE, Bucket.FAILING, Bucket.DENIED})
# Buckets that a reading may have put a mailbox in, and that only a good reading ends.
TRIED: Final = frozenset({Bucket.FAILING, Bucket.DENIED, Bucket.NO_MAILBOX, Bucket.ON_PREMISES})
# Reasons that the policy gives: under a new one, whoever they strike goes at once, however many.
BY_POLICY: Final = frozenset({"excluded_by_list", "outside_scope_groups", "rooms_excluded"})
ERASED: Final = "erased"  # the reason of a mailbox of which only the id is kept, and that is never read again

_KINDS: Final = {
    "user": Kind.USER,
    "linked": Kind.USER,
    "shared": Kind.SHARED,
    "room": Kind.ROOM,
    "equipment": Kind.EQUIPMENT,
}
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_ADDRESS: Final = re.compile(r"^[^\s@]+@[^\s@]+$")


class DirectoryUser(Struct, frozen=True, rename="camel"):
    """A user object with the least that classification needs."""

    id: str
    mail: str | None = None
    user_principal_name: str | None = None
    user_type: str | None = None
    on_premises_sync_enabled: bool | None = None


class MailboxSettings(Struct, frozen=True, rename="camel"):
    """What a mailbox says of itself; the rest of its settings is not asked for."""

    time_zone: str | None = None
    user_purpose: str | None = None
    working_hours: Raw = Raw()  # as it came: whatever is odd in it spoils nothing else


class Answer(Struct, frozen=True, kw_only=True):
    """What asking a mailbox came to: an HTTP status, Graph's error code, or the settings. Status 0: no answer.

    `working_hours` are those among the settings, None where they are not known.
    """

    status: int = 0
    code: str = ""
    settings: MailboxSettings | None = None
    working_hours: WorkingHours | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """The one bucket of a directory object. `reason` is a fixed word, None for an active one; `address` lower case.

    `kind` None, `time_zone` "" and `working_hours` None were not learned this time.
    """

    mailbox_id: str
    address: str
    bucket: Bucket
    reason: str | None = None
    kind: Kind | None = None
    time_zone: str = ""
    working_hours: WorkingHours | None = None


class Known(Struct, frozen=True, kw_only=True):
    """What was known of a mailbox before this page. `leaving`: it is marked for the sweep, which has not removed it."""

    bucket: Bucket
    reason: str | None
    generation: Generation
    read_generation: Generation | None
    version: int = 0
    scope_run: str | None = None
    address: str = ""
    kind: Kind = Kind.USER
    time_zone: str = ""
    working_hours: WorkingHours | None = None
    leaving: bool = False


class Step(Struct, frozen=True, kw_only=True):
    """What follows from a verdict: what to remember, whether to read the mailbox (`read`).

    One that consumers know of goes at once (`gone`), or once the sweep may remove it (`leaving`).
    """

    verdict: Verdict
    read: bool = False
    gone: bool = False
    leaving: bool = False


def before_asking(
    user: DirectoryUser, scope: Scope, *, in_group: bool, names: frozenset[str] = frozenset()
) -> Verdict | None:
    """Return the verdict that the directory alone allows, or None where only a call to the mailbox decides.

    `names` are further names that the lists of the policy may call it by, in lower case.
    """
    address = address_of(user)
    names = (names | {address, (user.user_principal_name or "").lower()}) - {""}
    reason, bucket = None, Bucket.EXCLUDED
    if not address:
        reason, bucket = "no_address", Bucket.NO_MAILBOX
    elif (user.user_type or "").lower() == "guest":
        reason, bucket = "guest", Bucket.GUEST
    elif names & _lower(scope.exclude):
        reason = "excluded_by_list"
    elif scope.groups and not in_group and not names & _lower(scope.include):
        reason = "outside_scope_groups"
    if reason is None:
        return None
    return Verdict(mailbox_id=user.id, address=address, bucket=bucket, reason=reason)


def after_asking(user: DirectoryUser, scope: Scope, answer: Answer) -> Verdict:
    """Return the verdict once the mailbox was asked; what the answer leaves open is active, the reading decides."""
    kind, zone = None, ""
    if answer.settings is not None:
        kind = _kind(answer.settings.user_purpose)
        zone = (answer.settings.time_zone or "")[:128]
    bucket, reason = _judge(answer)
    if bucket is Bucket.NO_MAILBOX and user.on_premises_sync_enabled:
        bucket, reason = Bucket.ON_PREMISES, "hosted_on_premises"  # it has an address, and its home is elsewhere
    if kind in (Kind.ROOM, Kind.EQUIPMENT) and not scope.rooms:
        bucket, reason = Bucket.EXCLUDED, "rooms_excluded"
    return Verdict(
        mailbox_id=user.id,
        address=address_of(user),
        bucket=bucket,
        reason=reason,
        kind=kind,
        time_zone=zone,
        working_hours=answer.working_hours,
    )


def _judge(answer: Answer) -> tuple[Bucket, str | None]:
    code = answer.code.lower()
    if answer.status in (403, 404) and code in ON_PREMISES:
        return Bucket.ON_PREMISES, "hosted_on_premises"
    if answer.status == 404:
        return Bucket.NO_MAILBOX, "no_mailbox"
    if answer.status == 403:
        return Bucket.DENIED, "access_denied"
    return Bucket.ACTIVE, None


def follow(verdict: Verdict, known: Known | None, generation: Generation) -> Step:
    """Return what follows for a mailbox.

    A new one, one that comes back, one not yet read under this generation, and one that changed its address, kind, time
    zone or working hours is read. One that leaves waits for the sweep, unless a new policy shuts it out.
    """
    if known is None:
        return Step(verdict=verdict, read=verdict.bucket is Bucket.ACTIVE)
    verdict = replace(verdict, kind=verdict.kind or known.kind)
    held = is_held(known.bucket, known.version)
    if verdict.bucket is Bucket.ACTIVE or (verdict.bucket is Bucket.DENIED and held):
        return _stay(verdict, known, generation)
    if not held:
        return Step(verdict=verdict)
    by_policy = known.generation < generation and verdict.reason in BY_POLICY
    return Step(verdict=verdict, gone=by_policy, leaving=not by_policy)


def _stay(verdict: Verdict, known: Known, generation: Generation) -> Step:
    """Return what follows for a mailbox that may be read.

    Only a reading decides about one that a reading found unreadable, or that refuses to tell its settings now.
    """
    denied = verdict.bucket is Bucket.DENIED  # a mailbox may be closed for its settings and open for its calendar
    read = denied or known.leaving or known.bucket is not Bucket.ACTIVE or known.read_generation != generation
    read = read or _changed(verdict, known)
    if denied or known.bucket in TRIED:
        verdict = replace(verdict, bucket=known.bucket, reason=known.reason)
    return Step(verdict=verdict, read=read)


def _changed(verdict: Verdict, known: Known) -> bool:
    zone, hours = verdict.time_zone or known.time_zone, verdict.working_hours or known.working_hours
    present = (verdict.address, verdict.kind, zone, hours)
    return present != (known.address, known.kind, known.time_zone, known.working_hours)


def is_held(bucket: Bucket, version: int) -> bool:
    """Say whether consumers may hold something of a mailbox: one that was never let in was never told of."""
    return bucket is Bucket.ACTIVE or (bucket in PUBLISHED and version > 0)


def address_of(user: DirectoryUser) -> str:
    """Return the object's mail, else its sign-in name, in lower case; "" where no message could carry either."""
    for name in (user.mail, user.user_principal_name):
        address = (name or "").strip().lower()
        if 3 <= len(address) <= 320 and _ADDRESS.match(address):
            return address
    return ""


def names_a_mailbox(directory_id: str) -> bool:
    """Say whether an object's id can name a mailbox in messages; ids of the directory are GUIDs."""
    return _ID.fullmatch(directory_id) is not None


def _kind(purpose: str | None) -> Kind:
    return Kind.USER if purpose is None else _KINDS.get(purpose.lower(), Kind.OTHER)


def _lower(addresses: tuple[str, ...]) -> frozenset[str]:
    return frozenset(address.lower() for address in addresses)
