"""Where an admin begins, the choice of a connection, and the audit tab."""

import pytest
from sqlalchemy import text

from services.authorizer import audit, orgs
from services.authorizer.console import audit as tab
from services.authorizer.console.tabs import first_page, tabs
from shared.contracts.messages import EwsConnection, GraphConnection, ListSource
from shared.contracts.policy import Policy
from shared.store import Store
from tests.unit.authorizer.console.visiting import Console

GRAPH = GraphConnection(tenant_id="0a000000-0000-4000-8000-000000000001")
EWS = EwsConnection(member="m@acme.example", directory=(ListSource(addresses=("m@acme.example",)),))


async def requested(store: Store, *, state: str, connection: GraphConnection | EwsConnection = GRAPH) -> None:
    await orgs.request(store, org_id="acme", connection=connection, policy=Policy(), now=1000)
    async with store.write() as writing:
        await writing.execute(text("UPDATE orgs SET state = :state"), {"state": state})


@pytest.mark.parametrize(
    ("state", "first"),
    [
        ("requested", "/setup/status"),
        ("refused", "/setup/status"),
        ("connected", "/setup/status"),
        ("attention", "/setup/status"),
        ("disconnecting", "/setup/disconnect"),
    ],
)
async def test_an_admin_begins_where_their_org_stands(console: Console, state: str, first: str) -> None:
    await requested(console.store, state=state)
    assert (await console.get("/setup")).location == first


async def test_an_org_not_known_begins_with_the_choice(console: Console) -> None:
    assert (await console.get("/setup")).location == "/setup/connect"
    page = await console.get("/setup/connect")
    assert 'href="/setup/connect/microsoft"' in page.text
    assert 'href="/setup/connect/exchange"' in page.text


def test_nothing_is_offered_to_a_state_that_leads_nowhere() -> None:
    assert [one.name for one in tabs("connected")] == [
        "status",
        "mailboxes",
        "settings",
        "connection",
        "audit",
        "disconnect",
    ]
    assert [one.name for one in tabs("disconnecting")] == ["disconnect", "audit"]
    assert [one.name for one in tabs(None)] == ["connection", "audit"]
    assert first_page("disconnecting") == "/setup/disconnect"


async def test_the_connection_tells_what_it_is_and_how_it_stands(console: Console) -> None:
    await requested(console.store, state="connected")
    page = await console.get("/setup/connect")
    assert "0a000000-0000-4000-8000-000000000001" in page.text
    assert "Connect anew" in page.text


async def test_an_exchange_connection_found_by_autodiscover_says_so(console: Console) -> None:
    await requested(console.store, state="attention", connection=EWS)
    page = await console.get("/setup/connect")
    assert "found by autodiscover" in page.text
    assert "Needs attention" in page.text


async def test_an_org_that_is_leaving_is_offered_no_connection(console: Console) -> None:
    await requested(console.store, state="disconnecting")
    assert "/setup/connect/microsoft" not in (await console.get("/setup/connect")).text


async def written(store: Store, count: int, *, chain: str = "acme", actor: str = "user-7") -> None:
    async with store.write() as writing:
        for number in range(count):
            details, now = {"number": number}, 1000 + number
            await audit.append(
                store, writing, chain=chain, actor=actor, action="policy.changed", details=details, now=now
            )


async def test_the_audit_tab_shows_who_did_what_the_newest_first(console: Console) -> None:
    await written(console.store, 3)
    page = await console.get("/setup/audit")
    assert "The chain of entries is whole." in page.text
    assert page.text.index('<td class="slim">3</td>') < page.text.index('<td class="slim">1</td>')
    assert "policy.changed" in page.text


async def test_an_audit_log_is_turned_page_by_page(console: Console) -> None:
    await written(console.store, tab.PAGE * 2 + 1)
    first, last = await console.get("/setup/audit"), await console.get("/setup/audit?page=3")
    assert 'href="/setup/audit?page=2"' in first.text
    assert last.text.count('<td class="slim">') == 1
    assert (await console.get("/setup/audit?page=99")).text.count('<td class="slim">') == 1


@pytest.mark.parametrize("number", ["0", "-1", "x", "", "1e3", "9" * 30, "٣"])
async def test_a_page_that_is_no_number_is_the_first(console: Console, number: str) -> None:
    await written(console.store, tab.PAGE + 1)
    page = await console.get("/setup/audit", params={"page": number})
    assert page.text.count('<td class="slim">') in {tab.PAGE, 1}
    assert page.status == 200


async def test_a_changed_entry_is_found(console: Console) -> None:
    await written(console.store, 3)
    async with console.store.write() as writing:
        await writing.execute(text("DROP TRIGGER audit_no_update"))
        await writing.execute(text("UPDATE audit SET actor = 'nobody' WHERE number = 2"))
    assert "Entry 2 is broken or missing." in (await console.get("/setup/audit")).text


async def test_another_orgs_entries_are_not_shown(console: Console) -> None:
    await written(console.store, 1, chain="globex", actor="canary")
    page = await console.get("/setup/audit?org=globex&org_id=globex")
    assert "canary" not in page.text
    assert "Nothing has happened yet" in page.text


async def test_names_in_the_audit_log_are_text(console: Console) -> None:
    await written(console.store, 1, actor="<script>alert(1)</script>")
    page = await console.get("/setup/audit")
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
