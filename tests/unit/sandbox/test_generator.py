"""That generated events are the same for the same seed, mixed, and placed where they should be."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from deploy.sandbox import generator, rendering
from deploy.sandbox.generator import AHEAD, BACK, Plan, items
from shared.contracts.values import DAY

TODAY = 1_794_960_000
PLAN = Plan(seed=1, tenant=1, number=7, events=400, today=TODAY)
BLANK = {
    "subject": "", "body": "", "location": "", "categories": (), "organizer": None, "attendees": (), "join_url": "",
}  # fmt: skip

plans = st.builds(
    Plan,
    seed=st.integers(0, 9),
    tenant=st.integers(1, 3),
    number=st.integers(1, 9999),
    events=st.integers(0, 120),
    today=st.integers(0, 40_000).map(lambda day: day * DAY),
    offset=st.sampled_from((-28_800, 0, 19_800, 36_000)),
)


@settings(max_examples=30, deadline=None)
@given(plans)
def test_the_same_plan_gives_the_same_bytes(plan: Plan) -> None:
    written = [rendering.fragments(items(plan), rendering.PROPERTIES, rendering.View()) for _ in range(2)]
    assert written[0] == written[1]
    assert len(written[0]) == plan.events


@settings(max_examples=30, deadline=None)
@given(plans)
def test_private_fields_do_not_change_anything_else(plan: Plan) -> None:
    assert [replace(item, **BLANK) for item in items(plan)] == items(plan, private=False)


@settings(max_examples=30, deadline=None)
@given(plans)
def test_events_lie_in_the_span_and_have_ids_of_their_own(plan: Plan) -> None:
    found = items(plan)
    assert len({item.item_id for item in found}) == plan.events
    assert [item.start for item in found] == sorted(item.start for item in found)
    # a weekend's events go to Monday, a series begins on the Monday before, a zone shifts by up to a day
    low, high = plan.today - (BACK + 8) * DAY, plan.today + (AHEAD + 9) * DAY
    assert all(low <= item.start <= item.end <= high for item in found)


def test_another_seed_or_mailbox_has_other_events() -> None:
    other = [replace(PLAN, seed=2), replace(PLAN, number=8), replace(PLAN, tenant=2)]
    assert all(items(plan) != items(PLAN) for plan in other)


def test_every_sort_of_event_occurs() -> None:
    found = items(PLAN)
    assert {item.show_as for item in found} >= {"free", "tentative", "busy", "oof", "workingElsewhere", "unknown"}
    assert {item.sensitivity for item in found} == {"normal", "personal", "private", "confidential"}
    assert {item.type for item in found} == {"singleInstance", "occurrence", "exception"}
    assert any(item.all_day for item in found)
    assert any(item.cancelled for item in found)
    assert any(item.start == item.end for item in found)
    assert any(item.response == "declined" for item in found)


def test_all_day_events_are_midnights_of_dates() -> None:
    found = [item for item in items(replace(PLAN, offset=19_800)) if item.all_day]
    assert found
    assert all(item.start % DAY == item.end % DAY == 0 < item.end - item.start for item in found)


def test_a_series_repeats_by_the_week() -> None:
    series: dict[str, list[generator.Item]] = {}
    for item in items(PLAN):
        if item.series_id:
            series.setdefault(item.series_id, []).append(item)
    for found in series.values():
        plain = [item.start for item in found if item.type == "occurrence"]
        assert len(found) == generator.SERIES_LENGTH
        assert all((start - plain[0]) % (7 * DAY) == 0 for start in plain)
