"""Connecting, reading again and disconnecting by the setup API: the same rules as on the pages."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from services.authorizer import leaving, orgs
from services.authorizer.console import links, mailboxes
from services.authorizer.console.limits import TESTS
from services.authorizer.desk import Desk
from services.authorizer.exchange_doors import exchange
from shared import clock
from shared.contracts.messages import EwsConnection, GroupSource, LdapSource, ListSource, RoomListsSource
from shared.ews.dialling import Surroundings
from shared.ews.errors import EwsError
from shared.identity import GraphCredential
from tests.unit.authorizer.acting import acts, all_answer, emptied
from tests.unit.authorizer.authorizer_fakes import FakeGraph, graph_error
from tests.unit.authorizer.console.attacking import ELSEWHERE, connected, stored
from tests.unit.authorizer.console.calling import Answer, Platform, platform
from tests.unit.authorizer.console.visiting import ACTOR, Console, visited
from tests.unit.authorizer.exchange_fakes import FakeServer
from tests.waiting import until

CANARY = "canary-Password-1"
SERVER = {
    "server": "mail.acme.example",
    "account": "svc@acme.example",
    "password": CANARY,
    "member": "anna@acme.example",
    "outsider": "omar@acme.example",
    "groups": ["calendars@acme.example"],
}
TESTED = "/connection/exchange/tests"


@pytest.fixture
async def caller(stranger: Console) -> Platform:
    """A platform that calls about acme, which nobody has connected yet."""
    return await platform(stranger)


@pytest.fixture
async def settled(stranger: Console) -> Platform:
    """A platform that calls about acme, which is connected by an app of its own."""
    await connected(stranger.store)
    app = GraphCredential(client_id="app", client_secret="canary")
    await orgs.put_credential(stranger.store, stranger.place.vault, "acme-0123abcd", app, now=1)
    return await platform(stranger)


async def tried(caller: Platform, server: Mapping[str, Any] = SERVER) -> Answer:
    """Test a server, and return the test once it has ended."""
    begun = await caller.post(TESTED, dict(server))
    assert begun.status == 200, begun.text
    found: list[Answer] = []

    async def over() -> bool:
        found.append(await caller.get(f"{TESTED}/{begun.body['test_id']}"))
        return bool(found[-1].body["ended"])

    await until(over)
    return found[-1]


# -- Microsoft 365 --------------------------------------------------------------------------------------------------


async def test_an_admin_is_sent_to_a_link_that_lives_no_longer_than_the_callers(caller: Platform) -> None:
    caller.token = caller.browser.link(now=clock.now() - 200).partition("link=")[2]
    answer = await caller.post("/connection/graph")
    assert answer.body["expires_at"] <= clock.now() - 200 + links.LONGEST
    path = answer.body["url"].removeprefix(caller.browser.place.settings.public_url)
    assert (await caller.browser.get(path)).location == "/setup"
    assert ACTOR in (await caller.browser.followed("/setup")).text
    assert (await caller.browser.get(path)).status == 400


async def test_a_browser_that_is_signed_in_is_sent_to_the_page(caller: Platform) -> None:
    caller.token = ""
    await caller.browser.enter()
    answer = await caller.call("POST", "/connection/graph", headers={"X-CSRF-Token": caller.browser.csrf})
    assert answer.body["url"] == "https://setup.example/setup/connect/microsoft"


# -- Exchange -------------------------------------------------------------------------------------------------------


async def test_a_server_that_passes_its_test_is_connected_just_as_it_was_tested(caller: Platform) -> None:
    test = await tried(caller)
    assert test.body["passed"] is True
    assert {step["name"] for step in test.body["steps"]} >= {"sign_in", "member", "group"}
    assert await orgs.org(caller.browser.place.store, "acme") is None
    answer = await caller.post("/connection/exchange", {"test_id": test.body["test_id"]})
    assert (answer.status, answer.body) == (200, {"phase": "verifying"})
    state = await orgs.org(caller.browser.place.store, "acme")
    assert state is not None
    assert isinstance(state.connection, EwsConnection)
    assert state.connection.directory == (GroupSource(address="calendars@acme.example"),)
    assert (ACTOR, "org.requested") in await acts(caller.browser.place.store)
    told = (await caller.get("/status")).body
    assert (told["phase"], told["connection"]["member"]) == ("verifying", "anna@acme.example")


async def test_what_did_not_pass_or_was_saved_is_not_saved(caller: Platform, server: FakeServer) -> None:
    server.answers["ConvertId"] = EwsError("sign_in_refused", status=401)
    failed = await tried(caller)
    assert (failed.body["passed"], failed.body["steps"][-1]["reason"]) == (False, "sign_in_refused")
    assert server.asked == ["ConvertId"]
    for test_id in (failed.body["test_id"], "x", ""):
        answer = await caller.post("/connection/exchange", {"test_id": test_id})
        assert (answer.status, answer.body["code"]) == (409, "untested")
    del server.answers["ConvertId"]
    assert await orgs.org(caller.browser.place.store, "acme") is None


async def test_a_test_is_gone_on_with_by_another_link_of_the_same_admin_and_by_nobody_else(
    caller: Platform, stranger: Console
) -> None:
    test_id = (await tried(caller)).body["test_id"]
    for claims in ({"org_id": "beta"}, {"actor": "eve@acme.example"}):
        other = await platform(stranger, **claims)
        assert (await other.get(f"{TESTED}/{test_id}")).status == 404
        assert (await other.post("/connection/exchange", {"test_id": test_id})).status == 409
    again = await platform(stranger)
    assert (await again.get(f"{TESTED}/{test_id}")).body["passed"] is True
    assert (await again.post("/connection/exchange", {"test_id": test_id})).status == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"member": None}, "member"),
        ({"server": "%"}, "server"),
        ({"account": ""}, "account"),
        ({"password": ""}, "password"),
        ({"member": "nobody"}, "member"),
        ({"outsider": "anna@acme.example"}, "outsider"),
        ({"groups": []}, "groups"),
        ({"groups": [], "addresses": ["x"]}, "addresses"),
        ({"ldap": {"url": "dc1", "base": "nothing"}}, "ldap.base"),
        ({"auth": "oauth"}, "tenant"),
        ({"auth": "kerberos"}, "auth"),
        ({"pasword": CANARY}, "pasword"),
        ({"password": [CANARY]}, "password"),
    ],
)
async def test_a_member_that_is_wrong_is_named_and_nothing_is_tried(
    caller: Platform, server: FakeServer, change: dict[str, Any], field: str
) -> None:
    answer = await caller.post(TESTED, {**SERVER, **change})
    assert (answer.status, answer.body["field"]) == (422, field)
    assert CANARY not in answer.text
    assert server.reached == []


async def test_every_place_where_mailboxes_are_listed_can_be_named(caller: Platform) -> None:
    wide = {
        **SERVER,
        "ldap": {"url": "dc1.acme.example", "base": "DC=acme", "username": "reader", "password": CANARY},
        "rooms": True,
        "addresses": ["ben@acme.example"],
    }
    test = await tried(caller, wide)
    await caller.post("/connection/exchange", {"test_id": test.body["test_id"]})
    state = await orgs.org(caller.browser.place.store, "acme")
    assert state is not None
    assert isinstance(state.connection, EwsConnection)
    kinds = {type(source) for source in state.connection.directory}
    assert kinds == {GroupSource, LdapSource, RoomListsSource, ListSource}


async def test_no_secret_is_in_any_answer_nor_readable_in_the_store(
    caller: Platform, capfd: pytest.CaptureFixture[str]
) -> None:
    test = await tried(caller)
    saved = await caller.post("/connection/exchange", {"test_id": test.body["test_id"]})
    answers = [test, saved, await caller.get("/status"), await caller.get("/audit")]
    assert all(CANARY not in answer.text for answer in answers)
    assert CANARY not in str(await stored(caller.browser.place.store))
    assert CANARY not in "".join(capfd.readouterr())


async def test_tests_are_limited_together_with_those_of_the_page(caller: Platform) -> None:
    for _ in range(TESTS.most):
        assert (await caller.post(TESTED, SERVER)).status == 200
    answer = await caller.post(TESTED, SERVER)
    assert (answer.status, answer.body["code"]) == (429, "too_many_requests")


async def test_an_address_of_this_machine_is_never_asked(desk: Desk) -> None:
    asked: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(100))

    local = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = local.sockets[0].getsockname()[1]
    real = exchange(desk.microsoft.tokens, Surroundings())
    async with local, visited(replace(desk, exchange=real)) as console:
        caller = await platform(console)
        for server in (f"https://localhost:{port}", f"http://127.0.0.1:{port}/EWS", "https://169.254.169.254"):
            test = await tried(caller, {**SERVER, "server": server})
            assert (test.body["passed"], test.body["steps"][-1]["ok"]) == (False, False), server
    assert asked == []


# -- mailboxes, reading again, leaving ------------------------------------------------------------------------------


async def test_a_mailbox_is_tested_in_the_name_of_whom_the_link_names(settled: Platform, graph: FakeGraph) -> None:
    graph.answers["/users/m-1/"] = {"value": []}
    good = await settled.post("/mailboxes/m-1/test")
    assert (good.body["read"], good.body["reason"]) == (True, "")
    graph.answers["/users/m-1/"] = graph_error(403, "ErrorAccessDenied")
    bad = await settled.post("/mailboxes/m-1/test")
    assert bad.body["read"] is False
    assert bad.body["sentence"]
    assert (await acts(settled.browser.place.store))[-2:] == [(ACTOR, "mailbox.tested")] * 2


async def test_tests_of_mailboxes_are_limited(settled: Platform) -> None:
    for _ in range(mailboxes.TESTS.most):
        assert (await settled.post("/mailboxes/m-1/test")).status == 200
    assert (await settled.post("/mailboxes/m-1/test")).status == 429


async def test_one_mailbox_and_all_are_read_again(settled: Platform) -> None:
    assert (await settled.post("/mailboxes/m-1/sync")).body == {"mailboxes": 1}
    assert (await settled.post("/sync")).body == {"mailboxes": 2}
    assert (await acts(settled.browser.place.store))[-2:] == [(ACTOR, "org.resynced")] * 2


async def test_another_orgs_mailbox_is_neither_tested_nor_read(settled: Platform) -> None:
    for act in ("test", "sync"):
        assert (await settled.post(f"/mailboxes/{ELSEWHERE}/{act}")).status == 404


async def test_what_needs_a_connection_says_so(caller: Platform) -> None:
    for path in ("/sync", "/mailboxes/m-1/test"):
        answer = await caller.post(path)
        assert (answer.status, answer.body["code"]) == (409, "not_connected")
    assert (await caller.get("/policy")).status == 409
    assert (await caller.post("/disconnect", {"org_id": "acme"})).status == 409


async def test_an_org_is_disconnected_by_its_own_name_down_to_the_receipt(settled: Platform) -> None:
    store = settled.browser.place.store
    for wrong in ("beta", "Acme", "acme "):
        assert (await settled.post("/disconnect", {"org_id": wrong})).status == 422
    assert await leaving.under_way(store) == ()
    begun = await settled.post("/disconnect", {"org_id": "acme"})
    assert begun.status == 200
    assert (await settled.get("/status")).body["phase"] == "leaving"
    assert (await settled.get("/receipt")).status == 404
    await emptied(store)
    await all_answer(store, begun.body["purge_id"])
    (purge,) = await leaving.under_way(store)
    await leaving.close(store, purge, now=clock.now())
    receipt = (await settled.get("/receipt")).body
    assert (receipt["purge_id"], receipt["actor"]) == (begun.body["purge_id"], ACTOR)
    assert (await settled.get("/status")).body["phase"] == "left"
    beta = await orgs.org(store, "beta")
    assert beta is not None
    assert beta.state == "connected"


async def test_every_operation_of_the_page_was_called(settled: Platform, server: FakeServer) -> None:
    """Each answer of these is held against the page: none may be left out."""
    test = await tried(settled)
    await settled.post("/connection/exchange", {"test_id": test.body["test_id"]})
    for path in ("/status", "/mailboxes", "/mailboxes/m-1", "/policy", "/audit", "/receipt"):
        await settled.get(path)
    for path in ("/mailboxes/m-1/test", "/mailboxes/m-1/sync", "/sync", "/connection/graph"):
        await settled.post(path)
    await settled.post("/policy/preview", {})
    await settled.put("/policy", {})
    await settled.post("/disconnect", {"org_id": "acme"})
    paths = settled.page["paths"].values()
    assert settled.called == {operation["operationId"] for path in paths for operation in path.values()}
    assert server.opened
