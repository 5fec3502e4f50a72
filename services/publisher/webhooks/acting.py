"""Edge: what a consumer may have done with a webhook over HTTP: tested, enabled, replayed, its deliveries looked at."""

from typing import Any, Final

from aiohttp import web
from sqlalchemy import Row

from services.publisher.access import STORE
from services.publisher.asking import body_of, number
from services.publisher.moments import moment
from services.publisher.operations import Operation, Parameter
from services.publisher.reply import reply
from services.publisher.webhooks import registry
from services.publisher.webhooks.answers import DeliveryList, DeliveryShown, ReplayAsked, TestOutcome, WebhookShown
from services.publisher.webhooks.asked import asked, asked_anew, begun_at, own, post_of, resumed_at, shown, unavailable
from services.publisher.webhooks.keeping import GROUP, ONE
from services.publisher.webhooks.testing import TEST, tested
from shared import clock
from shared.vault import VaultError

LARGEST_PAGE: Final = 1000
_LAST: Final = 999_999_999


async def test_webhook(request: web.Request) -> web.Response:
    """POST /v1/webhooks/{webhook}/test."""
    _, webhook = await asked(request)
    try:
        attempt = await tested(post_of(request), webhook)
    except VaultError:
        raise unavailable() from None
    return reply(TestOutcome(outcome=attempt.outcome, status=attempt.status, duration_ms=attempt.duration_ms))


async def enable_webhook(request: web.Request) -> web.Response:
    """POST /v1/webhooks/{webhook}/enable."""
    known, webhook = await asked(request)
    store = request.app[STORE]
    await registry.enable(store, webhook.webhook_id, position=await resumed_at(store, webhook), now=clock.now())
    return reply(shown(await own(request, known, webhook.webhook_id)))


async def replay_webhook(request: web.Request) -> web.Response:
    """POST /v1/webhooks/{webhook}/replay."""
    await asked(request)  # of nobody else a body is read
    wanted = await body_of(request, ReplayAsked)
    known, webhook = await asked_anew(request)
    after = await begun_at(request.app[STORE], wanted.after)
    await registry.replay(request.app[STORE], webhook.webhook_id, after=after)
    return reply(shown(await own(request, known, webhook.webhook_id)))


async def list_deliveries(request: web.Request) -> web.Response:
    """GET /v1/webhooks/{webhook}/deliveries: the latest first; `limit` and `before` narrow the page."""
    _, webhook = await asked(request, allowed={"limit", "before"})
    limit = number("limit", request.query.get("limit", "100"), least=1, most=LARGEST_PAGE)
    given = request.query.get("before")
    before = None if given is None else number("before", given, least=1, most=_LAST)
    rows = await registry.sent(request.app[STORE], webhook.webhook_id, before=before, limit=limit + 1)
    page = tuple(map(_delivery, rows[:limit]))
    return reply(DeliveryList(deliveries=page, next=page[-1].delivery if len(rows) > limit else None))


def _delivery(row: Row[Any]) -> DeliveryShown:
    return DeliveryShown(
        delivery=row.delivery,
        position=None if row.position == TEST else row.position,
        at=moment(row.at),
        attempt=row.attempt,
        outcome=row.outcome,
        status=row.status,
        duration_ms=row.duration_ms,
    )


OPERATIONS = (
    Operation(
        name="testWebhook",
        method="POST",
        path=f"{ONE}/test",
        summary="How a test event was taken",
        description="A CloudEvent of type `busyline.test.v1` is sent at once, signed as every delivery is.",
        group=GROUP,
        handler=test_webhook,
        answers=TestOutcome,
        problems=(404,),
    ),
    Operation(
        name="enableWebhook",
        method="POST",
        path=f"{ONE}/enable",
        summary="The webhook, enabled",
        description="It goes on where it was. Where that is forgotten it goes on at the log's end: take a snapshot.",
        group=GROUP,
        handler=enable_webhook,
        answers=WebhookShown,
        problems=(404,),
    ),
    Operation(
        name="replayWebhook",
        method="POST",
        path=f"{ONE}/replay",
        summary="The webhook, which goes on after the position given",
        description="What lies up to the position counts as delivered; what lies after it is delivered, once more "
        "where it was before.",
        group=GROUP,
        handler=replay_webhook,
        takes=ReplayAsked,
        answers=WebhookShown,
        problems=(404, 410),
    ),
    Operation(
        name="listDeliveries",
        method="GET",
        path=f"{ONE}/deliveries",
        summary="What was sent lately, and how it went",
        group=GROUP,
        handler=list_deliveries,
        answers=DeliveryList,
        query=(
            Parameter(
                name="limit",
                description="Attempts a page, 1 to 1000; 100 unless told.",
                schema={"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE},
            ),
            Parameter(
                name="before",
                description="`next` of an earlier page.",
                schema={"type": "integer", "minimum": 1, "maximum": _LAST},
            ),
        ),
        problems=(404,),
    ),
)
