"""What nobody gets out of the test of an Exchange server: a secret, another's test, a second try, our own machines."""

import asyncio

from msgspec.structs import replace
from sqlalchemy import select, update

from services.authorizer import orgs
from services.authorizer.console.limits import TESTS
from services.authorizer.desk import Desk
from services.authorizer.exchange_doors import exchange
from shared.ews.dialling import Surroundings
from shared.ews.errors import EwsError
from shared.ews.people import Named
from shared.tables import credentials, sign_ins
from tests.unit.authorizer.acting import acts
from tests.unit.authorizer.console.exchange_visiting import CANARY, FORM, HERE, begun, ended, id_of, tried
from tests.unit.authorizer.console.visiting import Console, visited
from tests.unit.authorizer.exchange_fakes import FakeServer

REFUSED = EwsError("sign_in_refused", status=401)


async def test_what_was_saved_cannot_be_saved_again(console: Console) -> None:
    test = id_of(await tried(console))
    await console.post(HERE, {"test": test})
    again = await console.post(HERE, {"test": test})
    assert again.location == HERE
    assert "That test is over" in (await console.get(again.location)).text
    assert len([act for act in await acts(console.store) if act[1] == "credential.stored"]) == 1


async def test_two_who_save_the_same_test_at_once_save_it_once(console: Console) -> None:
    test = id_of(await tried(console))
    answers = await asyncio.gather(*(console.post(HERE, {"test": test}) for _ in range(3)))
    assert sorted(answer.location for answer in answers) == ["/setup", HERE, HERE]


async def test_a_password_that_is_refused_is_tried_once_and_cannot_be_saved(
    console: Console, server: FakeServer
) -> None:
    server.answers["ConvertId"] = REFUSED
    way = await begun(console)
    page = await ended(console, way.location)
    assert "The test did not pass" in page.text
    assert "the password is wrong" in page.text
    assert server.asked == ["ConvertId"]
    saved = await console.post(HERE, {"test": way.location.partition("id=")[2]})
    assert saved.location == HERE
    assert await orgs.org(console.store, "acme") is None
    await console.get(way.location)
    assert server.asked == ["ConvertId"]


async def test_no_secret_is_ever_echoed(console: Console) -> None:
    app = {"auth": "oauth", "tenant": "acme.example", "client_id": "app", "client_secret": CANARY}
    ldap = {"with_ldap": "yes", "ldap_url": "dc1", "ldap_base": "DC=x", "ldap_user": "r", "ldap_password": CANARY}
    for form in (
        FORM,
        {**FORM, **app, "resource": "https://mail.acme.example"},
        {**FORM, **ldap},
        {**FORM, "url": "%"},
    ):
        way = await begun(console, form)
        pages = [way, await ended(console, way.location)]
        pages.append(await console.get(f"{HERE}?test={way.location.partition('=')[2]}"))
        assert all(CANARY not in page.text and CANARY not in str(page.headers) for page in pages)
    async with console.store.read() as reading:
        assert all(CANARY.encode() not in row.sealed for row in await reading.execute(select(sign_ins)))
        assert all(CANARY.encode() not in row.sealed for row in await reading.execute(select(credentials)))


async def test_another_session_sees_and_saves_nothing_of_a_test(console: Console) -> None:
    way = await begun(console)
    test = id_of(await ended(console, way.location))
    async with console.another() as other:
        await other.enter()
        assert (await other.get(way.location)).location == HERE
        assert (await other.get(way.location.replace("/test?", "/test/events?"))).status == 404
        assert (await other.post(HERE, {"test": test})).location == HERE
        assert "svc@acme.example" not in (await other.get(f"{HERE}?test={test}")).text
    assert await orgs.org(console.store, "acme") is None


async def test_tests_are_limited(console: Console) -> None:
    for _ in range(TESTS.most):
        assert (await begun(console)).status == 303
    refused = await begun(console)
    assert refused.status == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert (await begun(console, {**FORM, "url": ""})).status == 303  # nothing is tried of a form that is wrong


async def test_an_address_of_this_machine_is_never_asked(desk: Desk) -> None:
    asked: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(100))

    local = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = local.sockets[0].getsockname()[1]
    real = exchange(desk.microsoft.tokens, Surroundings())
    async with local, visited(replace(desk, exchange=real)) as console:
        await console.enter()
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0"):
            page = await tried(console, {**FORM, "url": f"https://{host}:{port}/EWS/Exchange.asmx"})
            assert "never asked" in page.text, host
            assert "Save and connect" not in page.text
    assert asked == []


async def test_what_a_server_says_is_shown_as_text(console: Console, server: FakeServer) -> None:
    server.answers["ResolveNames"] = (
        Named(address="anna@acme.example", name="<script>alert(1)</script>", kind="Mailbox"),
    )
    page = await tried(console, {**FORM, "account": "<img src=x>@acme.example"})
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    again = await console.get(f"{HERE}?test={id_of(page)}")
    assert "<img" not in again.text.partition("<main")[2]


async def test_a_defect_is_said_to_be_one_and_saves_nothing(console: Console, server: FakeServer) -> None:
    server.answers["ResolveNames"] = ValueError(CANARY)
    page = await tried(console)
    assert "could not be carried out" in page.text
    assert CANARY not in page.text
    assert "Save and connect" not in page.text


async def test_a_draft_outlives_its_half_hour_nowhere(console: Console) -> None:
    way = await begun(console)
    page = await ended(console, way.location)
    async with console.store.write() as writing:
        await writing.execute(update(sign_ins).values(until=1))
    assert (await console.get(way.location)).location == HERE
    assert (await console.post(HERE, {"test": id_of(page)})).location == HERE


async def test_nobody_saves_without_the_forms_token(console: Console) -> None:
    test = id_of(await tried(console))
    assert (await console.post(HERE, {"test": test}, csrf="forged")).status == 403
    assert (await console.post(f"{HERE}/test", FORM, csrf="")).status == 403
    assert await orgs.org(console.store, "acme") is None
