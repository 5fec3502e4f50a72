"""Connecting an Exchange server on the setup page: described, tried step by step, saved as it was tried."""

import asyncio
from typing import Any

import aiohttp
import msgspec
from msgspec.structs import replace

from services.authorizer import audit, orgs
from services.authorizer.console import drafts, exchange_trials, sessions
from services.authorizer.desk import Desk
from shared import clock
from shared.connections import credential_of
from shared.contracts.messages import EwsConnection, GroupSource
from shared.contracts.policy import Detail, Policy
from shared.ews.credential import EwsCredential
from shared.ews.errors import EwsError
from tests.unit.authorizer.acting import acts
from tests.unit.authorizer.console.exchange_visiting import CANARY, FORM, HERE, begun, ended, id_of, tried, until
from tests.unit.authorizer.console.visiting import Console, visited
from tests.unit.authorizer.exchange_fakes import FakeServer

REFUSED = EwsError("sign_in_refused", status=401)


async def test_a_server_that_is_good_is_tested_and_saved(console: Console, server: FakeServer) -> None:
    page = await tried(console)
    assert "Everything that is needed works" in page.text
    assert page.text.count("step done") == 12
    assert await orgs.org(console.store, "acme") is None
    saved = await console.post(HERE, {"test": id_of(page)})
    assert (saved.status, saved.location) == (303, "/setup")
    found = await orgs.org(console.store, "acme")
    assert found is not None
    assert isinstance(found.connection, EwsConnection)
    assert (found.state, found.policy) == ("requested", Policy())
    assert found.connection.url == "https://mail.acme.example/EWS/Exchange.asmx"
    assert found.connection.directory == (GroupSource(address="calendars@acme.example"),)
    assert found.connection.endpoint == ""
    kept = await credential_of(console.store, console.place.vault, found.connection.credential, EwsCredential)
    assert kept == EwsCredential(username="svc@acme.example", password=CANARY)
    assert console.place.wakes.verify.is_set()
    assert [act for act in await acts(console.store) if act[1] == "credential.stored"] == [
        ("it@acme.example", "credential.stored")
    ]
    assert server.opened == [("https://mail.acme.example/EWS/Exchange.asmx", "ntlm")]


async def test_after_a_failure_everything_but_the_password_is_filled_in(console: Console, server: FakeServer) -> None:
    server.answers["ConvertId"] = REFUSED
    way = await begun(console)
    await ended(console, way.location)
    page = await console.get(f"{HERE}?test={way.location.partition('id=')[2]}")
    assert 'value="svc@acme.example"' in page.text
    assert 'value="https://mail.acme.example/EWS/Exchange.asmx"' in page.text
    assert "calendars@acme.example" in page.text
    assert CANARY not in page.text
    server.answers = FakeServer().answers
    assert "Everything that is needed works" in (await tried(console)).text


async def test_what_is_wrong_with_a_form_is_said_beside_its_field_and_nothing_is_tried(
    console: Console, server: FakeServer
) -> None:
    way = await begun(console, {**FORM, "member": "anna", "url": ""})
    assert way.status == 303
    assert way.location.startswith(f"{HERE}?draft=")
    page = await console.get(way.location)
    assert 'href="#f-member"' in page.text
    assert 'href="#f-url"' in page.text
    assert 'value="anna"' in page.text
    assert CANARY not in page.text
    assert server.reached == []


async def test_who_tested_and_what_came_of_it_is_in_the_audit_log(console: Console, server: FakeServer) -> None:
    await tried(console)
    server.answers["ConvertId"] = REFUSED
    await tried(console)
    entries = await audit.entries(console.store, "acme")
    assert [(entry.actor, entry.action, entry.details) for entry in entries[-2:]] == [
        ("it@acme.example", "connection.tested", {"kind": "ews", "passed": True, "reason": ""}),
        ("it@acme.example", "connection.tested", {"kind": "ews", "passed": False, "reason": "sign_in_refused"}),
    ]


async def test_the_steps_are_heard_of_one_by_one(console: Console) -> None:
    way = await begun(console)
    heard = await console.get(way.location.replace("/test?", "/test/events?"))
    assert heard.headers["Content-Type"].startswith("text/event-stream")
    events = [event for event in heard.text.split("\n\n") if event.startswith("event:")]
    assert [event.partition("\n")[0] for event in events] == [*["event: part"] * (len(events) - 1), "event: end"]
    assert "Save and connect" in events[-2]
    assert "Sign-in" in events[-2]


class SlowDoor:
    """A door that opens once the gate does."""

    def __init__(self, door: Any, gate: asyncio.Event) -> None:
        self._door = door
        self._gate = gate

    async def ask(self, envelope: Any, decode: Any) -> Any:
        await self._gate.wait()
        return await self._door.ask(envelope, decode)

    def close(self) -> None:
        self._door.close()


