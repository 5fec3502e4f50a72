"""Subscriptions at Microsoft: made, renewed and deleted twenty to a call, and listed whole or not at all.

It decides nothing; the answer to each step is a value. Notification addresses and client states pass here, into no log.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct, field

from services.fetcher.failure import word
from services.fetcher.notices import LABEL, client_state, proves
from services.fetcher.plans import LIFETIME, Answer, Row, Step
from services.fetcher.strays import Listed, mailbox_of
from shared import clock
from shared.contracts.values import Instant
from shared.graph import MOST_IN_BATCH, BatchAnswer, BatchRequest, GraphClient, GraphError
from shared.identity import IdentityError
from shared.vault import Vault

IMMUTABLE: Final = {"Prefer": 'IdType="ImmutableId"'}
MOST_PAGES: Final = 10_000


class Subscription(Struct, frozen=True, rename="camel"):
    """A subscription as Microsoft shows it."""

    id: str
    expiration_date_time: datetime
    resource: str = ""
    notification_url: str | None = None
    lifecycle_notification_url: str | None = None
    client_state: str | None = None


class _Page(Struct):
    value: list[Subscription]
    next_link: str | None = field(default=None, name="@odata.nextLink")


class Promises:
    """What this deployment asks of Microsoft: hints, sent to one address, proved by what only it can compute."""

    def __init__(self, *, notify_url: str, vault: Vault) -> None:
        """Take the public https address notifications are sent to, and the vault whose keys prove them."""
        self.notify_url = notify_url
        self._vault = vault

    async def carry_out(self, client: GraphClient, steps: Sequence[tuple[Row, Step]], *, now: Instant) -> list[Answer]:
        """Return the answer to each of up to 20 steps, in order; a call that failed whole is the answer to all."""
        asked = [self._request(str(place), row, step, now=now) for place, (row, step) in enumerate(steps)]
        return [_answer(each) for each in await _batch(client, asked)]

    def _request(self, name: str, row: Row, step: Step, *, now: Instant) -> BatchRequest:
        until = {"expirationDateTime": clock.moment(now + LIFETIME)}
        if step is Step.CREATE:
            return BatchRequest(name, "/subscriptions", "POST", IMMUTABLE, self._wish(row) | until)
        where = f"/subscriptions/{quote(row.subscription_id or '', safe='')}"
        return (
            BatchRequest(name, where, "DELETE")
            if step is Step.DELETE
            else BatchRequest(name, where, "PATCH", {}, until)
        )

    def _wish(self, row: Row) -> dict[str, Any]:
        return {
            "changeType": "created,updated,deleted",
            "notificationUrl": self.notify_url,
            "lifecycleNotificationUrl": self.notify_url,
            "resource": f"users/{row.mailbox_id}/events",
            "clientState": client_state(self._vault.derived(LABEL)[0], row.org_id, row.mailbox_id),
        }

    async def listed(self, client: GraphClient, org_id: str) -> list[Listed]:
        """Return all subscriptions of this app in a tenant, judged. Raises GraphError and IdentityError."""
        return [self._listed(each, org_id) for each in await listing(client)]

    def _listed(self, found: Subscription, org_id: str) -> Listed:
        ours = found.notification_url == self.notify_url
        life = found.lifecycle_notification_url in (None, self.notify_url)
        mailbox_id, state = mailbox_of(found.resource), found.client_state
        told = state is None or proves(state, self._vault.derived(LABEL), org_id=org_id, mailbox_id=mailbox_id)
        return Listed(
            subscription_id=found.id.lower(),
            resource=found.resource,
            expires_at=int(found.expiration_date_time.timestamp()),
            ours=ours,
            sound=ours and life and told,
        )


async def listing(client: GraphClient) -> list[Subscription]:
    """Return all subscriptions of this app in a tenant, every page. Raises GraphError and IdentityError."""
    found: list[Subscription] = []
    url = "/subscriptions"
    for _ in range(MOST_PAGES):
        page = await client.get(url, _Page)
        found += page.value
        if page.next_link is None:
            return found
        url = page.next_link
    raise GraphError(status=200, code="unexpected_shape", url_path="/v1.0/subscriptions")


async def deleted(client: GraphClient, subscription_ids: Sequence[str]) -> dict[str, Answer]:
    """Delete up to 20 subscriptions and return each one's answer by id."""
    asked = [BatchRequest(each, f"/subscriptions/{quote(each, safe='')}", "DELETE") for each in subscription_ids]
    return {each.id: _answer(each) for each in await _batch(client, asked)}


async def _batch(client: GraphClient, asked: Sequence[BatchRequest]) -> list[BatchAnswer]:
    assert len(asked) <= MOST_IN_BATCH
    try:
        return await client.batch(asked)
    except GraphError as error:
        # of the whole only this is said: a 404 or a broken answer to a batch tells nothing of any subscription
        status = error.status if error.status in (401, 429) or error.status >= 500 else 0
        failed: Mapping[str, Any] = {"status": status, "code": error.code, "retry_after": error.retry_after}
    except IdentityError as error:
        failed = {
            "status": 0 if error.transient else 401,
            "code": word(error.reason),
            "retry_after": error.retry_after,
        }
    return [BatchAnswer(id=each.id, **failed) for each in asked]


def _answer(answer: BatchAnswer) -> Answer:
    try:
        made = msgspec.json.decode(answer.body, type=Subscription) if 200 <= answer.status < 300 else None
    except msgspec.DecodeError:  # a deletion has no body; one that matters and is not there is no good answer
        made = None
    return Answer(
        status=answer.status,
        code=answer.code,
        retry_after=answer.retry_after,
        subscription_id=None if made is None else made.id.lower(),
        expires_at=None if made is None else int(made.expiration_date_time.timestamp()),
    )
