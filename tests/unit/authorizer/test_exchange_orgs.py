"""An organisation with an Exchange server: what a request changes, what a verdict settles, and no password twice."""

import io
import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import structlog
from sqlalchemy import update

from services.authorizer import audit, due, orgs, requests, verdicts
from services.authorizer.desk import Desk, settle
from services.authorizer.orgs import OrgState
from shared import clock, logs
from shared.contracts.messages import Connection, EwsConnection
from shared.contracts.policy import Detail, Policy
from shared.ews.credential import EwsCredential
from shared.ews.errors import EwsError
from shared.identity import GraphCredential
from shared.store import Store
from shared.tables import orgs as table
from tests.unit.authorizer import acting
from tests.unit.authorizer.authorizer_fakes import times
from tests.unit.authorizer.exchange_fakes import MEMBER, PASSWORD, URL, FakeServer, ews, offered

NOW = acting.NOW
FAR = NOW + 10**8
_LATER = itertools.count(1)
SETTLED = ews(endpoint=URL, scheme="ntlm")
REFUSED = EwsError("sign_in_refused", status=401)


async def request(store: Store, connection: Connection | None = None, *, org_id: str = "acme", at: int = NOW) -> None:
    policy = Policy(detail=Detail.DETAILS)
    assert await requests.connect(store, org_id, connection=connection or ews(), policy=policy, word=acting.said(at))


async def connect(store: Store, settled: EwsConnection = SETTLED, *, org_id: str = "acme", at: int = NOW) -> str:
    """Have an org connected whose verification settled this; only what an admin says is asked for."""
    await request(store, settled, org_id=org_id, at=at)
    return await accepted(store, settled, at=at)


async def accepted(store: Store, settled: EwsConnection, *, at: int = NOW) -> str:
    (claimed,) = await verdicts.claim(store, now=at, limit=10)
    whose = f"ews:{settled.endpoint.split('/')[2]}"
    return await verdicts.accept(store, claimed, tenant_id=whose, times=times(at), settled=settled)


async def test_what_a_request_says_of_endpoint_and_scheme_counts_for_nothing(both: Store) -> None:
    await request(both, SETTLED)
    (claimed,) = await verdicts.claim(both, now=NOW, limit=1)
    assert claimed.connection == ews()
    found = await acting.row(both)
    assert (found.kind, found.tenant_id) == ("ews", "")


async def test_what_verification_settled_is_kept_with_the_connection(both: Store) -> None:
    assert await connect(both) == "connected"
    found = await acting.row(both)
    assert (found.kind, found.tenant_id, found.state) == ("ews", "ews:mail.acme.example", "connected")
    assert (await acting.state(both)).connection == SETTLED


async def test_the_same_request_again_changes_nothing_and_keeps_what_was_settled(both: Store) -> None:
    await connect(both)
    await request(both, at=NOW + 5)
    (claimed,) = await verdicts.claim(both, now=NOW + 5, limit=1)
    assert claimed.connection == SETTLED  # the endpoint is not looked for again
    assert await verdicts.accept(
        both, claimed, tenant_id="ews:mail.acme.example", times=times(NOW + 5), settled=SETTLED
    ) == "unchanged"  # fmt: skip
    found = await acting.state(both)
    assert (found.generation, found.connection) == (1, SETTLED)


async def test_a_word_heard_twice_is_one_sign_in(both: Store) -> None:
    await request(both)
    (claimed,) = await verdicts.claim(both, now=NOW, limit=1)
    await request(both)
    assert await verdicts.claim(both, now=NOW + 1, limit=1) == ()
    assert await verdicts.refuse(both, claimed, reason="sign_in_refused", times=times(NOW)) == "refused"
    await request(both)
    assert await verdicts.claim(both, now=FAR, limit=1) == ()


@pytest.mark.parametrize("reason", ["sign_in_refused", "ldap_bind_refused"])
async def test_a_refused_password_is_not_tried_again_by_itself(both: Store, reason: str) -> None:
    await request(both)
    (claimed,) = await verdicts.claim(both, now=NOW, limit=1)
    again = times(NOW, refused=NOW + 3600)
    assert await verdicts.refuse(both, claimed, reason=reason, times=again) == "refused"
    assert await verdicts.claim(both, now=FAR, limit=1) == ()
    await request(both, at=NOW + 9)
    assert len(await verdicts.claim(both, now=NOW + 9, limit=1)) == 1


