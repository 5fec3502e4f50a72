"""Decides what the world may know of an event: how it counts, and under the details policy which fields are shown.

Public values are built field by field; it refuses to copy an event, so tomorrow's new field is private by default.
"""

import re

from services.normalizer.conferencing import provider
from shared.contracts.messages import PublicEvent, RawDetails, RawEvent
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import Instant, Status

LONGEST = 1024  # characters of a name or a subject
LONGEST_PREVIEW = 4096
MOST_ATTENDEES = 500  # Exchange takes no more recipients on one message

_SHOWABLE = frozenset({"normal", "personal"})  # any other word, known or not, hides the details
_LINKS = re.compile(r"[^\s<>()\[\]\"']*://[^\s<>()\[\]\"']*")
_NOTHING = RawDetails("", "", "", (), "", "", "")
_PLAIN = {"free": Status.FREE, "busy": Status.BUSY, "unknown": Status.UNKNOWN}


def status_of(event: RawEvent, policy: Policy) -> Status | None:
    """Return how an event counts, or None where it takes no time.

    `show_as` already contains the person's answer and is trusted; only a cancelled or declined event is overruled.
    A word not known is busy: unknown is never shown as free.
    """
    if event.cancelled or event.response == "declined" or event.end <= event.start:
        return None
    status = _mapped(event.show_as, policy)
    return None if status is Status.FREE and not policy.show_free else status


def _mapped(word: str, policy: Policy) -> Status:
    match word:
        case "tentative":
            return policy.tentative
        case "oof":
            return policy.oof
        case "workingElsewhere":
            return policy.elsewhere
        case _:
            return _PLAIN.get(word, Status.BUSY)


def public_view(
    event: RawEvent, status: Status, *, span: tuple[Instant, Instant], policy: Policy
) -> PublicEvent | None:
    """Return what may be shown of an event that counts as `status` and lies at `span`; None under free/busy only.

    A private or confidential event shows when and how, and no id: an id can be linked to other people's copies.
    """
    if policy.detail is not Detail.DETAILS:
        return None
    start, end = span
    if event.sensitivity not in _SHOWABLE:
        return PublicEvent(start=start, end=end, status=status.value, all_day=event.all_day, private=True)
    return _detailed(event, status, span=span, policy=policy)


def _detailed(event: RawEvent, status: Status, *, span: tuple[Instant, Instant], policy: Policy) -> PublicEvent:
    details = event.details or _NOTHING
    join_url = _link(details.join_url) if policy.conferencing else ""
    start, end = span
    return PublicEvent(
        start=start,
        end=end,
        status=status.value,
        all_day=event.all_day,
        event_id=_whole(details.event_id),
        subject=_text(details.subject, LONGEST, policy),
        organizer=details.organizer[:LONGEST],
        attendees=tuple(attendee[:LONGEST] for attendee in details.attendees[:MOST_ATTENDEES]),
        location=_text(details.location, LONGEST, policy),
        preview=_text(details.preview, LONGEST_PREVIEW, policy),
        join_url=join_url,
        provider=provider(join_url),
    )


def _text(text: str, longest: int, policy: Policy) -> str:
    """Return a free text at most `longest` characters long; without conferencing no link in it is shown.

    Invitations repeat the link to join by in their body and their location.
    """
    return (_LINKS.sub("", text) if "://" in text and not policy.conferencing else text)[:longest]


def _whole(text: str) -> str:
    """Return a text that means nothing when cut, or nothing."""
    return text if len(text) <= LONGEST else ""


def _link(url: str) -> str:
    """Return a link to join by; anything but https is not one."""
    return url if url.startswith("https://") and len(url) <= LONGEST_PREVIEW else ""
