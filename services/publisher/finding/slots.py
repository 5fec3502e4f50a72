"""Answers when people are free together. It reads, asks the pure modules, and changes nothing."""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from services.publisher.access import STORE, org_asked, org_asked_anew
from services.publisher.asking import body_of, invalid
from services.publisher.finding.answers import SlotsAnswer, SlotsAsked
from services.publisher.finding.line import Line
from services.publisher.finding.reading import lines
from services.publisher.finding.search import answered
from services.publisher.finding.sought import TWICE, Sought, sought_of
from services.publisher.finding.standing import Standing, standing_of
from services.publisher.operations import Operation
from services.publisher.reply import reply

_AT_ONCE = 50  # participants looked at before other requests have their turn


async def slots(request: web.Request) -> web.Response:
    """POST /v1/orgs/{org}/slots: when people are free together, or what stands in the way."""
    at_once = request.content.is_eof()
    org = await org_asked(request)  # of nobody else a body is read
    asked = await body_of(request, SlotsAsked)
    sought = sought_of(asked)
    if not at_once:  # a body may be long in coming: token, scope and policy may be others by now
        org = await org_asked_anew(request)
    found = await lines(request.app[STORE], org, list(dict.fromkeys(wish.name for wish in sought.wishes)))
    _refuse_one_under_two_names(sought, found)
    return reply(answered(asked, sought, await _everybody(sought, found)))


async def _everybody(sought: Sought, found: Mapping[str, Line]) -> list[Standing]:
    standings: list[Standing] = []
    for number, wish in enumerate(sought.wishes, start=1):
        standings.append(standing_of(sought, wish, found.get(wish.name)))
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return standings


def _refuse_one_under_two_names(sought: Sought, found: Mapping[str, Line]) -> None:
    """Raise Problem 422 where a list names one mailbox by its address and by its id: it would count twice."""
    seen: set[tuple[str, int, str]] = set()
    for wish in sought.wishes:
        line = found.get(wish.name)
        if line is None:
            continue
        key = (wish.role, wish.group, line.mailbox_id)
        if key in seen:
            raise invalid(sought.place(wish), TWICE)
        seen.add(key)


OPERATIONS = (
    Operation(
        name="slots",
        method="POST",
        path="/v1/orgs/{org}/slots",
        summary="When people are free together",
        group="Finding time",
        description="Unknown is not free: of whom nothing is known there is no slot, unless the request says so, and "
        "then the slot names them. Where there is none, `explanation` says who blocks what.",
        handler=slots,
        takes=SlotsAsked,
        answers=SlotsAnswer,
        problems=(404,),
    ),
)
