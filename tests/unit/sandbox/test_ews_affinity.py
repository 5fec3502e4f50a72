"""Which mailbox server a request reaches, and that subscriptions are found on their own alone."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from deploy.sandbox.answers import Streamed
from deploy.sandbox.ews import affinity
from tests.unit.sandbox.asking_ews import PERSON, EwsCaller, ews_caller, texts
from tests.unit.sandbox.test_ews_streaming import listening, opened, subscribed, subscription


@pytest.fixture
def asking(tmp_path: Path) -> EwsCaller:
    return ews_caller(tmp_path, events=3)


def cookie_of(headers: dict[str, str]) -> str:
    return headers["Set-Cookie"].partition(";")[0]


async def elsewhere(asking: EwsCaller) -> str:
    """Return the address of somebody whose mailbox lies on another server than PERSON's."""
    people = {person.address: person for person in asking.changes.mailboxes()}
    home = affinity.server({}, people[PERSON])
    return next(address for address, person in people.items() if affinity.server({}, person) != home)


@given(anchor=st.emails(), other=st.emails())
def test_who_brings_the_cookie_back_reaches_the_same_server_whatever_the_anchor(anchor: str, other: str) -> None:
    first = {"x-anchormailbox": anchor, "x-preferserveraffinity": "true"}
    server = affinity.server(first, None)
    assert affinity.server({"x-anchormailbox": anchor.upper()}, None) == server
    cookie = cookie_of(affinity.given(first, server))
    assert affinity.server(first | {"x-anchormailbox": other, "cookie": cookie}, None) == server


async def test_a_cookie_is_given_to_those_who_want_to_stay(asking: EwsCaller) -> None:
    plain = await asking.ask(subscription(), impersonated=PERSON)
    assert "Set-Cookie" not in plain.headers
    bound = await asking.ask(subscription(), impersonated=PERSON, x_preferserveraffinity="true")
    assert cookie_of(dict(bound.headers)).startswith(f"{affinity.COOKIE}=mailbox-")


async def test_with_the_cookie_a_group_is_listened_to_on_one_server_and_without_it_is_not(asking: EwsCaller) -> None:
    far = await elsewhere(asking)
    affine = {"x_preferserveraffinity": "true", "x_anchormailbox": PERSON}
    first = await asking.ask(subscription(), impersonated=PERSON, **affine)
    cookie = cookie_of(dict(first.headers))
    second = await asking.ask(subscription(), impersonated=far, cookie=cookie, **affine)
    names = [texts(etree.fromstring(each.body), ".//m:SubscriptionId")[0] for each in (first, second)]
    good = await asking.ask(listening(*names), impersonated=PERSON, cookie=cookie, **affine)
    assert isinstance(good, Streamed)
    await good.chunks.aclose()
    refused = await asking.get(listening(*names), impersonated=PERSON, **affine)
    assert texts(refused, ".//m:ResponseCode") == ["ErrorProxyRequestNotAllowed"]
    assert set(texts(refused, ".//t:SubscriptionId")) == set(names)


async def test_a_mailbox_on_another_server_is_not_listened_to_here(asking: EwsCaller) -> None:
    far = await elsewhere(asking)
    names = [await subscribed(asking), await subscribed(asking, far)]
    found = await asking.get(listening(*names), impersonated=PERSON)
    assert texts(found, ".//t:SubscriptionId") == [names[1]]
    asking.orders.behave(affinity=False)
    chunks = await opened(asking, *names)
    await chunks.aclose()
