"""Reads what a request asks of a webhook, strictly: whose it is, where it may send, which orgs it may tell of.

Another consumer's webhook does not exist, nor does an org outside the token's scope.
"""

from collections.abc import Collection

from aiohttp import web

from services.publisher import log
from services.publisher.access import STORE, bearer, bearer_anew, org_unknown
from services.publisher.asking import invalid, parameters
from services.publisher.consumers import EVERY_ORG, Known
from services.publisher.log import PositionGone
from services.publisher.moments import moment
from services.publisher.problems import Problem
from services.publisher.webhooks import registry
from services.publisher.webhooks.answers import WebhookShown
from services.publisher.webhooks.delivery import Post
from services.publisher.webhooks.lease import ENABLED
from services.publisher.webhooks.registry import Webhook
from services.publisher.webhooks.urls import fault_of
from shared.contracts.values import ORG_ID, Instant
from shared.store import Store
from shared.vault import Vault, VaultError

POST: web.AppKey[Post] = web.AppKey("post", Post)


async def asked(request: web.Request, *, allowed: Collection[str] = ()) -> tuple[Known, Webhook]:
    """Return who asks and the webhook in the path. Raises Problem 401, 404, and 422 for parameters not `allowed`."""
    known = await bearer(request)
    parameters(request, allowed)
    return known, await own(request, known, request.match_info["webhook"])


async def asked_anew(request: web.Request) -> tuple[Known, Webhook]:
    """Return the same as things stand now: for whoever let time pass. Raises Problem 401, 404."""
    known = await bearer_anew(request)
    return known, await own(request, known, request.match_info["webhook"])


async def own(request: web.Request, known: Known, webhook_id: str) -> Webhook:
    """Return a consumer's own webhook. Raises Problem 404."""
    named = registry.ID.fullmatch(webhook_id)
    found = await registry.of(request.app[STORE], known.name, webhook_id) if named else []
    if not found:
        raise Problem(404, "webhook_unknown", title="There is no such webhook")
    return found[0]


def post_of(request: web.Request) -> Post:
    """Return what is delivered with. Raises Problem 503 where this server has none."""
    if POST not in request.app:
        raise unavailable()
    return request.app[POST]


def vault_of(request: web.Request) -> Vault:
    """Return the keys that seal secrets. Raises Problem 503 where there are none."""
    try:
        return post_of(request).keys.vault()
    except VaultError:
        raise unavailable() from None


def unavailable() -> Problem:
    """Return the problem of a deployment without keys for webhooks."""
    return Problem(503, "webhooks_unavailable", title="This deployment is not set up for webhooks")


def url_of(post: Post, url: str) -> str:
    """Return a URL that may be used. Raises Problem 422."""
    if fault := fault_of(url, post.sender.networks):
        raise invalid("url", fault)
    return url


def orgs_of(known: Known, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the orgs to tell of, `*` for the whole scope whatever it will be. Raises Problem 404."""
    if EVERY_ORG in names:
        return (EVERY_ORG,)
    if not all(known.may_ask(each) and ORG_ID.fullmatch(each) for each in names):
        raise org_unknown()
    return tuple(sorted(set(names)))


async def begun_at(store: Store, after: int | None) -> int:
    """Return the position to begin after: the one asked for, or the log's end. Raises Problem 410, and Retry."""
    if after is None:
        return await log.head(store)
    try:
        await log.check(store, after)
    except PositionGone as gone:
        raise Problem(410, gone.reason, title="Take a snapshot, and begin at its position") from None
    return after


async def resumed_at(store: Store, webhook: Webhook) -> int | None:
    """Return the log's end where a webhook cannot go on from where it was, else None. Raises Retry."""
    oldest = webhook.position if webhook.oldest is None else webhook.oldest - 1
    try:
        await log.check(store, min(webhook.position, oldest))
    except PositionGone:
        return await log.head(store)
    return None


def shown(webhook: Webhook) -> WebhookShown:
    """Return a webhook as its consumer sees it."""
    return WebhookShown(
        id=webhook.webhook_id,
        url=webhook.url,
        orgs=webhook.orgs,
        state="enabled" if webhook.state == ENABLED else "disabled",
        reason=webhook.reason,
        created_at=moment(webhook.created_at),
        position=webhook.position,
        waiting=webhook.waiting,
        failures=webhook.failures,
        failing_since=_moment(webhook.failing_since),
        next_try_at=_moment(webhook.next_try_at),
        previous_secret_until=_moment(webhook.previous_until),
    )


def _moment(instant: Instant | None) -> str | None:
    return None if instant is None else moment(instant)
