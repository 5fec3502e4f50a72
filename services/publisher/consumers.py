"""Edge: who may ask, and about which orgs. A token is shown once; only its SHA-256 is kept.

A token is 256 random bits, so a plain hash is enough: there is nothing to guess a word from.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Row, delete, select, update
from sqlalchemy.exc import IntegrityError

from shared.contracts.values import ORG_ID, Instant
from shared.errors import Reject
from shared.store import Store
from shared.tables import consumers, deliveries, feeds, webhook_waits, webhooks

EVERY_ORG = "*"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOKEN = re.compile(r"busyline_[A-Za-z0-9_-]{43}")


class Known(Struct, frozen=True, kw_only=True):
    """A consumer: its name, the orgs it may ask about (`*` for all), and when it was added.

    `departed` are orgs that left its scope as they left us, each with the position of the update that says so: of that
    org it may hear this one, and nothing else.
    """

    name: str
    orgs: tuple[str, ...]
    created_at: Instant
    departed: dict[str, int] = {}

    @property
    def every_org(self) -> bool:
        """Say whether it may ask about every org there is."""
        return EVERY_ORG in self.orgs

    def may_ask(self, org_id: str) -> bool:
        """Say whether an org lies within this consumer's scope."""
        return org_id in self.orgs or self.every_org


async def add(store: Store, name: str, orgs: Sequence[str], *, now: Instant) -> str:
    """Add a consumer for some orgs, or for all with `*`, and return its token, which cannot be shown again.

    Raises Reject: `consumer_name_invalid`, `orgs_invalid`, `consumer_exists`.
    """
    check(name, orgs)
    token = f"busyline_{secrets.token_urlsafe(32)}"
    row = {"name": name, "token_hash": _hash(token), "orgs": json.dumps(sorted(set(orgs))), "created_at": now}
    try:
        async with store.write() as connection:
            await connection.execute(consumers.insert().values(row))
    except IntegrityError:
        raise Reject("consumer_exists") from None
    return token


def check(name: str, orgs: Sequence[str]) -> None:
    """Return where a consumer may be called so and see these orgs. Raises Reject."""
    if not _NAME.fullmatch(name):
        raise Reject("consumer_name_invalid")
    if not orgs or not all(org_id == EVERY_ORG or ORG_ID.fullmatch(org_id) for org_id in orgs):
        raise Reject("orgs_invalid")


async def rescope(store: Store, name: str, orgs: Sequence[str]) -> Known | None:
    """Give a consumer another scope, in force at once, and return it as it was; None where there is none of that name.

    Raises Reject("orgs_invalid").
    """
    check(name, orgs)
    query = select(consumers).where(consumers.c.name == name).with_for_update()  # an org may be leaving just now
    async with store.write() as connection:
        row = (await connection.execute(query)).one_or_none()
        if row is not None:
            changed = update(consumers).where(consumers.c.name == name)
            await connection.execute(changed.values(orgs=json.dumps(sorted(set(orgs)))))
    return None if row is None else _known(row)


async def remove(store: Store, name: str) -> bool:
    """Remove a consumer, whose token is void at once, with its webhooks and feeds; False where there is none so named.

    Whoever bears its name one day must find nothing of it.
    """
    its_webhooks = select(webhooks.c.webhook_id).where(webhooks.c.consumer == name)
    async with store.write() as connection:  # the consumer first: who makes a feed for it holds its row meanwhile
        found = (await connection.execute(delete(consumers).where(consumers.c.name == name))).rowcount > 0
        for table in (webhook_waits, deliveries):
            await connection.execute(delete(table).where(table.c.webhook_id.in_(its_webhooks)))
        for table in (webhooks, feeds):
            await connection.execute(delete(table).where(table.c.consumer == name))
        return found


async def listed(store: Store) -> list[Known]:
    """Return all consumers by name, without their tokens."""
    query = select(consumers).order_by(consumers.c.name)
    async with store.read() as connection:
        return [_known(row) for row in await connection.execute(query)]


async def named(store: Store, name: str) -> Known | None:
    """Return a consumer by its name, for whoever acts for it without its token."""
    async with store.read() as connection:
        row = (await connection.execute(select(consumers).where(consumers.c.name == name))).one_or_none()
    return None if row is None else _known(row)


async def bearer_of(store: Store, token: str) -> Known | None:
    """Return the consumer whose token this is, or None. Hashes are compared in constant time."""
    if not _TOKEN.fullmatch(token):
        return None
    wanted = _hash(token)
    query = select(consumers).where(consumers.c.token_hash == wanted)
    async with store.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None or not hmac.compare_digest(row.token_hash, wanted):
        return None
    return _known(row)


def _known(row: Row[Any]) -> Known:
    return Known(
        name=row.name, orgs=tuple(json.loads(row.orgs)), created_at=row.created_at, departed=json.loads(row.departed)
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
