"""What a consumer has on the broker: its own things, bound for its orgs and no others."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.rabbitmq.admission import is_word, owns, place, scope_on_broker, to_import
from deploy.rabbitmq.definitions import Consumer
from services.publisher.consumers import Known

ORGS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True)
CRM = Consumer(name="crm", password="secret-of-crm", orgs=("acme", "a-b"))


@given(st.sets(ORGS, min_size=1, max_size=5), ORGS, st.sampled_from(["#", "*", "box", "_", "box.#"]))
def test_a_key_may_be_bound_exactly_where_its_org_lies_in_scope(scope: set[str], org: str, rest: str) -> None:
    made = place(Consumer(name="crm", password="", orgs=tuple(scope)))
    assert made.may_bind(f"{org}.{rest}") is (org in scope)
    assert all(made.may_bind(key) for key in made.keys)
    assert not any(made.may_bind(key) for key in ("#", "*.box", "*.#", f".{org}.box", f"{org}x"))


def test_who_has_no_org_left_may_bind_nothing() -> None:
    made = place(Consumer(name="crm", password="", orgs=()))
    assert made.keys == ()
    assert not any(made.may_bind(key) for key in ("#", "acme.#", "x"))


def test_who_may_see_every_org_is_bound_for_every_key() -> None:
    made = place(Consumer(name="crm", password="", orgs=("*",)))
    assert made.keys == ("#",)
    assert made.may_bind("anything.#")


def test_what_is_to_be_imported_is_the_consumers_own_and_shows_no_password() -> None:
    page = json.loads(to_import([place(CRM)], "busyline"))
    assert b"secret-of-crm" not in to_import([place(CRM)], "busyline")
    assert [user["name"] for user in page["users"]] == ["consumer-crm"]
    assert [(queue["name"], queue["arguments"]) for queue in page["queues"]] == [
        ("consumer.crm.updates", {"x-queue-type": "quorum"})
    ]
    assert [(each["source"], each["routing_key"]) for each in page["bindings"]] == [
        ("availability", "acme.#"),
        ("availability", "a-b.#"),
    ]
    assert {row["vhost"] for name in page if name != "users" for row in page[name]} == {"busyline"}


@pytest.mark.parametrize(
    ("scope", "departed", "expected"),
    [
        (("acme",), {}, ("acme",)),
        (("acme",), {"gone": 10}, ("acme",)),  # announced
        (("acme",), {"going": 11}, ("acme", "going")),  # the word that it left is still to come
        ((), {"gone": 10}, ()),
        (("*",), {"going": 11}, ("*",)),
    ],
)
def test_an_org_that_left_stays_until_that_was_announced(
    scope: tuple[str, ...], departed: dict[str, int], expected: tuple[str, ...]
) -> None:
    known = Known(name="crm", orgs=scope, created_at=0, departed=departed)
    assert scope_on_broker(known, announced=10) == expected


@pytest.mark.parametrize("thing", ["consumer.crm2.updates", "consumer.crm", "publisher.live", "x.consumer.crm.q"])
def test_nobody_elses_queue_is_a_consumers_own(thing: str) -> None:
    assert owns("crm", "consumer.crm.anything")
    assert not owns("crm", thing)


@pytest.mark.parametrize("name", ["", "CRM", "a.b", "a b", "-a", "a" * 41, "crm\n"])
def test_a_name_that_is_no_word_of_a_queues_name_has_no_place_on_the_broker(name: str) -> None:
    assert not is_word(name)
    with pytest.raises(ValueError, match="consumer's name"):
        place(Consumer(name=name, password="secret", orgs=("acme",)))
