import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.paging import LinkLoop, Place, advance, after, first, parse
from shared.contracts.policy import Scope
from shared.errors import Reject


def walk(scope: Scope) -> list[tuple[str, int]]:
    place: Place | None = first(scope)
    seen = []
    while place is not None:
        seen.append((place.stage, place.group))
        place = after(place, scope)
    return seen


def test_stages_follow_the_scope() -> None:
    assert walk(Scope()) == [("users", 0), ("rooms", 0), ("sweep", 0)]
    assert walk(Scope(rooms=False)) == [("users", 0), ("sweep", 0)]
    assert walk(Scope(groups=("a", "b"), rooms=False)) == [("groups", 0), ("groups", 1), ("users", 0), ("sweep", 0)]


@given(st.sampled_from(["groups", "users", "rooms", "sweep"]), st.integers(0, 99), st.integers(0, 10**6), st.just("ab"))
def test_a_place_survives_the_journey(stage: str, group: int, page: int, mark: str) -> None:
    place = Place(stage=stage, group=group, page=page, mark=mark)
    assert parse(str(place)) == place
    assert len(str(place)) <= 256


@pytest.mark.parametrize("text", ["", "people", "users:x:1:", "users:1:x:", ":::"])
def test_a_place_nobody_knows_is_refused(text: str) -> None:
    with pytest.raises(Reject):
        parse(text)


@given(st.integers(0, 40), st.integers(1, 40))
def test_a_circle_of_any_length_is_noticed_before_its_third_round(lead: int, circle: int) -> None:
    numbers = [*range(lead), *(lead + step % circle for step in range(3 * (lead + circle) + 2))]
    with pytest.raises(LinkLoop):
        walk_links([f"link{number}" for number in numbers])


def walk_links(links: list[str]) -> Place:
    place, cursor = Place(stage="users"), ""
    for link in links:
        place, cursor = advance(place, cursor, link), link
    return place


@given(st.integers(1, 300))
def test_a_straight_way_is_never_a_circle(length: int) -> None:
    assert walk_links([f"link{number}" for number in range(length)]).page == length


def test_an_exchange_organisation_is_gathered_in_one_stage_and_then_swept() -> None:
    place = first(Scope(groups=("group@example.org",), rooms=True), exchange=True)
    assert (place.stage, parse(str(place))) == ("exchange", place)
    swept = after(place, Scope())
    assert swept == Place(stage="sweep")
    assert after(swept, Scope()) is None
