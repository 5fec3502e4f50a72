"""Graph's routes under /subscriptions: an app makes, lists, renews and ends its subscriptions to mailboxes' events.

It refuses what an app may not read, other resources than a mailbox's events, and addresses that do not answer.
"""

import re
from typing import Any, TypeVar
from uuid import uuid4, uuid5

import msgspec
from msgspec import Struct

from deploy.sandbox import handshake, odata
from deploy.sandbox.answers import Answer, Refusal, json
from deploy.sandbox.calls import Call
from deploy.sandbox.directory import SPACE
from deploy.sandbox.mailboxes import opened
from deploy.sandbox.notifications import stamp
from deploy.sandbox.people import listing
from deploy.sandbox.state import CALENDAR_ROLES
from deploy.sandbox.subscriptions import NO_FRACTION, Subscription
from shared.contracts.values import Instant

MOST_MINUTES = 10_080
FEWEST_MINUTES = 45
LONGEST_STATE = 128
KINDS = frozenset({"created", "updated", "deleted"})
_RESOURCE = re.compile(r"/?users(?:/([^/()?]+)|\('([^'/?]+)'\))/(?:calendar/)?events", re.IGNORECASE)
_FRACTION = re.compile(r"\.(\d{1,7})")

Body = TypeVar("Body")


