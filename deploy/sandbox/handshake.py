"""The validation of a notification address while a subscription is made: it must answer with the token it was sent.

https is demanded as Graph does; http is let through to this machine only, the sandbox's own concession.
"""

import asyncio
from ipaddress import ip_address
from urllib.parse import quote_plus, urlsplit
from uuid import uuid4

from deploy.sandbox.answers import Refusal
from deploy.sandbox.posting import Letter, Post

SECONDS = 10.0
_LONGEST = 2048
_PLAIN = "text/plain; charset=utf-8"


def check(url: str, name: str) -> None:
    """Accept an address for notifications, or raise Refusal (400)."""
    parts = _parts(url)
    if parts is None or len(url) > _LONGEST:
        raise Refusal(400, "InvalidRequest", f"The {name} of the subscription request is not a valid address.")
    scheme, host = parts
    if scheme != "https" and not (scheme == "http" and _is_here(host)):
        raise Refusal(400, "InvalidRequest", f"The {name} of the subscription request must use the https scheme.")


def _parts(url: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    good = parts.hostname and not parts.fragment and url.isascii() and url.isprintable() and " " not in url
    return (parts.scheme.lower(), parts.hostname or "") if good else None


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def token() -> str:
    """Return a token that only a listener which decodes it exactly once gives back."""
    return f"Validation: Testing client application reachability <b>&amp; a+b=%41/?</b> Request-Id: {uuid4()}"


async def validate(post: Post, *urls: str) -> None:
    """Ask every address at once to give its token back. Raises Refusal (400)."""
    said = await asyncio.gather(*(_validate(post, url) for url in dict.fromkeys(urls)), return_exceptions=True)
    for wrong in said:
        if wrong is not None:
            raise wrong


async def _validate(post: Post, url: str) -> None:
    sent = token()
    mark = "&" if urlsplit(url).query else "?"
    asked = f"{url}{mark}validationToken={quote_plus(sent)}"
    reply = await post(Letter(url=asked, body=b"", content_type=_PLAIN, seconds=SECONDS))
    failed = "Subscription validation request failed."
    if reply.status == 0:
        raise Refusal(400, "ValidationError", f"{failed} The notification endpoint could not be reached in time.")
    if reply.status != 200:
        message = f"{failed} Notification endpoint must respond with 200 OK to validation request."
        raise Refusal(400, "ValidationError", message)
    if reply.content_type.lower() != "text/plain" or reply.body != sent.encode():
        raise Refusal(400, "ValidationError", f"{failed} Response must exactly match validationToken query parameter.")
