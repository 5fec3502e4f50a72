"""That apps make, list, renew and end subscriptions under Graph's rules."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox import Fault, FaultKind, worlds
from deploy.sandbox.answers import Refusal
from deploy.sandbox.directory import Reach
from deploy.sandbox.state import App
from deploy.sandbox.subscribing import ends
from deploy.sandbox.tokens import Issued
from shared.clock import moment
from tests.unit.sandbox.asking import NOW, Caller, caller, decoded
from tests.unit.sandbox.listening import DAY, ONE, TWO, URL, Listener, code, create, subscribed, wish

WEEK = 10_080 * 60
RENEW = json.dumps({"expirationDateTime": moment(NOW + 5 * DAY)}).encode()


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=10, events=5, tenants=2)


@pytest.fixture
async def listener(asking: Caller) -> AsyncIterator[Listener]:
    made = Listener(asking)
    yield made
    await made.close()


async def test_a_subscription_is_made_shown_and_listed(asking: Caller, listener: Listener) -> None:
    status, said = await create(asking, expirationDateTime="2026-11-20T18:23:45.9356913Z")
    assert status == 201
    assert said["expirationDateTime"] == "2026-11-20T18:23:45.9356913Z"
    assert (said["clientState"], said["applicationId"]) == ("a state", worlds.CLIENT_ID)
    assert await asking.get(f"/subscriptions/{said['id']}") == said
    (row,) = await asking.all("/subscriptions")
    assert (row["id"], row["clientState"]) == (said["id"], None)
    (one,) = asking.changes.subscriptions()
    assert (one.id, one.mailbox, one.client_state, one.url, one.immutable) == (said["id"], ONE, "a state", URL, False)
    assert listener.counts.created == 1


async def test_a_wish_for_immutable_ids_is_confirmed_and_kept(asking: Caller, listener: Listener) -> None:
    await subscribed(asking, prefer='IdType="ImmutableId"')
    assert [one.immutable for one in asking.changes.subscriptions()] == [True]
    assert listener.validated == [URL]


@pytest.mark.parametrize(
    "resource",
    ["users/{0}/events", "/users/{0}/events", "Users/{0}/Events", "users('{0}')/events", "users/{0}/calendar/events"],
)
@pytest.mark.usefixtures("listener")
async def test_a_mailbox_is_named_in_several_ways(asking: Caller, resource: str) -> None:
    await subscribed(asking, resource=resource.format(asking.user()))
    assert [one.mailbox for one in asking.changes.subscriptions()] == [ONE]


@pytest.mark.parametrize(
    "more",
    [
        {"resource": "me/events"},
        {"resource": "users"},
        {"resource": f"https://graph.microsoft.com/v1.0/users/{ONE}/events"},
        {"resource": f"users/{ONE}/messages"},
        {"resource": f"users/{ONE}/events?$select=subject"},
        {"changeType": "created,moved"},
        {"changeType": "created,created"},
        {"changeType": ""},
        {"changeType": None},
        {"clientState": "x" * 129},
        {"expirationDateTime": "soon"},
        {"expirationDateTime": "2026-11-20"},
        {"expirationDateTime": moment(NOW + WEEK + 1)},
        {"expirationDateTime": None},
        {"notificationUrl": "http://notes.example/notes"},
        {"notificationUrl": "http://192.0.2.1/notes"},
        {"notificationUrl": "https:///notes"},
        {"notificationUrl": "https://notes.example/a b"},
        {"notificationUrl": "https://notes.example:port/"},
        {"lifecycleNotificationUrl": "http://notes.example/notes"},
        {"includeResourceData": True},
        {"shoeSize": 42},
    ],
)
async def test_a_wrong_request_is_refused_before_anybody_is_called(
    asking: Caller, listener: Listener, more: dict[str, Any]
) -> None:
    assert code(await create(asking, **more)) == (400, "InvalidRequest")
    assert listener.letters == []
    assert asking.changes.subscriptions() == ()


async def test_a_body_that_is_no_json_is_refused(asking: Caller) -> None:
    assert (await asking.ask("POST", "/subscriptions", body=b"{")).status == 400
    assert (await asking.ask("POST", "/subscriptions")).status == 400


@pytest.mark.usefixtures("listener")
async def test_the_longest_life_and_the_longest_state_are_taken(asking: Caller) -> None:
    await subscribed(asking, clientState="x" * 128, expirationDateTime=moment(NOW + WEEK))
    assert [one.expiry for one in asking.changes.subscriptions()] == [NOW + WEEK]


def test_a_short_life_is_made_longer_and_a_long_one_refused() -> None:
    assert ends(moment(NOW - 5), NOW) == (NOW + 2700, "0000000")
    assert ends(moment(NOW + 2699), NOW) == (NOW + 2700, "0000000")
    assert ends("2026-11-18T13:06:40.25+01:00", NOW) == (NOW + 3600, "2500000")
    with pytest.raises(Refusal, match="InvalidRequest"):
        ends(moment(NOW + WEEK + 1), NOW)


@given(st.integers(-WEEK, WEEK))
def test_every_life_asked_for_is_between_the_bounds(ahead: int) -> None:
    expiry, _ = ends(moment(NOW + ahead), NOW)
    assert expiry == NOW + max(ahead, 2700)


async def test_the_same_combination_exists_once(asking: Caller, listener: Listener) -> None:
    first = await subscribed(asking)
    status, said = await create(asking, resource=f"/Users/{asking.user()}/Events", changeType="deleted,updated,created")
    assert (status, said["error"]["code"]) == (409, "Conflict")
    assert said["error"]["message"] == f"Subscription Id {first} already exists for the requested combination"
    assert len(listener.validated) == 1
    await subscribed(asking, changeType="updated")
    asking.now += 3 * DAY  # both are over
    asking.sign_in()
    await subscribed(asking, expirationDateTime=moment(asking.now + DAY))


@pytest.mark.usefixtures("listener")
async def test_of_two_at_once_one_is_refused(asking: Caller) -> None:
    answers = await asyncio.gather(create(asking), create(asking))
    assert sorted(status for status, _ in answers) == [201, 409]


@pytest.mark.usefixtures("listener")
async def test_who_may_not_read_a_mailbox_may_not_subscribe_to_it(asking: Caller) -> None:
    assert code(await create(asking, mailbox="nobody@sandbox.example")) == (404, "ErrorInvalidUser")
    assert code(await create(asking, mailbox="unlicensed.0001@sandbox.example"))[0] == 404
    assert code(await create(asking, mailbox="denied.0001@sandbox.example")) == (403, "ErrorAccessDenied")
    asking.changes.set_roles("User.Read.All", "Calendars.ReadBasic.All")
    asking.changes.allow_mailboxes(ONE)
    asking.sign_in()
    assert code(await create(asking, mailbox=TWO)) == (403, "ErrorAccessDenied")
    await subscribed(asking, mailbox=ONE)


@pytest.mark.usefixtures("listener")
async def test_a_renewal_moves_the_end(asking: Caller) -> None:
    one = await subscribed(asking)
    answer = await asking.ask("PATCH", f"/subscriptions/{one}", body=RENEW)
    assert (answer.status, decoded(answer)["expirationDateTime"]) == (200, "2026-11-23T11:06:40.0000000Z")
    assert [each.expiry for each in asking.changes.subscriptions()] == [NOW + 5 * DAY]
    for wrong in (b'{"lifecycleNotificationUrl":"https://a.example"}', b"{}", b""):
        assert (await asking.ask("PATCH", f"/subscriptions/{one}", body=wrong)).status == 400
    late = json.dumps({"expirationDateTime": moment(NOW + WEEK + 1)}).encode()
    assert (await asking.ask("PATCH", f"/subscriptions/{one}", body=late)).status == 400


@pytest.mark.usefixtures("listener")
async def test_a_renewal_needs_the_right_to_read(asking: Caller) -> None:
    one = await subscribed(asking)
    asking.changes.change_user(ONE, reach=Reach.DENIED)
    assert (await asking.ask("PATCH", f"/subscriptions/{one}", body=RENEW)).status == 403
    assert (await asking.ask("POST", f"/subscriptions/{one}/reauthorize")).status == 403


async def test_what_is_deleted_or_expired_is_not_found(asking: Caller, listener: Listener) -> None:
    one, two = await subscribed(asking), await subscribed(asking, mailbox=TWO)
    answer = await asking.ask("DELETE", f"/subscriptions/{one}")
    assert (answer.status, answer.body) == (204, b"")
    assert listener.counts.deleted == 1
    asking.changes.notifications.expire(two)
    for gone in (one, two, "none"):
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/reauthorize")):
            answer = await asking.ask(method, f"/subscriptions/{gone}{path}", body=RENEW)
            assert (answer.status, decoded(answer)["error"]["code"]) == (404, "ResourceNotFound")
    assert asking.changes.subscriptions() == ()
    assert await asking.all("/subscriptions") == []


@pytest.mark.usefixtures("listener")
async def test_time_ends_a_subscription(asking: Caller) -> None:
    one = await subscribed(asking)
    asking.now += 3 * DAY - 1
    asking.sign_in()
    assert (await asking.ask("GET", f"/subscriptions/{one}")).status == 200
    asking.now += 1
    assert (await asking.ask("GET", f"/subscriptions/{one}")).status == 404


@pytest.mark.usefixtures("listener")
async def test_apps_and_tenants_see_their_own_alone(asking: Caller) -> None:
    one = await subscribed(asking)
    other = App(client_id="11111111-2222-3333-4444-555555555555", roles=frozenset({"Calendars.Read"}))
    asking.changes.register(other)
    asking.changes.consent(client_id=other.client_id)
    tenants = list(asking.state.tenants)
    for client_id, tenant_id in ((other.client_id, tenants[0]), (worlds.CLIENT_ID, tenants[1])):
        asking.state.tokens["foreign"] = Issued(
            tenant_id=tenant_id, client_id=client_id, roles=other.roles, expires=NOW + 60
        )
        asking.token = "foreign"
        assert await asking.all("/subscriptions") == []
        for method in ("GET", "DELETE"):
            assert (await asking.ask(method, f"/subscriptions/{one}")).status == 404
        address = next(iter(asking.state.tenants[tenant_id].people.values())).address
        await subscribed(asking, mailbox=address)  # the same combination, of somebody else
    assert [len(asking.changes.subscriptions(tenant=each)) for each in tenants] == [2, 1]


@pytest.mark.usefixtures("listener")
async def test_a_listing_is_paged(asking: Caller) -> None:
    made = [await subscribed(asking, mailbox=person.address) for person in asking.changes.mailboxes()[:5]]
    page = await asking.get("/subscriptions?$top=2")
    assert len(page["value"]) == 2
    assert [row["id"] for row in await asking.all("/subscriptions?$top=2")] == made


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", ""), ("PATCH", ""), ("POST", "/x"), ("PUT", "/x"), ("GET", "/x/reauthorize")],
)
async def test_other_methods_are_not_allowed(asking: Caller, method: str, path: str) -> None:
    assert (await asking.ask(method, f"/subscriptions{path}")).status == 405


async def test_a_spoilt_answer_leaves_a_subscription_behind(asking: Caller, listener: Listener) -> None:
    asking.changes.order(Fault(kind=FaultKind.TRUNCATED, match="subscriptions", times=1))
    await asking.ask("POST", "/subscriptions", body=json.dumps({**wish(), "clientState": "lost"}).encode())
    assert [one.client_state for one in asking.changes.subscriptions()] == ["lost"]
    assert code(await create(asking)) == (409, "Conflict")
    assert listener.counts.created == 1