class _Asked(Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a create, with Graph's names."""

    changeType: str  # noqa: N815 -- Graph's spelling, here and below
    notificationUrl: str  # noqa: N815
    resource: str
    expirationDateTime: str  # noqa: N815
    clientState: str | None = None  # noqa: N815
    lifecycleNotificationUrl: str | None = None  # noqa: N815
    latestSupportedTlsVersion: str = "v1_2"  # noqa: N815
    includeResourceData: bool | None = None  # noqa: N815


class _Renewal(Struct, kw_only=True, forbid_unknown_fields=True):
    expirationDateTime: str  # noqa: N815 -- Graph's spelling


async def answer(call: Call, subscription_id: str, *, reauthorizes: bool = False) -> Answer:
    """Answer one request on /subscriptions, on one of them, or on its reauthorize. Raises Refusal."""
    match call.ask.method, bool(subscription_id), reauthorizes:
        case "GET", False, _:
            return _list(call)
        case "POST", False, _:
            return await _create(call)
        case "GET", True, False:
            return _shown(call, _found(call, subscription_id))
        case "PATCH", True, False:
            return _renew(call, subscription_id)
        case "DELETE", True, False:
            call.state.notifier.delete(_found(call, subscription_id).id)
            return Answer(status=204)
        case "POST", True, True:
            return _reauthorize(call, subscription_id)
    raise Refusal(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")


async def _create(call: Call) -> Answer:
    asked = _read(call, _Asked)
    _check(asked)
    made = _made(call, asked)
    _no_twin(call, made)
    urls = (made.url, made.lifecycle_url) if made.lifecycle_url else (made.url,)
    await handshake.validate(call.state.post, *urls)
    _no_twin(call, made)  # others may have subscribed meanwhile
    call.state.notifier.create(made)
    headers = {"Preference-Applied": 'IdType="ImmutableId"'} if made.immutable else {}
    answer = _shown(call, made, status=201)
    answer.headers = headers
    return answer


def _read(call: Call, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(call.ask.body, type=kind)
    except msgspec.ValidationError as wrong:
        raise Refusal(400, "InvalidRequest", f"The subscription request is not valid: {wrong}") from wrong
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        raise Refusal(400, "BadRequest", "Unable to read JSON request payload.") from broken


def _check(asked: _Asked) -> None:
    kinds = asked.changeType.lower().split(",")
    if not KINDS.issuperset(kinds) or len(set(kinds)) < len(kinds):
        raise Refusal(400, "InvalidRequest", "The changeType of the subscription request is not supported.")
    if asked.clientState is not None and len(asked.clientState) > LONGEST_STATE:
        message = f"The clientState of the subscription request is longer than {LONGEST_STATE} characters."
        raise Refusal(400, "InvalidRequest", message)
    if asked.includeResourceData:
        raise Refusal(400, "InvalidRequest", "Notifications with resource data are not served here.")
    handshake.check(asked.notificationUrl, "notificationUrl")
    if asked.lifecycleNotificationUrl is not None:
        handshake.check(asked.lifecycleNotificationUrl, "lifecycleNotificationUrl")


def _made(call: Call, asked: _Asked) -> Subscription:
    found = _RESOURCE.fullmatch(asked.resource)
    if found is None:
        raise Refusal(400, "InvalidRequest", "The resource of the subscription request is not supported here.")
    person = opened(call, found[1] or found[2], roles=CALENDAR_ROLES)
    expiry, fraction = ends(asked.expirationDateTime, call.state.clock())
    return Subscription(
        id=str(uuid4()),
        mailbox=person.address,
        expiry=expiry,
        fraction=fraction,
        client_state=asked.clientState,
        url=asked.notificationUrl,
        lifecycle_url=asked.lifecycleNotificationUrl,
        immutable=odata.preferences(call.ask.headers.get("prefer", "")).immutable,
        change_types=asked.changeType,
        resource=asked.resource,
        tenant_id=call.tenant.tenant_id,
        client_id=call.issued.client_id,
        user_id=person.user_id,
        tls_version=asked.latestSupportedTlsVersion,
    )


def ends(asked: str, now: Instant) -> tuple[Instant, str]:
    """Return when a subscription ends, and the seven decimals it was asked with. Raises Refusal (400).

    Less than 45 minutes ahead becomes 45 minutes; more than 10,080 are refused.
    """
    wanted = odata.instant(asked) if "T" in asked.upper() else None
    if wanted is None:
        raise Refusal(400, "InvalidRequest", "The expirationDateTime of the subscription request is not valid.")
    found = _FRACTION.search(asked)
    fraction = found[1].ljust(7, "0") if found else NO_FRACTION
    if wanted > now + MOST_MINUTES * 60:
        message = f"Subscription expiration can only be {MOST_MINUTES} minutes in the future."
        raise Refusal(400, "InvalidRequest", message)
    least = now + FEWEST_MINUTES * 60
    return (wanted, fraction) if wanted >= least else (least, NO_FRACTION)


def _no_twin(call: Call, made: Subscription) -> None:
    twin = call.state.notifier.subscriptions.twin(made, call.state.clock())
    if twin is not None:
        raise Refusal(409, "Conflict", f"Subscription Id {twin.id} already exists for the requested combination")


def _list(call: Call) -> Answer:
    living = call.state.notifier.subscriptions.living(call.state.clock(), tenant_id=call.tenant.tenant_id)
    own = [each for each in living if each.client_id == call.issued.client_id]
    # a listing keeps the client states to itself, as Microsoft's example does
    return listing(call.ask, own, lambda each: _row(each) | {"clientState": None}, context="subscriptions")


def _found(call: Call, subscription_id: str) -> Subscription:
    found = call.state.notifier.subscriptions.find(subscription_id, call.state.clock())
    if found is None or (found.tenant_id, found.client_id) != (call.tenant.tenant_id, call.issued.client_id):
        raise Refusal(404, "ResourceNotFound", "The object was not found.")
    return found


def _renew(call: Call, subscription_id: str) -> Answer:
    found = _found(call, subscription_id)
    asked = _read(call, _Renewal)
    opened(call, found.user_id, roles=CALENDAR_ROLES)
    expiry, fraction = ends(asked.expirationDateTime, call.state.clock())
    call.state.notifier.renew(found.id, expiry=expiry, fraction=fraction)
    return _shown(call, _found(call, found.id))


def _reauthorize(call: Call, subscription_id: str) -> Answer:
    found = _found(call, subscription_id)
    opened(call, found.user_id, roles=CALENDAR_ROLES)
    call.state.notifier.reauthorize(found.id)
    return Answer(status=204)


def _shown(call: Call, subscription: Subscription, *, status: int = 200) -> Answer:
    context = f"{call.ask.base}/v1.0/$metadata#subscriptions/$entity"
    return json({"@odata.context": context} | _row(subscription), status=status)


def _row(subscription: Subscription) -> dict[str, Any]:
    return {
        "id": subscription.id,
        "resource": subscription.resource,
        "applicationId": subscription.client_id,
        "changeType": subscription.change_types,
        "clientState": subscription.client_state,
        "notificationUrl": subscription.url,
        "notificationQueryOptions": None,
        "lifecycleNotificationUrl": subscription.lifecycle_url,
        "expirationDateTime": stamp(subscription.expiry, subscription.fraction),
        "creatorId": str(uuid5(SPACE, f"creator/{subscription.client_id}/{subscription.tenant_id}")),
        "includeResourceData": None,
        "latestSupportedTlsVersion": subscription.tls_version,
        "encryptionCertificate": None,
        "encryptionCertificateId": None,
        "notificationUrlAppId": None,
    }
