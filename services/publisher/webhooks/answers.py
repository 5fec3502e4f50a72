"""What consumers say and are told about their webhooks: closed values of the HTTP API, and the test event."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from shared.contracts.public import Moment, PublicMessage

Url = Annotated[str, Meta(max_length=2048, description="Where deliveries are sent: https, no user, no fragment.")]
OrgNames = Annotated[
    tuple[str, ...],
    Meta(min_length=1, max_length=1000, description="Ids of orgs within the token's scope, or one `*` for all of it."),
]
After = Annotated[
    int, Meta(ge=0, le=2**63 - 1, description="A position in the update log: what lies up to it is not delivered.")
]


class WebhookAsked(PublicMessage, frozen=True, kw_only=True):
    """A webhook to make. Without `orgs` all of the token's scope; without `after` it begins at the log's end."""

    url: Url
    orgs: OrgNames = ("*",)
    after: After | None = None


class WebhookChanges(PublicMessage, frozen=True, kw_only=True):
    """What to change of a webhook; what is absent stays."""

    url: Url | UnsetType = UNSET
    orgs: OrgNames | UnsetType = UNSET


class ReplayAsked(PublicMessage, frozen=True, kw_only=True):
    """From where on to deliver again."""

    after: After


class WebhookShown(PublicMessage, frozen=True, kw_only=True):
    """A webhook as it stands.

    `position`: what lies up to it in the update log was delivered, but for `waiting` mailboxes, whose updates wait to
    be tried again. `reason` says why it is disabled. `failures`: in a row, since `failing_since`.
    """

    id: str
    url: Url
    orgs: Annotated[tuple[str, ...], Meta(description="What it tells of; one that left is named no longer.")]
    state: Literal["enabled", "disabled"]
    reason: Annotated[str | None, Meta(description="A fixed word.")]
    created_at: Moment
    position: int
    waiting: int
    failures: int
    failing_since: Moment | None
    next_try_at: Moment | None
    previous_secret_until: Annotated[
        Moment | None, Meta(description="Until when deliveries are signed with the secret before, too.")
    ]


class WebhookMade(PublicMessage, frozen=True, kw_only=True):
    """A new webhook and the secret its deliveries are signed with, which is not shown again."""

    webhook: WebhookShown
    secret: Annotated[str, Meta(pattern="^whsec_[A-Za-z0-9+/=]+$")]


class WebhookList(PublicMessage, frozen=True, kw_only=True):
    """The consumer's webhooks, the oldest first."""

    webhooks: tuple[WebhookShown, ...]


class DeliveryShown(PublicMessage, frozen=True, kw_only=True):
    """One attempt: at the update of a position (null: a test event), how it went, the HTTP status if one came."""

    delivery: int
    position: int | None
    at: Moment
    attempt: int
    outcome: Annotated[str, Meta(description="`delivered`, or why not: a fixed word.")]
    status: int | None
    duration_ms: int


class DeliveryList(PublicMessage, frozen=True, kw_only=True):
    """Attempts, the latest first. `next` is the `before` of the following page."""

    deliveries: tuple[DeliveryShown, ...]
    next: int | None


class TestOutcome(PublicMessage, frozen=True, kw_only=True):
    """How a test event was taken."""

    __test__ = False

    outcome: Annotated[str, Meta(description="`delivered`, or why not: a fixed word.")]
    status: int | None
    duration_ms: int


class TestData(PublicMessage, frozen=True, kw_only=True):
    """The data of a test event."""

    __test__ = False

    webhook: str


class TestEvent(PublicMessage, frozen=True, kw_only=True):
    """A CloudEvent that is sent on request alone and lies in no log: it has no `sequence` and no org."""

    __test__ = False

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: Literal["/v1/webhooks"] = "/v1/webhooks"
    type: Literal["busyline.test.v1"] = "busyline.test.v1"
    subject: str
    time: Moment
    datacontenttype: Literal["application/json"] = "application/json"
    data: TestData
