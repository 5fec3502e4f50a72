"""Carries out what is due of one org's subscriptions: asks Microsoft, remembers the answers, hints at what came before.

It decides nothing (see plans). A crash anywhere leaves rows that are looked at again when their lease ends.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from services.fetcher import plans, promises, subscriptions
from services.fetcher.context import Context
from services.fetcher.failure import word
from services.fetcher.plans import Answer, Row, Step
from services.fetcher.promises import Promises
from services.fetcher.subscriptions import Change
from shared import clock
from shared.broker import Broker
from shared.connections import Connected
from shared.contracts.messages import MailboxRead
from shared.graph import MOST_IN_BATCH
from shared.identity import IdentityError

_ASKED: Final = frozenset({Step.CREATE, Step.RENEW, Step.DELETE})

Asked = tuple[Row, Step, Answer]


class Keep(Struct, frozen=True, kw_only=True):
    """One org, and what it takes to keep its subscriptions."""

    context: Context
    broker: Broker
    promises: Promises
    org: Connected


async def carry_out(keep: Keep, rows: Sequence[Row]) -> list[Asked]:
    """Do what is due of claimed rows, and return what Microsoft was asked and said."""
    now = clock.now()
    steps = [(row, plans.plan(row, now)) for row in rows]
    quiet = [Change(before=row, after=plans.outcome(row, step, None, now)) for row, step in steps if _quiet(step)]
    for part in subscriptions.parts(quiet):
        await subscriptions.write(keep.context.store, part, now)
    await _announce(keep, [row for row, step in steps if step is Step.ANNOUNCE])
    asked = [pair for pair in steps if pair[1] in _ASKED]
    calls = [asked[start : start + MOST_IN_BATCH] for start in range(0, len(asked), MOST_IN_BATCH)]
    done = await asyncio.gather(*(_call(keep, call) for call in calls))
    return [each for call in done for each in call]


def _quiet(step: Step) -> bool:
    return step in (Step.NOTHING, Step.FORGET)


async def _call(keep: Keep, steps: Sequence[tuple[Row, Step]]) -> list[Asked]:
    answers = await _answers(keep, steps)
    now = clock.now()
    asked = [(row, step, answer) for (row, step), answer in zip(steps, answers, strict=True)]
    changes = [Change(before=row, after=plans.outcome(row, step, answer, now)) for row, step, answer in asked]
    kept = await subscriptions.write(keep.context.store, changes, now)
    await _drop_orphans(keep, changes, kept)
    await _announce(keep, [row for row in kept if row is not None and plans.plan(row, now) is Step.ANNOUNCE])
    return asked


async def _answers(keep: Keep, steps: Sequence[tuple[Row, Step]]) -> list[Answer]:
    try:
        client = keep.context.tenants.client(keep.org)
    except IdentityError as error:
        return [Answer(status=0, code=word(error.reason)) for _ in steps]
    return await keep.promises.carry_out(client, steps, now=clock.now())


async def _drop_orphans(keep: Keep, changes: Sequence[Change], kept: Sequence[Row | None]) -> None:
    """Delete what was made for a mailbox of which nothing is kept by now: its org was purged meanwhile."""
    orphans = [
        change.after.subscription_id
        for change, row in zip(changes, kept, strict=True)
        if row is None and change.after is not None and change.after.subscription_id is not None
    ]
    if orphans:
        await promises.deleted(keep.context.tenants.client(keep.org), orphans)


async def _announce(keep: Keep, rows: Sequence[Row]) -> None:
    """Hint at new subscriptions' mailboxes: what changed between their last reading and now, nobody else tells.

    A mailbox of which no reading has started yet is still to be read, and needs no hint. The row stands already, so
    that no notification from here on is taken for a stranger's.
    """
    if not rows:
        return
    now, store, org = clock.now(), keep.context.store, keep.org
    read = await subscriptions.once_read(store, rows)
    hints = [
        MailboxRead(org_id=org.org_id, generation=org.generation, mailbox_id=row.mailbox_id, since=now, live=True)
        for row in rows
        if (row.org_id, row.mailbox_id) in read
    ]
    if hints:
        await keep.broker.publish(hints)
    changes = [Change(before=row, after=plans.outcome(row, Step.ANNOUNCE, None, now)) for row in rows]
    for part in subscriptions.parts(changes):
        await subscriptions.write(store, part, now)
