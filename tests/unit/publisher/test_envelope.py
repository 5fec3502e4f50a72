"""The envelope put together from bytes is the one that its contract describes."""

from typing import Any, cast

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.publisher.envelope import Told, announcement, event
from services.publisher.events import EVENTS
from services.publisher.moments import moment
from shared.contracts.public import CloudEvent

words = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,20}\Z")
rows = st.builds(
    Told,
    position=st.integers(1, 10**18),
    org_id=words,
    mailbox_id=st.one_of(st.just(""), words),
    type=st.sampled_from(sorted(EVENTS)),
    created_at=st.integers(0, 2**33),
    body=st.dictionaries(st.text(), st.text(), max_size=3).map(msgspec.json.encode),
)


def encoded(told: Told) -> bytes:
    """Return what msgspec makes of the contract's own struct."""
    sequence = f"{told.position:019}"
    return msgspec.json.encode(
        CloudEvent(
            id=sequence,
            source=f"/v1/orgs/{told.org_id}",
            type=cast("Any", told.type),
            subject=told.mailbox_id or told.org_id,
            time=moment(told.created_at),
            orgid=told.org_id,
            sequence=sequence,
            data=cast("Any", msgspec.Raw(told.body)),
        )
    )


@given(rows)
def test_an_envelope_is_byte_for_byte_what_its_contract_is_encoded_as(told: Told) -> None:
    assert event(told) == encoded(told)


@given(rows)
def test_the_routing_key_is_the_org_and_the_mailbox_or_a_word_that_no_mailbox_has(told: Told) -> None:
    key, body, _ = announcement(told)
    assert key == f"{told.org_id}.{told.mailbox_id or '_'}"
    assert body == event(told)
