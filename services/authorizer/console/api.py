"""The setup page's operations as a JSON API, for platforms with a page of their own: one table, and its OpenAPI page.

It refuses whatever the pages refuse: the same permissions, the same limits, the same audit log.
"""

from typing import Final

import msgspec
from aiohttp import web

from services.authorizer.console import api_answers as answers
from services.authorizer.console import (
    api_connecting,
    api_leaving,
    api_mailboxes,
    api_openapi,
    api_policy,
    api_standing,
)
from services.authorizer.console import api_connections as connections
from services.authorizer.console.api_calls import Operation, Parameter, route
from services.authorizer.console.guards import Handler
from shared.contracts.policy import Policy

OPENAPI: Final = "/setup/api/openapi.json"
OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/status",
        name="status",
        summary="How the organisation stands",
        handle=api_standing.status,
        gives=answers.OrgStatus,
    ),
    Operation(
        method="GET",
        path="/mailboxes",
        name="mailboxes",
        summary="The organisation's mailboxes, page by page",
        handle=api_mailboxes.mailboxes,
        gives=answers.MailboxesPage,
        query=api_mailboxes.LISTING,
    ),
    Operation(
        method="GET",
        path="/mailboxes/{mailbox_id}",
        name="mailbox",
        summary="One mailbox",
        handle=api_mailboxes.mailbox,
        gives=answers.MailboxTold,
        refusals=(404,),
    ),
    Operation(
        method="POST",
        path="/mailboxes/{mailbox_id}/test",
        name="testMailbox",
        summary="One real attempt to read a mailbox",
        handle=api_mailboxes.test,
        gives=answers.MailboxTested,
        refusals=(404, 409, 429),
    ),
    Operation(
        method="POST",
        path="/mailboxes/{mailbox_id}/sync",
        name="syncMailbox",
        summary="One mailbox read now",
        handle=api_mailboxes.sync,
        gives=answers.Reading,
        refusals=(404, 409, 429),
    ),
    Operation(
        method="POST",
        path="/sync",
        name="sync",
        summary="The directory searched and every mailbox read now",
        handle=api_mailboxes.sync_all,
        gives=answers.Reading,
        refusals=(409, 429),
    ),
    Operation(
        method="GET",
        path="/policy",
        name="policy",
        summary="What the organisation allows",
        handle=api_policy.policy,
        gives=answers.PolicyInForce,
        refusals=(409,),
    ),
    Operation(
        method="POST",
        path="/policy/preview",
        name="previewPolicy",
        summary="What another policy would change",
        handle=api_policy.preview,
        takes=Policy,
        gives=answers.PolicyPreviewed,
        refusals=(409,),
    ),
    Operation(
        method="PUT",
        path="/policy",
        name="putPolicy",
        summary="Another policy put in force",
        handle=api_policy.put_policy,
        takes=Policy,
        gives=answers.PolicyInForce,
        refusals=(409,),
    ),
    Operation(
        method="POST",
        path="/connection/graph",
        name="connectGraph",
        summary="Where an admin is sent to connect Microsoft 365",
        handle=api_connecting.entrance,
        gives=connections.Entrance,
    ),
    Operation(
        method="POST",
        path="/connection/exchange/tests",
        name="testExchange",
        summary="A test of an Exchange server begun",
        description="Each is a sign-in at the server. It goes on by itself: ask for it until it has ended.",
        handle=api_connecting.test,
        takes=connections.ExchangeAsked,
        gives=connections.TestTold,
        refusals=(404, 429),
    ),
    Operation(
        method="GET",
        path="/connection/exchange/tests/{test_id}",
        name="exchangeTest",
        summary="How far a test of an Exchange server is",
        handle=api_connecting.tested,
        gives=connections.TestTold,
        refusals=(404,),
    ),
    Operation(
        method="POST",
        path="/connection/exchange",
        name="connectExchange",
        summary="An Exchange server connected just as it was tested",
        handle=api_connecting.save,
        takes=connections.TestAsked,
        gives=connections.ExchangeSaved,
        refusals=(409,),
    ),
    Operation(
        method="POST",
        path="/disconnect",
        name="disconnect",
        summary="The organisation's disconnection begun",
        description="All that is held of it is deleted, which cannot be undone; the receipt says when it has ended.",
        handle=api_leaving.disconnect,
        takes=answers.DisconnectAsked,
        gives=answers.Disconnected,
        refusals=(409,),
    ),
    Operation(
        method="GET",
        path="/receipt",
        name="receipt",
        summary="What was deleted when the organisation left",
        handle=api_standing.receipt,
        gives=answers.ReceiptTold,
        refusals=(404,),
    ),
    Operation(
        method="GET",
        path="/audit",
        name="audit",
        summary="Who did what and when",
        handle=api_standing.log,
        gives=answers.AuditTold,
        query=(
            Parameter(name="page", description="Which page, from 1; the last one past it.", schema={"type": "integer"}),
        ),
    ),
)


def _openapi() -> Handler:
    page = msgspec.json.encode(api_openapi.document(OPERATIONS))

    async def serve(_: web.Request) -> web.StreamResponse:
        return web.Response(body=page, content_type="application/json")

    return serve


ROUTES: Final[tuple[web.RouteDef, ...]] = (web.get(OPENAPI, _openapi()), *map(route, OPERATIONS))
