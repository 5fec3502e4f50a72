"""A webhook's request is believed only where it was signed with a secret that holds."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from services.publisher.specimen import specimen
from services.publisher.webhooks.answers import TestEvent
from shared import clock
from shared.client.errors import NotVerified, Unreadable
from shared.client.webhooks import verified
from tests.unit.shared.test_client_updates import UPDATED

OLD, NEW, OTHER = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2, 3))
BODY = json.dumps(UPDATED).encode()


def signed(*secrets: str, body: bytes = BODY, ago: int = 0) -> dict[str, str]:
    at = datetime.fromtimestamp(clock.now(), UTC) - timedelta(seconds=ago)
    signatures = " ".join(Webhook(each).sign("evt_42", at, body.decode()) for each in secrets)
    return {
        "Webhook-Id": "evt_42",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": signatures,
        "Content-Type": "application/cloudevents+json",
    }


@pytest.mark.parametrize(
    ("by", "held"), [((OLD,), [OLD]), ((OLD, NEW), [NEW]), ((NEW,), [OLD, NEW]), ((OLD, NEW), [OLD])]
)
def test_a_signed_request_is_an_update_also_while_the_secret_changes(by: tuple[str, ...], held: list[str]) -> None:
    update = verified(signed(*by), BODY, held)
    assert update is not None
    assert update.position == 42


def test_a_test_event_is_verified_and_tells_nothing() -> None:
    body = json.dumps(specimen(TestEvent)).encode()  # it has neither a sequence nor an org
    assert verified(signed(OLD, body=body), body, [OLD]) is None


@pytest.mark.parametrize(
    ("headers", "body", "secrets"),
    [
        (signed(OTHER), BODY, [OLD, NEW]),
        (signed(OLD), BODY + b" ", [OLD]),
        (signed(OLD), BODY, []),
        (signed(OLD, ago=3600), BODY, [OLD]),
        (signed(OLD, ago=-3600), BODY, [OLD]),
        ({}, BODY, [OLD]),
        (signed(OLD) | {"Webhook-Id": "evt_43"}, BODY, [OLD]),
        (signed(OLD) | {"Webhook-Signature": "v1"}, BODY, [OLD]),
        (signed(OLD) | {"Webhook-Signature": "v1,%%%"}, BODY, [OLD]),
        (signed(OLD) | {"Webhook-Signature": "v1a,AAAA"}, BODY, [OLD]),
        (signed(OLD) | {"Webhook-Timestamp": "now"}, BODY, [OLD]),
        (signed(OLD), b"\xff", [OLD]),
        (signed(OLD), BODY, ["whsec_"]),
        (signed(OLD), BODY, ["no secret"]),
    ],
)
def test_any_other_request_is_refused_with_one_class_of_error(
    headers: dict[str, str], body: bytes, secrets: list[str]
) -> None:
    with pytest.raises(NotVerified):
        verified(headers, body, secrets)


def test_a_signed_request_that_is_no_update_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        verified(signed(OLD, body=b"{}"), b"{}", [OLD])
