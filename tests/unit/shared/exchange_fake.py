"""A server over TLS that answers POSTs as it is told, signs in by Basic or NTLM, and remembers what it was asked."""

import base64
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import spnego
from msgspec import Struct
from spnego.exceptions import SpnegoError

from deploy.sandbox.tls import context, papers
from shared import clock
from shared.ews.dialling import Surroundings, surroundings

XML = "text/xml; charset=utf-8"
HEAD = (
    '<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"'
    ' xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages">'
)


def soap(inner: str, header: str = "") -> bytes:
    return f"{HEAD}<s:Header>{header}</s:Header><s:Body>{inner}</s:Body></s:Envelope>".encode()


def message(operation: str, inner: str = "", *, code: str = "NoError", more: str = "") -> bytes:
    """Build the answer to an operation with one response message."""
    kind = "Success" if code == "NoError" else "Error"
    return soap(
        f"<m:{operation}Response><m:ResponseMessages>"
        f'<m:{operation}ResponseMessage ResponseClass="{kind}">{more}<m:ResponseCode>{code}</m:ResponseCode>{inner}'
        f"</m:{operation}ResponseMessage></m:ResponseMessages></m:{operation}Response>"
    )


def fault(code: str, *, back_off: int | None = None) -> bytes:
    pause = (
        ""
        if back_off is None
        else f'<t:MessageXml><t:Value Name="BackOffMilliseconds">{back_off}</t:Value></t:MessageXml>'
    )
    errors = 'xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors"'
    return soap(
        f"<s:Fault><faultcode>t:{code}</faultcode><faultstring>private words</faultstring>"
        f"<detail><e:ResponseCode {errors}>{code}</e:ResponseCode>{pause}</detail></s:Fault>"
    )


class Asked(Struct, frozen=True, kw_only=True):
    """One request that was let in, and on which connection it came."""

    headers: dict[str, str]
    body: bytes
    connection: int


class Given(Struct, frozen=True, kw_only=True):
    """What is answered: a body at once, or pieces as they come; `length` lies about the body's length."""

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    kind: str = XML
    length: int | None = None


class ExchangeFake:
    """Answers as `answer` says. `signs_in` is "basic", "ntlm" or "" (nobody is asked who they are)."""

    def __init__(self, folder: Path, *, signs_in: str = "basic", tls: bool = True) -> None:
        self.papers = papers(folder, (), now=clock.now())
        self.signs_in = signs_in
        self.users: tuple[str, ...] = ("SHOP:svc:s3cret",)
        self.answer: Callable[[Asked], Given] = lambda _: Given(body=message("GetFolder"))
        self.asked: list[Asked] = []
        self.attempts = 0  # sign-ins that carried a password, or a proof of one
        self.connections = 0
        self.at_once = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        self._folder = folder
        self.refusal = b""
        self.challenge: Callable[[bytes], str] = lambda token: f"NTLM {base64.b64encode(token).decode()}"
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        if tls:
            self._server.socket = context(self.papers).wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.port = self._server.server_port
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}/EWS/Exchange.asmx"

    @property
    def near(self) -> Surroundings:
        """What a client needs to get here: the CA, and leave to reach this machine."""
        return surroundings(str(self.papers.ca_file), "127.0.0.0/8, ::1/128")

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(60)
        self._server.server_close()

    @contextmanager
    def counted(self, asked: Asked) -> Iterator[None]:
        with self.lock:
            self.asked.append(asked)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self.lock:
                self.at_once -= 1

    @contextmanager
    def passwords(self) -> Iterator[None]:
        """Let pyspnego see the passwords: a variable of the environment is the one place it takes them from."""
        with self.lock:
            file = self._folder / "ntlm"
            file.write_text("".join(f"{user}\n" for user in self.users))
            before = os.environ.get("NTLM_USER_FILE")
            os.environ["NTLM_USER_FILE"] = str(file)
            try:
                yield
            finally:
                if before is None:
                    os.environ.pop("NTLM_USER_FILE")
                else:
                    os.environ["NTLM_USER_FILE"] = before


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    fake: ExchangeFake

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.fake = self.server.fake
        self.named = ""
        self.acceptor: Any = None
        with self.fake.lock:
            self.fake.connections += 1
            self.number = self.fake.connections

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if not self._let_in():
            return
        asked = Asked(headers=dict(self.headers), body=body, connection=self.number)
        with self.fake.counted(asked):
            self._give(self.fake.answer(asked))

    def _let_in(self) -> bool:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if not self.fake.signs_in or self.named:
            return True
        if (self.fake.signs_in, scheme) == ("basic", "Basic"):
            self.fake.attempts += 1
            if base64.b64decode(token).decode("latin-1").replace("\\", ":") in self.fake.users:
                return True
        if (self.fake.signs_in, scheme) == ("ntlm", "NTLM"):
            return self._ntlm(base64.b64decode(token))
        self._refuse("NTLM" if self.fake.signs_in == "ntlm" else 'Basic realm="x"')
        return False

    def _ntlm(self, token: bytes) -> bool:
        with self.fake.passwords(), suppress(SpnegoError):
            if self.acceptor is None:
                self.acceptor = spnego.server(protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm)
                self._refuse(self.fake.challenge(self.acceptor.step(token) or b""))
                return False
            self.fake.attempts += 1
            self.acceptor.step(token)
            self.named = str(self.acceptor.client_principal)
            return True
        self._refuse("NTLM")
        return False

    def _refuse(self, offer: str) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", offer)
        self.send_header("Content-Length", str(len(self.fake.refusal)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(self.fake.refusal)

    def _give(self, given: Given) -> None:
        self.send_response(given.status)
        for name, value in (("Content-Type", given.kind), *given.headers):
            self.send_header(name, value)
        with suppress(OSError):
            if isinstance(given.body, bytes):
                self._at_once(given.body, given.length)
            else:
                self._in_pieces(given.body)
            return
        self.close_connection = True

    def _at_once(self, body: bytes, length: int | None) -> None:
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.close_connection or length is not None

    def _in_pieces(self, pieces: Iterable[bytes]) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""
