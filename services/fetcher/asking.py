"""Asks mailboxes for time zone, purpose and working hours, twenty to a call: the answers tell whether they are there.

Nothing else of a mailbox's settings is asked for: they hold its automatic replies.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from services.fetcher.directory import Answer, DirectoryUser, MailboxSettings
from services.fetcher.graph_hours import hours_said
from shared.contracts.values import Instant
from shared.errors import Retry
from shared.graph import MOST_IN_BATCH, BatchAnswer, BatchRequest, GraphClient, GraphError

ROUNDS: Final = 4
LONGEST_WAIT: Final = 20.0  # seconds waited for with the page in hand; for longer pauses the page comes again
AT_ONCE: Final = 10  # batches under way; Graph itself sends four of a batch to Outlook at a time


async def ask(client: GraphClient, users: Sequence[DirectoryUser], *, now: Instant) -> dict[str, Answer]:
    """Return each mailbox's answer by id; one that gives none in the end has status 0.

    Where every mailbox of a page answers 403, the permission to read settings is missing and nobody is judged by it.
    Raises GraphError and IdentityError for the whole page, Retry for a pause too long to wait for.
    """
    found: dict[str, Answer] = {}
    waiting = [user.id for user in users]
    for number in range(ROUNDS):
        answers = await _round(client, waiting)
        found.update({answer.id: _read(answer, now) for answer in answers})
        again = [answer for answer in answers if _passing(answer)]
        waiting = [answer.id for answer in again]
        if not waiting:
            break
        await _wait(again, number)
    if users and all(answer.status == 403 for answer in found.values()):
        return {mailbox_id: Answer() for mailbox_id in found}
    return found


async def _round(client: GraphClient, ids: Sequence[str]) -> list[BatchAnswer]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def part(chosen: Sequence[str]) -> list[BatchAnswer]:
        async with limit:
            return await client.batch([BatchRequest(id=each, url=_path(each)) for each in chosen])

    parts = [ids[start : start + MOST_IN_BATCH] for start in range(0, len(ids), MOST_IN_BATCH)]
    return [answer for answers in await asyncio.gather(*map(part, parts)) for answer in answers]


def _path(mailbox_id: str) -> str:
    return f"/users/{mailbox_id}/mailboxSettings?$select=timeZone,userPurpose,workingHours"


def _passing(answer: BatchAnswer) -> bool:
    return answer.status in (0, 401, 424, 429) or answer.status >= 500


async def _wait(again: Sequence[BatchAnswer], number: int) -> None:
    """Wait as long as the most patient of the answers asks, before all of them are asked again."""
    pause = max(answer.retry_after if answer.retry_after is not None else 0.5 * 2.0**number for answer in again)
    throttled = any(answer.status == 429 for answer in again)
    if throttled and (pause > LONGEST_WAIT or number + 1 == ROUNDS):
        raise Retry("mailboxes_throttled", after=max(pause, 5.0), counted=False)
    if number + 1 < ROUNDS:
        await asyncio.sleep(min(pause, LONGEST_WAIT))


def _read(answer: BatchAnswer, now: Instant) -> Answer:
    try:
        settings = answer.into(MailboxSettings)
    except GraphError as error:
        return Answer(status=0 if _passing(answer) or error.status == 200 else error.status, code=error.code)
    return Answer(status=answer.status, settings=settings, working_hours=hours_said(settings.working_hours, now))
