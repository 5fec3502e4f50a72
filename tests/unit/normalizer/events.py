"""Events, policies and snapshots for the normalizer's tests."""

from hypothesis import strategies as st

from shared.contracts.messages import CalendarSnapshot, RawDetails, RawEvent
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import DAY, Block, Instant, Mailbox, Status, Window

MONDAY = 1_767_571_200  # 2026-01-05T00:00:00Z
WINDOW = Window(MONDAY, MONDAY + 7 * DAY)
DETAILS = Policy(detail=Detail.DETAILS)
HOUR = 3600


def details(mark: str) -> RawDetails:
    """Return details with a mark in every field."""
    return RawDetails(
        event_id=f"{mark}-id",
        subject=f"{mark} subject",
        organizer=f"{mark} organizer",
        attendees=(f"{mark} attendee one", f"{mark} attendee two"),
        location=f"{mark} location",
        preview=f"{mark} preview",
        join_url=f"https://meet.example/{mark}",
    )


def timed(start: Instant, end: Instant, show_as: str = "busy", **rest: object) -> RawEvent:
    """Return a timed event, given in seconds after Monday."""
    return RawEvent(MONDAY + start, MONDAY + end, show_as, **rest)  # type: ignore[arg-type]


def reading(
    *events: RawEvent, policy: Policy | None = None, window: Window = WINDOW, time_zone: str = ""
) -> CalendarSnapshot:
    """Return a raw snapshot of one mailbox."""
    return CalendarSnapshot(
        org_id="acme",
        generation=1,
        mailbox=Mailbox(mailbox_id="m-0001", address="person.0001@example.com", time_zone=time_zone),
        version=7,
        window=window,
        as_of=MONDAY,
        policy=policy or Policy(),
        events=events,
    )


def blocks(first: int = -30, last: int = 130) -> st.SearchStrategy[Block]:
    """Return blocks within a small range of seconds, some empty, some turned round."""
    instant = st.integers(first, last)
    return st.builds(Block, instant, instant, st.sampled_from(Status))


words = st.sampled_from(["free", "tentative", "busy", "oof", "workingElsewhere", "unknown", "", "somethingNew"])
sensitivities = st.sampled_from(["normal", "personal", "private", "confidential", "", "somethingNew"])


def raw_events(mark: str = "x") -> st.SearchStrategy[RawEvent]:
    """Return events of every sort, with or without details."""
    hours = st.integers(-48, 8 * 24)
    return st.builds(
        lambda start, length, **rest: timed(start * HOUR, (start + length) * HOUR, **rest),
        hours,
        st.integers(-2, 30),
        show_as=words,
        sensitivity=sensitivities,
        all_day=st.booleans(),
        cancelled=st.booleans(),
        response=st.sampled_from(["", "none", "organizer", "accepted", "tentativelyAccepted", "declined"]),
        details=st.one_of(st.none(), st.just(details(mark))),
    )


policies = st.builds(
    Policy,
    detail=st.sampled_from(Detail),
    show_free=st.booleans(),
    conferencing=st.booleans(),
    tentative=st.sampled_from(Status),
    oof=st.sampled_from(Status),
    elsewhere=st.sampled_from(Status),
)
