"""The HTTP that msal is given: time limits, a private CA beside the public ones, no redirects, busy servers named.

A 429 or 5xx leaves here as Refused before msal could keep and replay it: how long to wait is decided in one place.
"""

import json
import re
import ssl
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from shared import clock
from shared.graph_answers import pause

TIMEOUT: Final = (5.0, 20.0)  # seconds to connect, and between bytes
_PEM: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)


class Refused(Exception):  # noqa: N818 -- it is an answer, not a fault of ours
    """Nothing msal could use. `reason` is set where waiting may help; else `answer` holds Entra's error."""

    def __init__(self, reason: str, answer: dict[str, Any] | None = None, retry_after: float | None = None) -> None:
        """Take a fixed word, the decoded error and the pause ordered in seconds."""
        super().__init__(reason)
        self.reason = reason
        self.answer = answer or {}
        self.retry_after = retry_after


class TokenHttp:
    """What msal calls: `get` for metadata, `post` for tokens. One serves every tenant, from several threads."""

    def __init__(self, ca_file: str = "") -> None:
        """Take the file of a private CA to trust beside the public ones."""
        self._session = requests.Session()
        self._session.mount("https://", _Adapter(ca_file))
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))  # tenants share one session

    def get(self, url: str, **sent: Any) -> requests.Response:
        """Fetch a tenant's metadata; an unknown tenant is told by a 400 here already. Raises Refused."""
        answer = self._ask("GET", url, sent)
        if answer.status_code != 200:
            raise Refused("", _decoded(answer) or {"error_codes": [90002]})
        return answer

    def post(self, url: str, **sent: Any) -> requests.Response:
        """Ask for a token. Raises Refused for a busy or unreachable server; refusals go to msal, which returns them."""
        return self._ask("POST", url, sent)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _ask(self, method: str, url: str, sent: dict[str, Any]) -> requests.Response:
        try:
            # A redirect would carry the secret to another host.
            answer = self._session.request(method, url, timeout=TIMEOUT, allow_redirects=False, **sent)
        except requests.exceptions.SSLError:
            raise Refused("identity_not_trusted") from None
        except requests.exceptions.Timeout:
            raise Refused("identity_timeout") from None
        except OSError:  # all of requests' errors, and a bundle named in the environment that is not there
            raise Refused("identity_unreachable") from None
        if answer.status_code == 429 or answer.status_code >= 500:
            reason = "identity_throttled" if answer.status_code == 429 else "identity_unavailable"
            raise Refused(reason, _decoded(answer), pause(answer.headers.get("Retry-After"), clock.now()))
        if 300 <= answer.status_code < 400:
            raise Refused("identity_unexpected")
        return answer


class _Adapter(HTTPAdapter):
    """Trusts the system's CAs and one more; REQUESTS_CA_BUNDLE in the environment cannot displace them.

    The context is read once: requests would load its bundle of CAs again for every connection.
    """

    def __init__(self, ca_file: str) -> None:
        self._context = ssl.create_default_context()
        if ca_file:
            self._context.load_verify_locations(ca_file)
        # One more try to connect; never a sleep in the thread because an answer orders a pause.
        super().__init__(max_retries=Retry(1, read=0, status=0, respect_retry_after_header=False))

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)

    def cert_verify(self, conn: Any, *_: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        return super().send(request, *args, **{**kwargs, "verify": True})


def certificate_parts(pem: str) -> tuple[str, str]:
    """Split a PEM file into its private key and its certificates. Raises ValueError where one is missing."""
    keys: list[str] = []
    certificates: list[str] = []
    for block in _PEM.finditer(pem):
        (certificates if block[1] == "CERTIFICATE" else keys).append(block[0])
    if len(keys) != 1 or not certificates:
        raise ValueError("a certificate file holds one private key and its certificate")
    return keys[0], "\n".join(certificates)


def _decoded(answer: requests.Response) -> dict[str, Any]:
    try:
        decoded = json.loads(answer.content)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