async def test_a_password_refused_of_a_connected_org_is_not_tried_again_by_itself(both: Store) -> None:
    await connect(both)
    await requests.doubt(both, "acme", generation=1, now=NOW + 1)
    assert await acting.refused(both, now=NOW + 1, reason="sign_in_refused") == "attention"
    assert await verdicts.claim(both, now=FAR, limit=1) == ()
    await due.watch(both, verify_at=NOW)
    await due.everything(both, now=NOW)
    assert await verdicts.claim(both, now=FAR, limit=1) == ()


async def test_another_policy_does_not_try_a_refused_password_again(both: Store) -> None:
    await request(both)
    await acting.refused(both, now=NOW, reason="sign_in_refused")
    await requests.change_policy(both, "acme", Policy(show_free=True), word=acting.said(NOW + 5))
    assert await verdicts.claim(both, now=FAR, limit=1) == ()


async def test_a_change_refused_does_not_have_the_password_in_force_tried_again(both: Store) -> None:
    await connect(both)
    await requests.doubt(both, "acme", generation=1, now=NOW + 1)
    await acting.refused(both, now=NOW + 1, reason="sign_in_refused")
    await request(both, ews(credential="acme-0123abcd"), at=NOW + 9)
    assert await acting.refused(both, now=NOW + 9, reason="name_unknown") == "kept"
    assert await verdicts.claim(both, now=FAR, limit=1) == ()


async def test_a_refusal_of_another_cause_is_tried_again(both: Store) -> None:
    await request(both)
    await acting.refused(both, now=NOW, reason="not_trusted")
    assert len(await verdicts.claim(both, now=NOW + 3600, limit=1)) == 1


async def test_several_orgs_may_share_a_server(both: Store) -> None:
    assert await connect(both) == "connected"
    assert await connect(both, org_id="other") == "connected"


async def test_another_server_erases_what_was_read_of_the_first(both: Store) -> None:
    await connect(both)
    await acting.fill(both)
    moved = ews(url="https://mail.new.example/ews", endpoint="https://mail.new.example/ews", scheme="basic")
    assert await connect(both, moved, at=NOW + 5) == "connected"
    found = await acting.row(both)
    assert (found.tenant_id, found.generation, found.shown_from) == ("ews:mail.new.example", 2, 2)


async def test_another_path_or_credential_at_the_same_server_erases_nothing(both: Store) -> None:
    await connect(both)
    elsewhere = ews(credential="acme-0123abcd", endpoint="https://mail.acme.example/other", scheme="basic")
    assert await connect(both, elsewhere, at=NOW + 5) == "connected"
    found = await acting.row(both)
    assert (found.generation, found.shown_from) == (2, 0)


async def test_the_other_kind_takes_the_place_of_the_first(both: Store) -> None:
    await acting.connect(both)
    assert (await acting.row(both)).kind == "graph"
    assert await connect(both, at=NOW + 5) == "connected"
    found = await acting.row(both)
    assert (found.kind, found.shown_from) == ("ews", 2)


async def test_a_row_of_an_earlier_release_is_of_microsoft_365(both: Store) -> None:
    await acting.connect(both)
    async with both.write() as writing:
        old = b'{"kind":"graph","tenant_id":"tenant-1","credential":"acme-0123abcd"}'
        await writing.execute(update(table).values(connection=old))
    assert (await acting.state(both)).connection == acting.ONE


@pytest.mark.parametrize(
    ("credential", "form"),
    [
        (EwsCredential(username="svc", password="canary"), "password"),
        (EwsCredential(app=GraphCredential(client_id="canary")), "app"),
        (GraphCredential(client_id="a", client_secret="canary"), "client_secret"),
        (GraphCredential(client_id="a", certificate="canary"), "certificate"),
    ],
)
async def test_the_audit_log_tells_what_a_credential_is_made_of(desk: Desk, credential: Any, form: str) -> None:
    await orgs.put_credential(desk.store, desk.vault, "x", credential, now=1, org_id="acme")
    (entry,) = await audit.entries(desk.store, "acme")
    assert entry.details == {"form": form}
    assert "canary" not in str(entry)


