"""Signing in to EWS over the network: NTLM on its connection, exchangelib by each scheme, and streams as they come."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
import requests.adapters
from exchangelib import BASIC, IMPERSONATION, NTLM, Account, Configuration, Credentials, EWSTimeZone
from exchangelib.errors import UnauthorizedError
from exchangelib.protocol import BaseProtocol, FailFast, Protocol
from exchangelib.version import Build, Version
from lxml import etree
from requests_ntlm import HttpNtlmAuth

from deploy.sandbox import Fault, FaultKind, Sandbox, SandboxOptions, start
from deploy.sandbox.calendar import Item
from deploy.sandbox.rendering import IMMUTABLE_ID
from tests.unit.sandbox.asking import NOW
from tests.unit.sandbox.asking_ews import NAMES, PERSON, envelope, texts
from tests.unit.sandbox.test_ews_streaming import listening, subscription

ASK = envelope(
    f'<m:ResolveNames ReturnFullContactData="false"><m:UnresolvedEntry>{PERSON}</m:UnresolvedEntry></m:ResolveNames>'
)
UPN = "svc-busyline@sandbox.example"
XML = {"Content-Type": "text/xml; charset=utf-8"}


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    running = await start(SandboxOptions(folder=tmp_path / "papers", mailboxes=3, events=2, now=NOW))
    yield running
    await running.stop()


@pytest.fixture(autouse=True)
def trusting(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(sandbox.ca_file))


def asked(sandbox: Sandbox, user: str, password: str, *, times: int = 1, scheme: str = "ntlm") -> list[int]:
    """Return the statuses of so many requests on one connection."""
    with requests.Session() as session:
        session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=1))
        session.auth = HttpNtlmAuth(user, password) if scheme == "ntlm" else (user, password)
        return [session.post(sandbox.ews_url, data=ASK, headers=XML, timeout=60).status_code for _ in range(times)]


@pytest.mark.parametrize("user", ["SANDBOX\\svc-busyline", "sandbox\\SVC-Busyline", UPN, "svc-busyline", f"\\{UPN}"])
async def test_ntlm_lets_an_account_in_under_each_of_its_names(sandbox: Sandbox, user: str) -> None:
    assert await asyncio.to_thread(asked, sandbox, user, sandbox.ews_password) == [200]
    assert sandbox.state.ews.sign_ins == {"ntlm": 1}
    assert not sandbox.state.ews.failed_sign_ins


async def test_ntlm_signs_a_connection_in_once(sandbox: Sandbox) -> None:
    def twice() -> list[int]:
        with requests.Session() as session:
            session.auth = HttpNtlmAuth(sandbox.ews_user, sandbox.ews_password)
            first = session.post(sandbox.ews_url, data=ASK, headers=XML, timeout=60)
            session.auth = None  # the connection is what was signed in
            second = session.post(sandbox.ews_url, data=ASK, headers=XML, timeout=60)
        with requests.Session() as other:
            third = other.post(sandbox.ews_url, data=ASK, headers=XML, timeout=60)
        return [first.status_code, second.status_code, third.status_code]

    assert await asyncio.to_thread(twice) == [200, 200, 401]
    assert sandbox.state.ews.sign_ins == {"ntlm": 1}


@pytest.mark.parametrize("scheme", ["ntlm", "basic"])
async def test_a_wrong_password_is_exactly_one_failed_sign_in(sandbox: Sandbox, scheme: str) -> None:
    assert await asyncio.to_thread(asked, sandbox, sandbox.ews_user, "wrong", scheme=scheme) == [401]
    assert sandbox.state.ews.failed_sign_ins == {UPN: 1}
    assert not sandbox.state.ews.sign_ins


async def test_a_stranger_is_one_failed_sign_in_under_the_name_given(sandbox: Sandbox) -> None:
    assert await asyncio.to_thread(asked, sandbox, "SANDBOX\\nobody", "x") == [401]
    assert sandbox.state.ews.failed_sign_ins == {"sandbox\\nobody": 1}


async def test_a_locked_account_loses_the_connection_it_signed_in_on(sandbox: Sandbox) -> None:
    def before_and_after() -> list[int]:
        with requests.Session() as session:
            session.auth = HttpNtlmAuth(sandbox.ews_user, sandbox.ews_password)
            first = session.post(sandbox.ews_url, data=ASK, headers=XML, timeout=60)
            sandbox.ews.change_account(UPN, locked=True)
            session.auth = None
            return [first.status_code, session.post(sandbox.ews_url, data=ASK, headers=XML, timeout=60).status_code]

    assert await asyncio.to_thread(before_and_after) == [200, 401]


async def test_a_changed_password_holds_for_ntlm_too(sandbox: Sandbox) -> None:
    sandbox.ews.change_account(UPN, password="another")
    assert await asyncio.to_thread(asked, sandbox, sandbox.ews_user, "another") == [200]


async def test_two_sandboxes_in_one_process_keep_their_passwords_apart(sandbox: Sandbox, tmp_path: Path) -> None:
    other = await start(SandboxOptions(folder=tmp_path / "other", mailboxes=1, events=0))
    try:
        assert await asyncio.to_thread(asked, sandbox, sandbox.ews_user, sandbox.ews_password) == [200]
        assert other.ews_password != sandbox.ews_password
        sandbox.state.ews.failed_sign_ins.clear()
        assert await asyncio.to_thread(asked, sandbox, sandbox.ews_user, other.ews_password) == [401]
    finally:
        await other.stop()


def test_the_password_file_is_for_its_owner_alone(sandbox: Sandbox) -> None:
    for name in ("ntlm-users", "ews-password"):
        assert (sandbox.state.options.folder / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("scheme", ["Negotiate", "NTLM"])
@pytest.mark.parametrize("token", ["", "!!!", "TlRMTVNTUAABAAAA", "TlRMTVNTUAADAAAA", "YII="])
async def test_a_broken_token_is_a_401_that_begins_again(sandbox: Sandbox, scheme: str, token: str) -> None:
    async with opened(sandbox) as session:
        headers = XML | {"Authorization": f"{scheme} {token}"}
        async with session.post(sandbox.ews_url, data=ASK, headers=headers) as answer:
            assert answer.status == 401
            assert answer.headers.getall("WWW-Authenticate")[-1].startswith("Basic")
    assert not sandbox.state.ews.failed_sign_ins


async def test_negotiate_carries_raw_ntlm(sandbox: Sandbox) -> None:
    hello = "TlRMTVNTUAABAAAAN4II4gAAAAAoAAAAAAAAACgAAAAKAGFKAAAADw=="
    async with opened(sandbox) as session:
        headers = XML | {"Authorization": f"Negotiate {hello}"}
        async with session.post(sandbox.ews_url, data=ASK, headers=headers) as answer:
            assert answer.status == 401
            (reply,) = answer.headers.getall("WWW-Authenticate")
    assert reply.startswith("Negotiate TlRMTVNTUAACAAAA")


def opened(sandbox: Sandbox) -> aiohttp.ClientSession:
    trust = ssl.create_default_context(cafile=str(sandbox.ca_file))
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust))


# exchangelib


@pytest.fixture
def protocol(sandbox: Sandbox) -> Callable[..., Protocol]:
    def made(password: str, scheme: str, *, user: str = sandbox.ews_user) -> Protocol:
        return Protocol(
            config=Configuration(
                service_endpoint=sandbox.ews_url,
                credentials=Credentials(user, password),
                auth_type=scheme,
                version=Version(Build(15, 2, 1748, 10)),
                retry_policy=FailFast(),
            )
        )

    return made


def resolved(made: Protocol) -> list[Any]:
    try:
        return list(made.resolve_names([PERSON]))
    finally:
        made.close()


@pytest.mark.parametrize("scheme", [BASIC, NTLM])
@pytest.mark.parametrize("user", ["SANDBOX\\svc-busyline", UPN])
async def test_exchangelib_signs_in(
    sandbox: Sandbox, protocol: Callable[..., Protocol], scheme: str, user: str
) -> None:
    made = protocol(sandbox.ews_password, scheme, user=user)
    found = await asyncio.to_thread(resolved, made)
    assert [mailbox.email_address for mailbox in found] == [PERSON]
    assert not sandbox.state.ews.failed_sign_ins


@pytest.mark.parametrize("scheme", [BASIC, NTLM])
async def test_exchangelib_with_a_wrong_password_fails_once(
    sandbox: Sandbox, protocol: Callable[..., Protocol], scheme: str
) -> None:
    made = protocol("wrong", scheme)
    with pytest.raises(UnauthorizedError):
        await asyncio.to_thread(resolved, made)
    assert sandbox.state.ews.failed_sign_ins == {UPN: 1}


async def test_exchangelib_is_told_of_a_locked_account(sandbox: Sandbox, protocol: Callable[..., Protocol]) -> None:
    sandbox.ews.change_account(UPN, locked=True)
    made = protocol(sandbox.ews_password, BASIC)
    with pytest.raises(UnauthorizedError, match="currently locked out"):
        await asyncio.to_thread(resolved, made)


async def test_exchangelib_finds_out_the_schemes_by_itself(sandbox: Sandbox) -> None:
    def guessed() -> str:
        config = Configuration(
            service_endpoint=sandbox.ews_url,
            credentials=Credentials(sandbox.ews_user, sandbox.ews_password),
            retry_policy=FailFast(),
        )
        made = Protocol(config=config)
        try:
            return str(made.auth_type)
        finally:
            made.close()

    assert await asyncio.to_thread(guessed) == NTLM
    assert not sandbox.state.ews.failed_sign_ins
    assert BaseProtocol.HTTP_ADAPTER_CLS is requests.adapters.HTTPAdapter


async def test_exchangelib_hears_what_happens_to_a_calendar(sandbox: Sandbox) -> None:
    sandbox.ews.behave(minute=1.0)

    def heard() -> list[tuple[str, str]]:
        config = Configuration(
            service_endpoint=sandbox.ews_url,
            credentials=Credentials(sandbox.ews_user, sandbox.ews_password),
            auth_type=NTLM,
            version=Version(Build(15, 2, 1748, 10)),
            retry_policy=FailFast(),
            max_connections=2,
        )
        account = Account(PERSON, config=config, access_type=IMPERSONATION, default_timezone=EWSTimeZone("UTC"))
        try:
            with account.calendar.streaming_subscription() as name:
                sandbox.add_event(PERSON, Item(item_id="mine", start=NOW, end=NOW + 60))
                told = account.calendar.get_streaming_events(name, connection_timeout=1, max_notifications_returned=1)
                return [(event.ELEMENT_NAME, event.item_id.id) for each in told for event in each.events]
        finally:
            account.protocol.close()

    assert await asyncio.to_thread(heard) == [("CreatedEvent", f"{IMMUTABLE_ID}mineAA=")]


# streaming


def signed(sandbox: Sandbox) -> dict[str, str]:
    token = b64encode(f"{sandbox.ews_user}:{sandbox.ews_password}".encode()).decode()
    return XML | {"Authorization": f"Basic {token}"}


async def test_parts_of_a_stream_arrive_when_they_happen_and_end_with_the_sandbox(sandbox: Sandbox) -> None:
    async with opened(sandbox) as session:
        body = envelope(subscription(), impersonated=PERSON)
        async with session.post(sandbox.ews_url, data=body, headers=signed(sandbox)) as answer:
            (name,) = texts(etree.fromstring(await answer.read()), ".//m:SubscriptionId")
        body = envelope(listening(name, minutes=30), impersonated=PERSON)
        async with session.post(sandbox.ews_url, data=body, headers=signed(sandbox)) as answer:
            assert answer.status == 200
            assert b"ConnectionStatus>OK<" in await answer.content.readany()
            sandbox.add_event(PERSON, Item(item_id="", start=NOW, end=NOW + 60))
            told = etree.fromstring(await answer.content.readany())
            assert [etree.QName(each).localname for each in told.iterfind(".//t:Notification/*", NAMES)][1:] == [
                "CreatedEvent"
            ]
            stopping = asyncio.create_task(sandbox.stop())
            assert b"ConnectionStatus>Closed<" in await answer.content.read()
            await stopping


async def test_who_stops_listening_frees_the_connection(sandbox: Sandbox) -> None:
    sandbox.ews.behave(minute=1.0)  # it would last thirty seconds
    async with opened(sandbox) as session:
        body = envelope(subscription(), impersonated=PERSON)
        async with session.post(sandbox.ews_url, data=body, headers=signed(sandbox)) as answer:
            (name,) = texts(etree.fromstring(await answer.read()), ".//m:SubscriptionId")
        body = envelope(listening(name, minutes=30), impersonated=PERSON)
        async with session.post(sandbox.ews_url, data=body, headers=signed(sandbox)) as answer:
            await answer.content.readany()
            assert sandbox.state.ews.listeners.connected == {UPN: 1}
            answer.close()
    deadline = asyncio.get_running_loop().time() + 60
    while sandbox.state.ews.listeners.connected != {UPN: 0}:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def test_a_dropped_request_has_no_answer(sandbox: Sandbox) -> None:
    sandbox.order(Fault(kind=FaultKind.DROP, match="Exchange.asmx"))
    async with opened(sandbox) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.post(sandbox.ews_url, data=ASK, headers=signed(sandbox))
