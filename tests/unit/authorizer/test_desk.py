"""From claim to verdict: what is stored and what is logged, whatever happens on the way."""

import asyncio
import io
from collections.abc import Iterator

import pytest
import structlog
from msgspec.structs import replace
from sqlalchemy import delete, select

from services.authorizer import audit, orgs, verdicts
from services.authorizer import desk as module
from services.authorizer.desk import Desk, settle
from services.authorizer.orgs import OrgState
from services.authorizer.settings import Settings
from shared import clock, logs
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy
from shared.identity import IdentityError
from shared.tables import credentials
from shared.tables import orgs as orgs_table
from shared.vault import Vault
from tests.unit.authorizer.authorizer_fakes import FakeGraph, FakeTokens, graph_error, token_of


@pytest.fixture(autouse=True)
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure(level="debug", stream=stream)
    yield stream
    structlog.reset_defaults()


async def settled(desk: Desk, connection: GraphConnection | None = None, org_id: str = "acme") -> OrgState:
    asked = connection or GraphConnection(tenant_id="t")
    await orgs.request(desk.store, org_id=org_id, connection=asked, policy=Policy(), now=clock.now())
    (claimed,) = await verdicts.claim(desk.store, now=clock.now(), limit=1)
    await settle(desk, claimed)
    found = await orgs.org(desk.store, org_id)
    assert found is not None
    return found


async def test_a_good_connection_is_connected(desk: Desk, written: io.StringIO) -> None:
    found = await settled(desk)
    assert (found.state, found.generation) == ("connected", 1)
    assert '"outcome": "connected"' in written.getvalue()


async def test_a_refused_one_carries_its_sentence(desk: Desk, tokens: FakeTokens, written: io.StringIO) -> None:
    tokens.answer = IdentityError("app_disabled", code=7000112)
    found = await settled(desk)
    assert (found.state, found.reason) == ("refused", "app_disabled")
    assert found.sentence is not None
    assert found.sentence.endswith("AADSTS7000112.")
    assert '"reason": "app_disabled"' in written.getvalue()


async def test_a_disturbance_is_put_off_for_as_long_as_ordered(desk: Desk, graph: FakeGraph) -> None:
    graph.answers["/users?$top=1&"] = graph_error(429, "TooManyRequests", retry_after=40.0)
    found = await settled(desk)
    assert (found.state, found.reason) == ("requested", "graph_throttled")
    assert await verdicts.claim(desk.store, now=clock.now() + 35, limit=1) == ()
    assert len(await verdicts.claim(desk.store, now=clock.now() + 41, limit=1)) == 1


async def test_the_pause_grows_with_every_try_and_begins_anew_after_a_verdict(desk: Desk, tokens: FakeTokens) -> None:
    tokens.answer = IdentityError("identity_unreachable", transient=True)
    for tries in (1, 2, 3):
        await settled(desk)
        assert desk.tries == {"acme": tries}
    tokens.answer = token_of()
    await settled(desk)
    assert desk.tries == {}


async def test_a_verification_that_hangs_is_put_off(
    desk: Desk, tokens: FakeTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "LONGEST", 0.01)
    tokens.before = hang
    found = await settled(desk)
    assert (found.state, found.reason) == ("requested", "verification_timeout")


async def test_a_defect_is_put_off_and_logged_without_its_text(
    desk: Desk, tokens: FakeTokens, written: io.StringIO
) -> None:
    tokens.answer = LookupError("canary")
    found = await settled(desk)
    assert (found.state, found.reason) == ("requested", "bug")
    assert '"error_type": "LookupError"' in written.getvalue()
    assert "canary" not in written.getvalue()


async def test_a_missing_credential_is_named(desk: Desk) -> None:
    found = await settled(desk, GraphConnection(tenant_id="t", credential="another"))
    assert (found.state, found.reason) == ("refused", "credential_missing")


async def test_a_credential_sealed_by_a_lost_key_is_named(desk: Desk) -> None:
    lost = replace(desk, vault=Vault({"k9": b"9" * 32}))
    found = await settled(lost)
    assert (found.state, found.reason) == ("refused", "credential_unreadable")