async def test_a_request_is_written_down_without_the_servers_name(both: Store) -> None:
    await request(both)
    (entry,) = await audit.entries(both, "acme")
    assert entry.details == {"kind": "ews"}


# -- the whole way, from request to verdict -----------------------------------------------------------------------


@pytest.fixture(autouse=True)
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure(level="debug", stream=stream)
    yield stream
    structlog.reset_defaults()


async def settled(desk: Desk, connection: EwsConnection | None = None, credential: Any = PASSWORD) -> OrgState:
    await orgs.put_credential(desk.store, desk.vault, "acme", credential, now=1, org_id="acme")
    asked = msgspec.structs.replace(connection or ews(), credential="acme")
    before = await orgs.org(desk.store, "acme")
    now = clock.now() if before is None else clock.now() + 60 * next(_LATER)  # a word of its own, not one heard twice
    await orgs.request(desk.store, org_id="acme", connection=asked, policy=Policy(), now=now)
    (claimed,) = await verdicts.claim(desk.store, now=now, limit=1)
    await settle(desk, claimed)
    found = await orgs.org(desk.store, "acme")
    assert found is not None
    return found


async def test_a_good_server_is_connected_at_the_endpoint_that_was_found(desk: Desk, server: FakeServer) -> None:
    found = await settled(desk)
    assert (found.state, found.tenant_id) == ("connected", "ews:mail.acme.example")
    assert isinstance(found.connection, EwsConnection)
    assert (found.connection.endpoint, found.connection.scheme) == (URL, "ntlm")
    assert server.asked[0] == "ConvertId"


async def test_a_wrong_password_is_one_sign_in_and_a_sentence(desk: Desk, server: FakeServer) -> None:
    server.answers["ConvertId"] = REFUSED
    found = await settled(desk)
    assert (found.state, found.reason) == ("refused", "sign_in_refused")
    assert "not tried again by itself" in str(found.sentence)
    assert await verdicts.claim(desk.store, now=FAR, limit=1) == ()
    assert server.asked == ["ConvertId"]


async def test_a_busy_server_is_waited_for_as_long_as_it_says(desk: Desk, server: FakeServer) -> None:
    server.answers["ConvertId"] = EwsError("ErrorServerBusy", back_off=40.0)
    found = await settled(desk)
    assert (found.state, found.reason) == ("requested", "server_busy")
    assert await verdicts.claim(desk.store, now=clock.now() + 35, limit=1) == ()
    assert len(await verdicts.claim(desk.store, now=clock.now() + 41, limit=1)) == 1


async def test_only_what_the_policy_needs_decides(desk: Desk, server: FakeServer) -> None:
    server.answers[f"GetFolder {MEMBER}"] = EwsError("ErrorImpersonateUserDenied")
    assert (await settled(desk)).state == "connected"  # free/busy alone does without impersonation


@pytest.mark.parametrize(("stored", "reason"), [(None, "credential_missing"), ("graph", "credential_unreadable")])
async def test_a_credential_that_is_not_there_or_of_the_other_kind_is_named(
    desk: Desk, stored: str | None, reason: str
) -> None:
    asked = ews(credential="default" if stored else "another")
    await orgs.request(desk.store, org_id="acme", connection=asked, policy=Policy(), now=clock.now())
    (claimed,) = await verdicts.claim(desk.store, now=clock.now(), limit=1)
    await settle(desk, claimed)
    assert (await acting.state(desk.store)).reason == reason


async def test_a_connection_in_force_is_verified_where_it_was_settled(desk: Desk, server: FakeServer) -> None:
    await settled(desk)
    server.offers = {URL: offered("ntlm", "basic")}
    server.opened.clear()
    await settled(desk, ews(url=URL))
    assert server.opened == [(URL, "ntlm")]


async def test_neither_password_nor_server_nor_mailbox_is_ever_logged(
    desk: Desk, server: FakeServer, written: io.StringIO
) -> None:
    await settled(desk)
    server.answers["ConvertId"] = LookupError("canary-password at mail.acme.example")
    await settled(desk)
    server.answers["ConvertId"] = REFUSED
    await settled(desk)
    told = written.getvalue()
    assert told.count("\n") >= 3
    assert not [word for word in ("canary", "acme.example", "svc@", MEMBER) if word in told]
