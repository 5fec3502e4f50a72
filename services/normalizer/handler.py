"""A raw snapshot in, a public snapshot out: pure, so that redelivery repeats the same answer."""

from collections.abc import Iterator

from services.normalizer.hours import public_hours
from services.normalizer.instants import name_of, place, zone_of
from services.normalizer.merge import merge
from services.normalizer.privacy import public_view, status_of
from shared import logs
from shared.broker import Delivery, Done
from shared.contracts.messages import AvailabilitySnapshot, CalendarSnapshot, Message, PublicEvent
from shared.contracts.policy import Detail
from shared.contracts.values import Block, Mailbox
from shared.errors import Reject


async def handle(message: Message, _: Delivery) -> Done:
    """Reduce one `calendar.snapshot` to one `availability.snapshot`. Raises Reject for any other message."""
    if not isinstance(message, CalendarSnapshot):
        raise Reject("unexpected_type")
    if malformed := sum(event.end < event.start for event in message.events):
        logs.get("normalizer").warning(
            "events.skipped", reason="ends_before_start", count=malformed, org_id=message.org_id
        )
    return Done(messages=(normalize(message),))


def normalize(snapshot: CalendarSnapshot) -> AvailabilitySnapshot:
    """Return what the world may know of a reading under the policy it carries."""
    zone = zone_of(snapshot.mailbox.time_zone)
    seen = tuple(_seen(snapshot))
    shown = sorted((event for _, event in seen if event is not None), key=_order)
    mailbox = snapshot.mailbox
    return AvailabilitySnapshot(
        org_id=snapshot.org_id,
        generation=snapshot.generation,
        mailbox=Mailbox(
            mailbox_id=mailbox.mailbox_id,
            address=mailbox.address,
            kind=mailbox.kind,
            time_zone=name_of(zone),
            working_hours=public_hours(mailbox.working_hours),
        ),
        version=snapshot.version,
        window=snapshot.window,
        as_of=snapshot.as_of,
        time_zone=name_of(zone),
        blocks=merge((block for block, _ in seen), snapshot.window),
        events=tuple(shown) if snapshot.policy.detail is Detail.DETAILS else None,
        live=snapshot.live,
    )


def _seen(snapshot: CalendarSnapshot) -> Iterator[tuple[Block, PublicEvent | None]]:
    """Yield the events that take time within the window, each as its block and what may be shown of it."""
    zone, window, policy = zone_of(snapshot.mailbox.time_zone), snapshot.window, snapshot.policy
    for event in snapshot.events:
        status = status_of(event, policy)
        if status is None:
            continue
        span = place(event, zone)
        if span[0] < window.end and span[1] > window.start and span[0] < span[1]:
            yield Block(*span, status), public_view(event, status, span=span, policy=policy)


def _order(event: PublicEvent) -> tuple[int, int, str, str, str]:
    return event.start, event.end, event.status, event.event_id, event.subject
