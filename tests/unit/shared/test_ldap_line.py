import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.sandbox import tls
from shared import clock
from shared.contracts.messages import LdapSource
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings, surroundings
from shared.ldap import mailboxes, probe
from shared.ldap_line import (
    REASONS,
    BoundedSocket,
    LdapError,
    TooLarge,
    broken,
    refused_bind,
    refused_search,
    tls_context,
)

CREDENTIAL = EwsCredential(username="cn=calendars,dc=example,dc=org", password="secret")
LOOPBACK = surroundings("", "127.0.0.0/8, ::1/128")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (4, "search_limited"),
        (10, "referred"),
        (11, "search_limited"),
        (32, "base_unknown"),
        (50, "search_refused"),
        (51, "directory_busy"),
        (12, "search_refused"),
        (80, "search_refused"),
    ],
)
def test_a_search_that_is_refused_says_why_in_a_word(code: int, reason: str) -> None:
    assert refused_search(code).reason == reason


@pytest.mark.parametrize(
    ("code", "reason"), [(49, "bind_refused"), (34, "bind_refused"), (8, "tls_refused"), (51, "directory_busy")]
)
def test_a_bind_that_is_refused_says_why_in_a_word(code: int, reason: str) -> None:
    assert refused_bind(code).reason == reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ssl.SSLCertVerificationError("secret text"), "not_trusted"),
        (ssl.SSLEOFError("secret text"), "tls_refused"),
        (TimeoutError("secret text"), "timeout"),
        (ConnectionResetError("secret text"), "network"),
        (TooLarge("secret text"), "too_large"),
        (RuntimeError("secret text"), "network"),
    ],
)
def test_what_breaks_is_a_word_without_the_text(error: Exception, reason: str) -> None:
    found = broken(error)
    assert found.reason == reason
    assert found.args == (reason,)
    assert reason in REASONS


async def reason_of(url: str, *, credential: EwsCredential = CREDENTIAL, around: Surroundings = LOOPBACK) -> str:
    with pytest.raises(LdapError) as refused:
        await probe(LdapSource(url=url, base="dc=example,dc=org"), credential, around)
    assert refused.value.__cause__ is None
    assert refused.value.reason in REASONS
    return refused.value.reason


@pytest.mark.parametrize(
    "url", ["ldaps://:636", "ldaps://localhost:99999", "ldaps://[::1", "ldaps://no.such.name.invalid"]
)
async def test_a_url_that_leads_nowhere_names_nobody(url: str) -> None:
    assert await reason_of(url) == "name_unknown"


@pytest.mark.parametrize(
    "url",
    ["ldaps://localhost", "ldap://127.0.0.1:389", "ldaps://[::1]:636", "ldap://169.254.169.254", "ldaps://0.0.0.0"],
)
async def test_no_url_leads_to_addresses_that_must_not_be_reached(url: str) -> None:
    assert await reason_of(url, around=Surroundings()) == "address_refused"


@pytest.mark.parametrize("password", ["", "x"])
async def test_nobody_binds_without_a_name_and_a_password(password: str) -> None:
    nobody = EwsCredential(username="" if password else "cn=somebody", password=password)
    assert await reason_of("ldaps://localhost:1", credential=nobody) == "no_password"


class Speaker:
    """Listens on loopback, says its lines once to whoever connects, under TLS or not, and hangs up at the end."""

    def __init__(self, line: bytes, context: ssl.SSLContext | None, *, repeats: int = 1) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._line, self._context, self._repeats = line, context, repeats
        self.heard = b""
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self._thread.start()

    def _speak(self) -> None:
        try:
            reached, _ = self._listener.accept()
            with reached if self._context is None else self._context.wrap_socket(reached, server_side=True) as line:
                line.settimeout(20)
                self.heard = line.recv(65536)
                for _ in range(self._repeats):
                    line.sendall(self._line)
        except OSError:
            return

    def close(self) -> None:
        self._listener.close()
        self._thread.join(60)


@pytest.fixture
def papers(tmp_path: Path) -> tls.Papers:
    return tls.papers(tmp_path, [], now=clock.now())


@pytest.fixture
def speaking(papers: tls.Papers, request: pytest.FixtureRequest) -> Iterator[Speaker]:
    line, repeats = request.param
    speaker = Speaker(line, tls.context(papers), repeats=repeats)
    yield speaker
    speaker.close()


GARBAGE = [
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", 1),
    (b"\x30\x03\x02\x01\x01", 1),  # an LDAP message without an operation
    (b"\x30\x05\x02\x01\x01\x61\x00", 1),  # an empty answer to a bind
    (b"\x30\x84\xff\xff\xff\xff", 1),
    (b"\x30\x80", 1),
]


@pytest.mark.parametrize("speaking", GARBAGE, indirect=True, ids=range(len(GARBAGE)))
async def test_what_does_not_speak_ldap_is_told_apart_from_a_bug(speaking: Speaker, papers: tls.Papers) -> None:
    around = surroundings(str(papers.ca_file), "127.0.0.0/8")
    source = LdapSource(url=f"ldaps://127.0.0.1:{speaking.port}", base="dc=x")
    with pytest.raises(LdapError) as refused:
        await probe(source, CREDENTIAL, around)
    assert refused.value.reason in {"malformed", "network", "timeout", "bind_refused"}


@pytest.mark.parametrize("speaking", [(b"\x30\x84\x7f\xff\xff\xff" + bytes(65536), 8)], indirect=True)
async def test_an_answer_without_an_end_is_given_up(
    speaking: Speaker, papers: tls.Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedSocket, "left", 2**18)
    around = surroundings(str(papers.ca_file), "127.0.0.0/8")
    source = LdapSource(url=f"ldaps://127.0.0.1:{speaking.port}", base="dc=x")
    with pytest.raises(LdapError) as refused:
        async for _ in mailboxes(source, CREDENTIAL, around):
            pass
    assert refused.value.reason == "too_large"


async def test_a_server_that_cannot_do_starttls_is_told_no_password(papers: tls.Papers) -> None:
    speaker = Speaker(b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00", None)  # protocolError
    source = LdapSource(url=f"ldap://127.0.0.1:{speaker.port}", base="dc=x")
    with pytest.raises(LdapError, match="tls_refused"):
        await probe(source, CREDENTIAL, surroundings(str(papers.ca_file), "127.0.0.0/8"))
    assert b"1.3.6.1.4.1.1466.20037" in speaker.heard
    assert b"secret" not in speaker.heard
    speaker.close()


async def test_a_directory_is_believed_only_under_its_own_name(papers: tls.Papers) -> None:
    listener = socket.create_server(("127.0.0.2", 0))
    source = LdapSource(url=f"ldaps://127.0.0.2:{listener.getsockname()[1]}", base="dc=x")

    def answer() -> None:
        reached, _ = listener.accept()
        try:
            tls.context(papers).wrap_socket(reached, server_side=True).recv(1)
        except OSError:
            reached.close()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    around = surroundings(str(papers.ca_file), "127.0.0.0/8")
    with pytest.raises(LdapError, match="not_trusted"):
        await probe(source, CREDENTIAL, around)
    thread.join(60)
    listener.close()


def test_tls_older_than_1_2_is_not_spoken() -> None:
    context = tls_context("")
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.sslsocket_class is BoundedSocket
