"""Pure: what an admin is told of a mailbox's bucket and reason: the texts' keys for every word that there can be.

It refuses to leave a word without advice: what is not known falls back on what the bucket means.
"""

from typing import Final

from msgspec import Struct

from services.authorizer.console.texts_advice import TEXTS
from shared.contracts.values import Bucket

_CODE: Final = "error"  # the beginning of Exchange's own response codes, in lower case
_LDAP: Final = "ldap_"


class Advice(Struct, frozen=True, kw_only=True):
    """The keys of a title and of what to do. `word`: the reason itself is shown, for it has no title of its own."""

    title: str
    advice: str
    word: bool = False


def advise(bucket: Bucket | str, reason: str) -> Advice:
    """Return what is told of a mailbox in a bucket for a reason; of one that waits the reason alone matters."""
    there = Bucket(bucket)
    if not reason:
        return Advice(title=f"bucket.{there.value}", advice=f"advice.bucket.{there.value}")
    known = f"advice.{reason}" in TEXTS and reason != "bucket"
    title = f"reason.{reason}" if f"reason.{reason}" in TEXTS else ""
    if known:
        return Advice(title=title or f"bucket.{there.value}", advice=f"advice.{reason}", word=not title)
    if reason.startswith(_CODE):
        return Advice(title="reason.exchange", advice="advice.exchange", word=True)
    if reason.startswith(_LDAP):
        return Advice(title=f"bucket.{there.value}", advice="advice.ldap", word=True)
    return Advice(title=f"bucket.{there.value}", advice=f"advice.bucket.{there.value}", word=True)


def outcome(reason: str) -> str:
    """Return the key of what is told of a test that failed for a reason."""
    return f"tried.{reason}" if f"tried.{reason}" in TEXTS else "tried.unknown"
