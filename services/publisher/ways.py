"""The ways by which updates are sent to consumers, as plain values: what the AsyncAPI document is made from."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field

from services.publisher.envelope import NO_MAILBOX
from services.publisher.webhooks.answers import TestEvent
from shared.broker.topology import AVAILABILITY, EXCHANGES
from shared.broker.wire import CLOUD_EVENT

_AMQP: Final = {"bindingVersion": "0.3.0"}
_HTTP: Final = {"bindingVersion": "0.3.0"}
_Sequence = Annotated[str, Meta(pattern=r"^[0-9]{19}$", description="The event's `id` and `sequence`.")]
_Type = Annotated[str, Meta(description="The event's `type`.")]


class AmqpHeaders(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Copies of the envelope for routing and inspection. The properties `message_id` and `type` repeat id and type."""

    id: _Sequence = field(name="cloudEvents_id")
    type: _Type = field(name="cloudEvents_type")
    source: Annotated[str, Meta(description="The event's `source`.")] = field(name="cloudEvents_source")
    subject: Annotated[str, Meta(description="The event's `subject`.")] = field(name="cloudEvents_subject")


class StreamFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server-sent event has beside its data. The last `id` seen is sent as `Last-Event-ID` to go on."""

    id: Annotated[str, Meta(pattern=r"^[0-9]+$", description="The update's position in the log.")]
    event: _Type


class WebhookHeaders(Struct, frozen=True, kw_only=True, rename="kebab"):
    """Headers of Standard Webhooks 1.0."""

    webhook_id: Annotated[str, Meta(description="Names the event: the same however often it is sent.")]
    webhook_timestamp: Annotated[
        str, Meta(pattern=r"^[0-9]+$", description="When it was sent: seconds since 1970-01-01T00:00:00Z.")
    ]
    webhook_signature: Annotated[str, Meta(description="One or more signatures, spaces between: v1,BASE64.")]


class Extra(Struct, frozen=True, kw_only=True):
    """A message that only one way has: of a type of its own, or (without) a bare position in the log."""

    summary: str
    media_type: str
    payload: type[Struct] | None = None


class Way(Struct, frozen=True, kw_only=True):
    """One way. `headers` is the type of what a message bears beside its body, `more` what is told on this way alone.

    `channel` and `sending` are bindings as AsyncAPI has them.
    """

    name: str
    operation: str
    server: str
    address: str
    title: str
    summary: str
    description: str
    headers: type[Struct]
    more: dict[str, Extra] = {}
    parameters: dict[str, str] = {}
    channel: dict[str, Any] = {}
    sending: dict[str, Any] = {}


WAYS: Final = (
    Way(
        name="exchange",
        operation="announce",
        server="broker",
        address="{org}.{mailbox}",
        title="Updates over AMQP",
        summary="Every update, to the topic exchange that consumers bind their queues to.",
        description="The address is the routing key. Bind a queue of your own with `ORG.#` for everything of an "
        f"organisation; whoever binds single mailboxes binds `ORG.{NO_MAILBOX}`, too.",
        headers=AmqpHeaders,
        parameters={
            "org": "The organisation's id; it has no dots.",
            "mailbox": f"The mailbox's id, without dots; `{NO_MAILBOX}` for what concerns the whole organisation.",
        },
        channel={
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": AVAILABILITY,
                    "type": EXCHANGES[AVAILABILITY],
                    "durable": True,
                    "autoDelete": False,
                },
                **_AMQP,
            }
        },
        sending={"amqp": {"deliveryMode": 2, "mandatory": False, "timestamp": True, **_AMQP}},
    ),
    Way(
        name="stream",
        operation="stream",
        server="api",
        address="/v1/stream",
        title="Updates as Server-Sent Events",
        summary="Every update, down a connection that stays open.",
        description="Ask with GET. Each event's data is the message; its `id` is the position to go on from. "
        "Comments keep the connection open.",
        headers=StreamFields,
        more={
            "position": Extra(
                summary="Nothing else was to be told up to this position: go on from here.", media_type="text/plain"
            )
        },
        sending={"http": {"method": "GET", **_HTTP}},
    ),
    Way(
        name="webhook",
        operation="deliver",
        server="receiver",
        address="/{path}",
        title="Updates to a webhook",
        summary="Every update, posted to your own server.",
        description="Answer with any 2xx once you have stored it; else it comes again, after growing pauses.",
        headers=WebhookHeaders,
        more={
            "busyline.test.v1": Extra(
                summary="Sent when you ask for a test: nothing changed.", media_type=CLOUD_EVENT, payload=TestEvent
            )
        },
        parameters={"path": "The path of the address you gave."},
        sending={"http": {"method": "POST", **_HTTP}},
    ),
)
