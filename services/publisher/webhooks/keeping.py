"""Edge: the HTTP API by which a consumer makes and keeps its webhooks."""

from aiohttp import web

from services.publisher.access import STORE, bearer, bearer_anew, unauthorized
from services.publisher.asking import body_of, parameters
from services.publisher.operations import Operation
from services.publisher.problems import Problem
from services.publisher.reply import reply
from services.publisher.webhooks import registry
from services.publisher.webhooks.answers import WebhookAsked, WebhookChanges, WebhookList, WebhookMade, WebhookShown
from services.publisher.webhooks.asked import (
    asked,
    asked_anew,
    begun_at,
    orgs_of,
    own,
    post_of,
    shown,
    url_of,
    vault_of,
)
from services.publisher.webhooks.registry import Fresh
from services.publisher.webhooks.signing import fresh, sealed
from shared.errors import Reject

GROUP = "Webhooks"
ONE = "/v1/webhooks/{webhook}"


async def make_webhook(request: web.Request) -> web.Response:
    """POST /v1/webhooks."""
    await bearer(request)  # of nobody else a body is read
    parameters(request, ())
    post, vault = post_of(request), vault_of(request)
    wanted = await body_of(request, WebhookAsked)
    known = await bearer_anew(request)  # a body may be long in coming, and the token void by now
    webhook_id, secret = registry.new_id(), fresh()
    made = Fresh(
        webhook_id=webhook_id,
        consumer=known.name,
        url=url_of(post, wanted.url),
        orgs=orgs_of(known, wanted.orgs),
        secret=sealed(vault, secret, webhook_id),
        position=await begun_at(post.store, wanted.after),
    )
    try:
        await registry.make(post.store, made, owner_since=known.created_at, now=int(post.now()))
    except Reject as error:
        if error.reason == registry.OWNER_GONE:
            raise unauthorized() from None
        raise Problem(409, error.reason, title=f"A consumer may have {registry.MOST} webhooks") from None
    answer = WebhookMade(webhook=shown(await own(request, known, webhook_id)), secret=secret.reveal())
    response = reply(answer)
    response.set_status(201)
    return response


async def list_webhooks(request: web.Request) -> web.Response:
    """GET /v1/webhooks."""
    known = await bearer(request)
    parameters(request, ())
    return reply(WebhookList(webhooks=tuple(map(shown, await registry.of(request.app[STORE], known.name)))))


async def show_webhook(request: web.Request) -> web.Response:
    """GET /v1/webhooks/{webhook}."""
    _, webhook = await asked(request)
    return reply(shown(webhook))


async def change_webhook(request: web.Request) -> web.Response:
    """PATCH /v1/webhooks/{webhook}."""
    await asked(request)  # of nobody else a body is read
    post, wanted = post_of(request), await body_of(request, WebhookChanges)
    known, webhook = await asked_anew(request)
    url = url_of(post, wanted.url) if isinstance(wanted.url, str) else None
    orgs = orgs_of(known, wanted.orgs) if isinstance(wanted.orgs, tuple) else None
    await registry.change(post.store, webhook.webhook_id, url=url, orgs=orgs)
    return reply(shown(await own(request, known, webhook.webhook_id)))


async def delete_webhook(request: web.Request) -> web.Response:
    """DELETE /v1/webhooks/{webhook}."""
    _, webhook = await asked(request)
    await registry.remove(request.app[STORE], webhook.webhook_id)
    return web.Response(status=204)


async def rotate_secret(request: web.Request) -> web.Response:
    """POST /v1/webhooks/{webhook}/rotate."""
    known, webhook = await asked(request)
    post, secret = post_of(request), fresh()
    blob = sealed(vault_of(request), secret, webhook.webhook_id)
    await registry.rotate(post.store, webhook.webhook_id, blob, now=int(post.now()))
    return reply(WebhookMade(webhook=shown(await own(request, known, webhook.webhook_id)), secret=secret.reveal()))


OPERATIONS = (
    Operation(
        name="makeWebhook",
        method="POST",
        path="/v1/webhooks",
        summary="A new webhook, and its secret",
        description="The secret is shown once. Deliveries begin at the log's end, or after the position `after`.",
        group=GROUP,
        handler=make_webhook,
        takes=WebhookAsked,
        answers=WebhookMade,
        status=201,
        problems=(404, 409, 410),
    ),
    Operation(
        name="listWebhooks",
        method="GET",
        path="/v1/webhooks",
        summary="The consumer's webhooks",
        group=GROUP,
        handler=list_webhooks,
        answers=WebhookList,
    ),
    Operation(
        name="showWebhook",
        method="GET",
        path=ONE,
        summary="One webhook",
        group=GROUP,
        handler=show_webhook,
        answers=WebhookShown,
        problems=(404,),
    ),
    Operation(
        name="changeWebhook",
        method="PATCH",
        path=ONE,
        summary="The webhook with another URL or other orgs",
        group=GROUP,
        handler=change_webhook,
        takes=WebhookChanges,
        answers=WebhookShown,
        problems=(404,),
    ),
    Operation(
        name="deleteWebhook",
        method="DELETE",
        path=ONE,
        summary="Nothing: the webhook is deleted",
        group=GROUP,
        handler=delete_webhook,
        status=204,
        problems=(404,),
    ),
    Operation(
        name="rotateWebhookSecret",
        method="POST",
        path=f"{ONE}/rotate",
        summary="A new secret",
        description="For 24 hours deliveries are signed with the secret before as well.",
        group=GROUP,
        handler=rotate_secret,
        answers=WebhookMade,
        problems=(404,),
    ),
)