async def test_a_step_is_shown_while_the_next_one_is_still_waited_for(desk: Desk, server: FakeServer) -> None:
    gate, doors = asyncio.Event(), server.exchange()
    slow = replace(doors, door=lambda *given: SlowDoor(doors.door(*given), gate))
    async with visited(replace(desk, exchange=slow)) as console:
        await console.enter()
        way = await begun(console)

        async def reached() -> bool:
            return "Ways to sign in" in (await console.get(way.location)).text

        await until(reached)
        page = await console.get(way.location)
        assert "Save and connect" not in page.text
        assert 'http-equiv="refresh"' in page.text
        assert (await console.post(HERE, {"test": way.location.partition("id=")[2]})).location == HERE
        gate.set()
        assert "Save and connect" in (await ended(console, way.location)).text


async def test_a_file_of_addresses_takes_the_place_of_those_typed(console: Console) -> None:
    form = aiohttp.FormData(
        {**FORM, "with_group": "", "with_list": "yes", "list": "x@acme.example", "csrf": console.csrf}
    )
    form.add_field("list_file", b"Name,PrimarySmtpAddress\nAnna,Anna@acme.example\n", filename="mailboxes.csv")
    way = await console.ask("POST", f"{HERE}/test", data=form)
    page = await ended(console, way.location)
    await console.post(HERE, {"test": id_of(page)})
    found = await orgs.org(console.store, "acme")
    assert found is not None
    assert "anna@acme.example" in str(found.connection)
    assert "x@acme.example" not in str(found.connection)


async def test_a_file_that_holds_no_addresses_is_refused_by_its_field(console: Console) -> None:
    form = aiohttp.FormData({**FORM, "with_list": "yes", "csrf": console.csrf})
    form.add_field("list_file", b"\xff\xfe\x00", filename="mailboxes.csv")
    way = await console.ask("POST", f"{HERE}/test", data=form)
    assert 'href="#f-list_file"' in (await console.get(way.location)).text


async def test_the_preparation_names_what_is_known(console: Console) -> None:
    page = await console.get(f"{HERE}?guide_account=reader&guide_domain=acme.example&guide_group=team")
    assert "&#39;reader@acme.example&#39;" in page.text
    assert "198.51.100.7" in page.text
    page = await console.get(f"{HERE}?guide_account=%27%3B+Remove-Mailbox")
    assert "Alias &#39;&#39;&#39;; Remove-Mailbox&#39;" in page.text


async def test_without_addresses_of_its_own_the_page_says_whom_to_ask(desk: Desk) -> None:
    async with visited(desk, egress=()) as console:
        await console.enter()
        assert "has not named fixed addresses" in (await console.get(HERE)).text


async def test_an_org_that_is_connected_so_finds_its_values_again(console: Console) -> None:
    await console.post(HERE, {"test": id_of(await tried(console))})
    page = await console.get(HERE)
    assert 'value="svc@acme.example"' in page.text
    assert 'value="omar@acme.example"' in page.text
    assert CANARY not in page.text


async def test_a_connection_that_is_replaced_keeps_its_policy(console: Console) -> None:
    await console.post(HERE, {"test": id_of(await tried(console))})
    await orgs.change_policy(console.store, "acme", Policy(detail=Detail.DETAILS), actor="it", now=1_700_000_000)
    state = await orgs.org(console.store, "acme")
    assert state is not None
    await console.post(HERE, {"test": id_of(await tried(console, {**FORM, "url": "new.acme.example"}))})
    after = await orgs.org(console.store, "acme")
    assert after is not None
    assert after.policy == state.policy
    assert isinstance(after.connection, EwsConnection)
    assert after.connection.url == "https://new.acme.example/EWS/Exchange.asmx"


async def test_a_test_whose_process_died_is_said_to_be_cut_off(console: Console) -> None:
    way = await begun(console)
    await ended(console, way.location)
    test = way.location.partition("id=")[2]
    visit = await _visit(console)
    long_ago = exchange_trials.Progress(started_at=1)
    await drafts.put(console.place, visit, exchange_trials._PROGRESS, test, msgspec.json.encode(long_ago))
    page = await console.get(way.location)
    assert "The test was cut off" in page.text
    assert (await console.post(HERE, {"test": test})).location == HERE


async def _visit(console: Console) -> Any:
    return await sessions.visit(console.store, console.place.vault, console.session_id, now=clock.now())


async def test_a_file_that_was_not_chosen_is_as_good_as_none(console: Console) -> None:
    boundary = "a-browsers-own"
    fields = {**FORM, "csrf": console.csrf}
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    empty = 'Content-Disposition: form-data; name="list_file"; filename=""'
    parts.append(f"{empty}\r\nContent-Type: application/octet-stream\r\n\r\n")
    body = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    way = await console.ask("POST", f"{HERE}/test", data=body.encode(), headers=headers)
    assert way.location.startswith(f"{HERE}/test?id=")
