"""Logging through an allow-list of keys: what is not listed here is not written, whoever logs it.

Event names are literals, `noun.verb_past`. A mailbox appears only as a keyed hash; an exception as its type and places.
"""

import hashlib
import hmac
import logging
import sys
import traceback
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import structlog

ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "service",
        "message_id", "message_type", "queue", "outcome", "reason", "where", "attempt", "after", "duration_ms",
        "org_id", "generation", "version", "mailbox_hash", "bucket", "stage", "run", "state",
        "count", "charged_account", "charged_mailbox", "number",
        "pages", "status", "position", "address_host", "port", "path",
        "error_type", "error_places", "signal", "engine", "url_scheme", "webhook",
    }
)  # fmt: skip

Logger = structlog.typing.FilteringBoundLogger
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(*, level: str = "info", form: str = "json", stream: TextIO | None = None) -> None:
    """Set logging up once per process, in the wiring; other libraries' records pass the same allow-list."""
    renderer: Any = structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            only_allowed,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.CRITICAL, handlers=[logging.NullHandler()], force=True)


def get(service: str) -> Logger:
    """Return a logger bound to a service's name."""
    logger: Logger = structlog.get_logger().bind(service=service)
    return logger


def only_allowed(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop every key that is not listed, and every value that is not a plain scalar or a list of them."""
    return {key: value for key, value in event.items() if key in ALLOWED and _plain(value)}


def _plain(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return value is None or isinstance(value, str | int | float | bool)


def failure(error: BaseException) -> dict[str, Any]:
    """Return an exception as its type and places (file:line function); never its text, never local values."""
    places = [
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-6:]
    ]
    return {"error_type": type(error).__name__, "error_places": places}


def hasher(key: bytes) -> Callable[[str], str]:
    """Return the function that turns a mailbox id into a short keyed hash, the same within one deployment."""

    def mailbox_hash(mailbox_id: str) -> str:
        return hmac.new(key, mailbox_id.encode(), hashlib.sha256).hexdigest()[:12]

    return mailbox_hash
