"""Edge: what a request to connect, or another policy, changes at once.

A policy takes effect the moment it is asked for; another connection only once it is verified: until then, and if it is
refused, the one in force stays. Each change of what is in force raises the generation under the publication lock.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import Row, and_, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.authorizer import audit, leaving
from services.authorizer.generation import note, put_in_force
from services.authorizer.purging import Purge
from services.authorizer.sentences import FINAL, JUDGED
from services.authorizer.settled import asked_for, kind_of, same, whose
from services.authorizer.word import Word
from shared.connections import ATTENTION, CONNECTED, DISCONNECTING, IN_FORCE, decoded
from shared.contracts.messages import Connection, EwsConnection
from shared.contracts.policy import Policy
from shared.contracts.values import Instant
from shared.errors import Retry
from shared.store import Store
from shared.tables import orgs

REQUESTED: Final = "requested"
REFUSED: Final = "refused"
SOON: Final = 120  # seconds: a claim's lease; a verification due within them may be under way
_FRESH: Final = {"state": REQUESTED, "reason": None, "sentence": None}
_AGAIN: Final = 10  # seconds until a request is tried again that came while the org was still being purged
_JUDGED: Final = orgs.c.reason.in_(sorted(JUDGED))  # the reason is a verdict: no pause that Microsoft ordered


async def connect(store: Store, org_id: str, *, connection: Connection, policy: Policy, word: Word) -> bool:
    """Store a request to connect an org; it is verified within a second or two. The same request twice is one.

    False where a later word counts already. Raises Retry("purge_under_way") while the org is being disconnected.
    """
    async with store.write() as writing:
        await store.publication_lock(writing)
        row, left = await _row(writing, org_id), await leaving.latest(writing, org_id)
        if _overtaken(row, left, word):
            return False
        if left is not None and left.ended_at is None:
            raise Retry("purge_under_way", after=_AGAIN, counted=False)
        if row is not None and word.is_late(row.policy_at):
            policy = _policy(row)
        if _heard(row, connection, policy, word=word):
            return True
        if row is None or not _same(row, connection, policy):
            await _note(store, writing, org_id, connection=connection, word=word)
        if row is None or row.state not in IN_FORCE:
            values = {**_connection(connection), "policy": msgspec.json.encode(policy), **_said(row, word)}
            await _ask(writing, row, {"org_id": org_id, **values, **_FRESH, "verify_at": word.now}, left)
            return True
        await _ask_anew(writing, row, connection=connection, word=word)
        if _policy(row) != policy:
            await put_in_force(store, writing, row, policy=policy, word=word)
        return True


async def change_policy(store: Store, org_id: str, policy: Policy, *, word: Word) -> bool:
    """Put another policy in force, or keep it for an org that has yet to be connected; the same one changes nothing.

    False where a later word counts already, or the org left since. Raises Retry("purge_under_way") while the org leaves
    and Retry("org_unknown"), counted, where it is not known: the word that connects it may still be on its way.
    """
    async with store.write() as writing:
        await store.publication_lock(writing)
        row = await _row(writing, org_id)
        if row is None or row.state == DISCONNECTING:
            return _waits(await leaving.latest(writing, org_id), word)
        if word.is_late(row.policy_at):
            return False
        here = update(orgs).where(orgs.c.org_id == org_id)
        await writing.execute(here.values(policy_at=word.said_at))
        if _policy(row) == policy:
            return True
        if row.state in IN_FORCE:
            await put_in_force(store, writing, row, policy=policy, word=word)
        else:
            await note(store, writing, row, policy=policy, word=word)
            await writing.execute(here.values(policy=msgspec.json.encode(policy)))
        free = or_(orgs.c.reason.is_(None), and_(orgs.c.state == REFUSED, _JUDGED, orgs.c.reason.not_in(FINAL)))
        await writing.execute(here.where(free).values(verify_at=word.now))
        return True


async def doubt(store: Store, org_id: str, *, generation: int, now: Instant) -> bool:
    """Have an org verified now that the fetcher was turned away from; False where that is not called for.

    It is called for only under the present generation of a connected org. A verification that is due soon, under way,
    or put off for as long as Microsoft asked, stays as it is: so many doubts are one.
    """
    present = (orgs.c.org_id == org_id, orgs.c.state == CONNECTED, orgs.c.generation == generation)
    far = or_(orgs.c.verify_at.is_(None), orgs.c.verify_at > now + SOON)
    async with store.write() as writing:
        free = or_(orgs.c.reason.is_(None), _JUDGED)
        doubted = update(orgs).where(*present, free, far).values(verify_at=now)
        return bool((await writing.execute(doubted)).rowcount)


def _overtaken(row: Row[Any] | None, left: Purge | None, word: Word) -> bool:
    return (left is not None and word.is_late(left.started_at)) or (row is not None and word.is_late(row.requested_at))


def _heard(row: Row[Any] | None, connection: Connection, policy: Policy, *, word: Word) -> bool:
    """Say whether just this word was heard before, and every repetition would be a sign-in at an Exchange server.

    A message may be delivered twice. A password that is wrong must not be tried twice for it: that locks accounts.
    """
    told = row is not None and row.requested_at == word.said_at and isinstance(connection, EwsConnection)
    return told and row is not None and _same(row, connection, policy)


def _waits(left: Purge | None, word: Word) -> bool:
    """Return False for a policy from before the org left. Raises Retry for one that a return may belong to."""
    if left is not None and word.is_late(left.started_at):
        return False
    if left is not None and left.ended_at is None:
        raise Retry("purge_under_way", after=_AGAIN, counted=False)
    raise Retry("org_unknown")


async def _row(writing: AsyncConnection, org_id: str) -> Row[Any] | None:
    return (await writing.execute(select(orgs).where(orgs.c.org_id == org_id).with_for_update())).one_or_none()


def _policy(row: Row[Any]) -> Policy:
    return msgspec.json.decode(row.policy, type=Policy)


def _same(row: Row[Any], connection: Connection, policy: Policy) -> bool:
    """Say whether just this is in force, or asked for, already."""
    last = row.connection if row.asked is None else row.asked
    return same(decoded(last), connection) and _policy(row) == policy


def _connection(connection: Connection) -> dict[str, object]:
    wanted = asked_for(connection)
    return {"connection": msgspec.json.encode(wanted), "kind": kind_of(wanted), "tenant_id": whose(wanted)}


def _said(row: Row[Any] | None, word: Word) -> dict[str, Instant]:
    """Return the times from which on words count: a later word about the policy keeps its own."""
    later = row is not None and word.is_late(row.policy_at)
    return {"requested_at": word.said_at} | ({} if later else {"policy_at": word.said_at})


async def _ask(writing: AsyncConnection, row: Row[Any] | None, values: dict[str, object], left: Purge | None) -> None:
    """Store what is to be verified of an org without a connection in force; of one that left, no generation returns."""
    if row is None:
        await writing.execute(insert(orgs).values(generation=left.generation if left else 0, **values))
    else:
        await writing.execute(update(orgs).where(orgs.c.org_id == row.org_id).values(**values))


async def _ask_anew(writing: AsyncConnection, row: Row[Any], *, connection: Connection, word: Word) -> None:
    """Have a connection verified, be it another or the same, while the one in force stays so.

    An org that needs attention keeps saying why until there is a verdict.
    """
    values = {"asked": msgspec.json.encode(asked_for(connection)), "verify_at": word.now, "enumerate_at": word.now}
    told = {} if row.state == ATTENTION else {"reason": None, "sentence": None}
    await writing.execute(update(orgs).where(orgs.c.org_id == row.org_id).values(**values, **told, **_said(row, word)))


def _told(connection: Connection) -> audit.Details:
    """Return what the audit log may know of a request; the cloud of an Exchange server is seldom of any."""
    return {"kind": "ews"} if isinstance(connection, EwsConnection) else {"cloud": connection.cloud}


async def _note(store: Store, writing: AsyncConnection, org_id: str, *, connection: Connection, word: Word) -> None:
    act = {"chain": org_id, "actor": word.actor, "action": "org.requested"}
    await audit.append(store, writing, **act, details=_told(connection), now=word.now)