async def test_an_unknown_cloud_is_named(desk: Desk) -> None:
    found = await settled(desk, GraphConnection(tenant_id="t", cloud="moon"))
    assert (found.state, found.reason) == ("refused", "cloud_unknown")


async def test_a_tenant_taken_by_another_org_is_refused_and_not_tried_again(desk: Desk) -> None:
    await settled(desk)
    found = await settled(desk, GraphConnection(tenant_id="the-same-by-another-name"), org_id="thief")
    assert (found.state, found.reason) == ("refused", "tenant_taken")
    later = await verdicts.claim(desk.store, now=clock.now() + 10**8, limit=10)
    assert [claimed.org_id for claimed in later] == ["acme"]


async def test_two_orgs_that_claim_one_tenant_at_once_do_not_both_get_it(desk: Desk) -> None:
    for org_id in ("one", "two"):
        asked = GraphConnection(tenant_id=f"name-of-{org_id}")
        await orgs.request(desk.store, org_id=org_id, connection=asked, policy=Policy(), now=clock.now())
    claimed = await verdicts.claim(desk.store, now=clock.now(), limit=2)
    await asyncio.gather(*(settle(desk, each) for each in claimed))
    found = {state.org_id: (state.state, state.reason) for state in await orgs.all_orgs(desk.store)}
    assert sorted(found.values(), key=str) == [("connected", None), ("refused", "tenant_taken")]


async def test_a_connected_org_whose_consent_is_gone_needs_attention_and_says_so(
    desk: Desk, tokens: FakeTokens
) -> None:
    await settled(desk)
    tokens.answer = IdentityError("app_not_in_tenant", code=700016)
    found = await settled(desk)
    assert (found.state, found.generation, found.reason) == ("attention", 1, "app_not_in_tenant")
    tokens.answer = token_of()
    found = await settled(desk)
    assert (found.state, found.generation, found.reason) == ("connected", 1, None)


async def test_neither_secret_nor_token_nor_tenant_is_ever_logged(
    desk: Desk, tokens: FakeTokens, graph: FakeGraph, written: io.StringIO
) -> None:
    await settled(desk, GraphConnection(tenant_id="canary-tenant"))
    tokens.answer = IdentityError("secret_wrong")
    await settled(desk, GraphConnection(tenant_id="canary-other"))
    graph.answers["/users?$top=1&"] = LookupError(token_of())
    tokens.answer = token_of()
    await settled(desk, GraphConnection(tenant_id="canary-third"))
    assert len(written.getvalue().splitlines()) >= 3
    assert "canary" not in written.getvalue()
    assert token_of() not in written.getvalue()


async def test_a_credential_stored_later_is_used(desk: Desk) -> None:
    async with desk.store.write() as writing:
        await writing.execute(delete(credentials))
    assert (await settled(desk)).reason == "credential_missing"


async def test_the_settings_say_when_an_org_is_verified_next(desk: Desk, tokens: FakeTokens) -> None:
    own = replace(desk, settings=Settings(retry_attention=77, verify_every=500, retry_refused=99))
    await settled(own)
    assert await next_turn(own) == 500
    tokens.answer = IdentityError("secret_expired")
    await settled(own)
    assert await next_turn(own) == 77
    async with own.store.write() as writing:
        await writing.execute(delete(orgs_table))
    await settled(own)
    assert await next_turn(own) == 99


async def next_turn(desk: Desk) -> int:
    """Return in how many seconds the org is verified, as near as the clock allows."""
    async with desk.store.read() as reading:
        verify_at = (await reading.execute(select(orgs_table.c.verify_at))).scalar_one()
    return min((500, 99, 77), key=lambda seconds: abs(verify_at - clock.now() - seconds))


async def test_a_refusal_repeated_is_told_once(desk: Desk, tokens: FakeTokens) -> None:
    tokens.answer = IdentityError("secret_wrong")
    for _ in range(3):
        await settled(desk)
    told = [(entry.actor, entry.action, entry.details) for entry in await audit.entries(desk.store, "acme")]
    assert told == [
        ("operator", "org.requested", {"cloud": "global"}),
        ("authorizer", "org.refused", {"reason": "secret_wrong"}),
    ]
