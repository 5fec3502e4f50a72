import asyncio
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from shared import ldap
from shared.contracts.messages import LdapSource
from shared.ews.credential import EwsCredential
from shared.ews.dialling import surroundings
from shared.ldap import Line
from shared.ldap_entries import ACTIVE_DIRECTORY, IN_CHAIN
from shared.ldap_line import MOST_BYTES, LdapError

GROUP = "cn=Calendars (all) *,dc=example,dc=org"
SOURCE = LdapSource(url="ldaps://dc.example.org", base="dc=example,dc=org", group=GROUP)
HERE = "127.0.0.0/8"
PAGED = "1.2.840.113556.1.4.319"


class Socket:
    left = 0


class Told:
    """A connection by hand: what a search at each place gives, and a page's cookie."""

    def __init__(self, places: dict[str, list[tuple[str, dict[str, list[bytes]]]]], *, cookie: bytes = b"") -> None:
        self.places = places
        self.cookie = cookie
        self.socket = Socket()
        self.asked: list[tuple[str, str]] = []
        self.result: dict[str, Any] = {}
        self.response: list[dict[str, Any]] = []

    def search(self, base: str, text: str, **_: object) -> None:
        self.asked.append((base, text))
        found = self.places.get(base)
        controls = {PAGED: {"value": {"cookie": self.cookie}}}
        self.result = {"result": 32 if found is None else 0, "controls": controls}
        named: Sequence[tuple[str, dict[str, list[bytes]]]] = found or ()
        self.response = [{"type": "searchResRef", "uri": ["ldap://elsewhere"]}]
        self.response += [{"type": "searchResEntry", "dn": dn, "raw_attributes": raw} for dn, raw in named]


@pytest.fixture
def line() -> Line:
    made = Line()
    made._ldap3 = ldap._library()
    return made


def test_active_directory_searches_the_groups_in_a_group_itself(line: Line) -> None:
    line._connection = Told(
        {GROUP: [(GROUP, {})], "": [("", {"supportedCapabilities": [b"1.2.3", ACTIVE_DIRECTORY.encode()]})]}
    )
    text, members = line.scope(SOURCE)
    assert members is None
    assert f"(memberOf:{IN_CHAIN}:=cn=Calendars \\28all\\29 \\2a,dc=example,dc=org)" in text


def test_of_any_other_directory_the_groups_are_walked(line: Line) -> None:
    inner = "cn=inner,dc=example,dc=org"
    line._connection = Told(
        {
            GROUP: [(GROUP, {"member": [inner.encode()]})],
            "": [("", {"supportedCapabilities": []})],
            SOURCE.base: [(inner, {"uniqueMember": [b"CN=Somebody,dc=example,dc=org"]})],
        }
    )
    text, members = line.scope(SOURCE)
    assert "memberOf" not in text
    assert members is not None
    assert set(members) == {inner, "cn=somebody,dc=example,dc=org"}


def test_a_group_that_is_not_there_is_no_empty_group(line: Line) -> None:
    line._connection = Told({"": [("", {"supportedCapabilities": [ACTIVE_DIRECTORY.encode()]})]})
    with pytest.raises(LdapError, match="group_unknown"):
        line.scope(SOURCE)


def test_a_group_that_cannot_be_seen_is_no_empty_group(line: Line) -> None:
    line._connection = Told({GROUP: []})
    with pytest.raises(LdapError, match="group_unknown"):
        line.scope(SOURCE)


def test_pages_without_an_end_are_given_up(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldap, "MOST_PAGES", 3)
    line._connection = Told({GROUP: [(GROUP, {})], "": [], SOURCE.base: []}, cookie=b"more")
    with pytest.raises(LdapError, match="too_large"):
        line.scope(SOURCE)


def test_every_search_may_cost_so_much_and_no_more(line: Line) -> None:
    line._connection = told = Told({SOURCE.base: []})
    line.search(SOURCE.base, "(objectClass=*)", (), b"", 5)
    assert told.socket.left == MOST_BYTES


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
async def test_a_server_that_says_a_little_now_and_then_does_not_keep_the_thread(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ldap, "STEP_SECONDS", 0.5)
    over = threading.Event()
    drip = (
        b"\x16\x03\x03\x40\x00" if scheme == "ldaps" else b"\x30\x84\x00\x10\x00\x00"
    )  # a long record, a long message
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with listening.accept()[0] as line, suppress(OSError):
                line.sendall(drip)
                while not over.wait(0.05):
                    line.sendall(b"\x00")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        source = LdapSource(url=f"{scheme}://127.0.0.1:{listening.getsockname()[1]}", base="dc=example,dc=org")
        account, line = EwsCredential(username="svc", password="s3cret"), Line()
        try:
            with pytest.raises(LdapError, match="timeout"):
                await line.run(line.sign_in, source, account, surroundings("", HERE))
            ended = asyncio.create_task(asyncio.to_thread(line._pool.shutdown))
            await asyncio.wait({ended}, timeout=60)
            kept = not ended.done()
        finally:
            over.set()
        thread.join(60)
    await ended
    assert not kept
