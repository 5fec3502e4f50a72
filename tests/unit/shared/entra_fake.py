"""A sign-in over TLS that answers as it is told and remembers what it was asked; a thread serves it."""

import json
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from deploy.sandbox.tls import context, papers
from shared import clock

Answer = tuple[int, dict[str, str], Any]


class EntraFake:
    """Answers metadata for any tenant; `token` decides what the token endpoint says."""

    def __init__(self, folder: Path) -> None:
        self.papers = papers(folder, (), now=clock.now())
        self.tenant = ""
        self.asked: list[dict[str, str]] = []
        self.metadata_asked = 0
        self.metadata: Answer | None = None
        self.keys: Answer = (200, {}, {"keys": []})
        self.token: Callable[[dict[str, str]], Answer] = lambda _: issued("token-1")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = context(self.papers).wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"https://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(60)
        self._server.server_close()

    def _handler(fake) -> type[BaseHTTPRequestHandler]:  # noqa: N805 -- the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                if self.path.endswith("/discovery/v2.0/keys"):
                    self._give(fake.keys)
                    return
                fake.metadata_asked += 1
                tenant = self.path.split("/")[1]
                root = f"{fake.url}/{tenant}"
                self._give(
                    fake.metadata
                    or (
                        200,
                        {},
                        {
                            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
                            "token_endpoint": f"{root}/oauth2/v2.0/token",
                            "issuer": f"{root}/v2.0",
                        },
                    )
                )

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                fake.asked.append({**form, "path": self.path})
                self._give(fake.token(form))

            def _give(self, answer: Answer) -> None:
                status, headers, body = answer
                encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def handle(self) -> None:
                with suppress(ssl.SSLError, ConnectionError):  # a client that does not trust us
                    super().handle()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def issued(token: str, expires_in: int = 3599) -> Answer:
    return 200, {}, {"token_type": "Bearer", "expires_in": expires_in, "access_token": token}


def refused(code: int, status: int = 401) -> Answer:
    return (
        status,
        {},
        {
            "error": "invalid_client",
            "error_description": f"AADSTS{code}: private-text about Person 0001.\r\nTrace ID: 1",
            "error_codes": [code],
            "correlation_id": "1",
        },
    )
