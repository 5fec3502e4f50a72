"""One mailbox is tried as the policy reads it: through Graph, or at an Exchange server; the word says why it failed."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from services.authorizer import orgs, trying
from services.authorizer.boxes import Box
from services.authorizer.desk import Desk
from services.authorizer.orgs import OrgState
from services.authorizer.trying import tried
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import Bucket
from shared.ews.availability import Answered
from shared.ews.errors import EwsError
from shared.graph import GraphError
from shared.identity import GraphCredential, IdentityError
from tests.unit.authorizer.acting import NOW
from tests.unit.authorizer.authorizer_fakes import TENANT, FakeGraph, FakeTokens, graph_error, readable
from tests.unit.authorizer.exchange_fakes import MEMBER, PASSWORD, URL, FakeServer, ews

BOX = Box(
    mailbox_id="m1", address=MEMBER, kind="user", bucket=Bucket.ACTIVE, reason="", waiting="", read_at=None,
    next_try=None, subscribed_until=None, failures=0, generation=1,
)  # fmt: skip
DETAILS, TIMES = Policy(detail=Detail.DETAILS), Policy()
SETTLED = ews(endpoint=URL, scheme="ntlm", credential="acme-0123abcd")


def org(connection: Any, policy: Policy = TIMES) -> OrgState:
    return OrgState(
        org_id="acme", generation=1, state="connected", pending=False, connection=connection, tenant_id="t",
        policy=policy,
    )  # fmt: skip


GRAPH = org(GraphConnection(tenant_id=TENANT))


@pytest.fixture
async def stored(desk: Desk) -> Desk:
    await orgs.put_credential(desk.store, desk.vault, "acme-0123abcd", PASSWORD, now=1)
    return desk


async def test_a_mailbox_of_microsoft_365_is_really_read(desk: Desk, graph: FakeGraph) -> None:
    graph.answers.update(readable("m1"))
    assert await tried(desk, GRAPH, BOX, now=NOW) == ""
    assert [url.partition("?")[0] for url in graph.asked] == ["/users/m1/calendarView", "/users/m1/mailboxSettings"]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (graph_error(403, "ErrorAccessDenied"), "calendar_permission_missing"),
        (graph_error(404), "no_readable_mailbox"),
        (graph_error(503), "graph_unavailable"),
        (GraphError(status=0, code="timeout"), "graph_unreachable"),
    ],
)
async def test_graphs_refusals_are_told_in_a_word(desk: Desk, graph: FakeGraph, answer: GraphError, word: str) -> None:
    graph.answers["/users/m1/calendarView"] = answer
    assert await tried(desk, GRAPH, BOX, now=NOW) == word


async def test_a_sign_in_that_fails_is_told_in_a_word(desk: Desk, tokens: FakeTokens) -> None:
    tokens.answer = IdentityError("secret_wrong")
    assert await tried(desk, GRAPH, BOX, now=NOW) == "secret_wrong"


async def test_a_credential_that_is_gone_or_of_another_kind_is_told(stored: Desk) -> None:
    gone = org(GraphConnection(tenant_id=TENANT, credential="gone"))
    assert await tried(stored, gone, BOX, now=NOW) == "credential_missing"
    assert await tried(stored, org(replace(SETTLED, credential="gone")), BOX, now=NOW) == "credential_missing"
    await orgs.put_credential(stored.store, stored.vault, "acme-0123abcd", GraphCredential(client_id="a"), now=1)
    assert await tried(stored, org(SETTLED), BOX, now=NOW) == "credential_unreadable"


async def test_exchange_is_asked_for_free_busy_alone_where_the_policy_is_so(stored: Desk, server: FakeServer) -> None:
    server.answers["GetUserAvailability"] = (Answered(),)
    assert await tried(stored, org(SETTLED, TIMES), BOX, now=NOW) == ""
    assert server.asked == ["GetUserAvailability"]
    assert (server.opened, server.closed) == ([(URL, "ntlm")], 1)


async def test_exchange_is_asked_for_a_day_of_the_calendar_under_details(stored: Desk, server: FakeServer) -> None:
    assert await tried(stored, org(SETTLED, DETAILS), BOX, now=NOW) == ""
    assert server.asked == [f"FindItem {MEMBER}"]


@pytest.mark.parametrize(
    ("policy", "answers", "word"),
    [
        (DETAILS, {f"FindItem {MEMBER}": EwsError("ErrorImpersonateUserDenied")}, "impersonation_denied"),
        (DETAILS, {f"FindItem {MEMBER}": EwsError("sign_in_refused", status=401)}, "sign_in_refused"),
        (DETAILS, {f"FindItem {MEMBER}": EwsError("unreachable")}, "server_unreachable"),
        (TIMES, {"GetUserAvailability": (Answered(error=EwsError("ErrorNoFreeBusyAccess")),)}, "free_busy_denied"),
        (TIMES, {"GetUserAvailability": ()}, "malformed"),
        (TIMES, {"GetUserAvailability": EwsError("ErrorServerBusy")}, "server_busy"),
    ],
)
async def test_exchanges_refusals_are_told_in_a_word(
    stored: Desk, server: FakeServer, policy: Policy, answers: dict[str, Any], word: str
) -> None:
    server.answers.update(answers)
    assert await tried(stored, org(SETTLED, policy), BOX, now=NOW) == word
    assert server.closed == 1


async def test_nobody_waits_for_an_answer_that_does_not_come(
    desk: Desk, tokens: FakeTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "LONGEST", 0.01)
    tokens.before = asyncio.Event().wait  # type: ignore[assignment]
    assert await tried(desk, GRAPH, BOX, now=NOW) == trying.LATE


async def test_a_cloud_that_there_is_not_is_told(desk: Desk) -> None:
    assert await tried(desk, org(GraphConnection(tenant_id=TENANT, cloud="mars")), BOX, now=NOW) == "cloud_unknown"
