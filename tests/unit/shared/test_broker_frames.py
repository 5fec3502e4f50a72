"""Our frames are pika's, byte for byte; and which letters are confirmed is counted as the broker says it."""

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame, spec

from shared.broker.confirms import Confirms
from shared.broker.frames import PROPERTIES, published
from shared.broker.wire import Letter

words = st.text(max_size=40)
letters = st.builds(
    Letter,
    exchange=words,
    routing_key=words,
    body=st.binary(max_size=300),
    message_id=words.filter(bool),
    message_type=words,
    timestamp=st.integers(0, 2**40),
    headers=st.dictionaries(st.one_of(words, st.sampled_from(sorted(PROPERTIES))), words, max_size=4),
    content_type=words.filter(bool),
    mandatory=st.booleans(),
)


def marshalled(letter: Letter, channel: int, most: int) -> bytes:
    """Return what pika makes of it."""
    method = spec.Basic.Publish(exchange=letter.exchange, routing_key=letter.routing_key, mandatory=letter.mandatory)
    properties = pika.BasicProperties(
        content_type=letter.content_type,
        delivery_mode=2,
        headers={name: value for name, value in letter.headers.items() if name not in PROPERTIES},
        message_id=letter.message_id,
        timestamp=letter.timestamp,
        type=letter.message_type or None,
    )
    pieces = [letter.body[start : start + most] for start in range(0, len(letter.body), most)]
    frames = [
        frame.Method(channel, method),
        frame.Header(channel, len(letter.body), properties),
        *(frame.Body(channel, piece) for piece in pieces),
    ]
    return b"".join(each.marshal() for each in frames)


@given(letters, st.integers(1, 9), st.integers(1, 400))
def test_a_letters_frames_are_those_that_pika_writes(letter: Letter, channel: int, most: int) -> None:
    assert published(letter, channel=channel, most=most) == marshalled(letter, channel, most)


def test_a_word_longer_than_amqp_allows_is_refused() -> None:
    letter = Letter(
        exchange="a" * 256, routing_key="", body=b"", message_id="1", message_type="", timestamp=1, headers={}
    )
    with pytest.raises(ValueError, match="range"):
        published(letter, channel=1, most=100)


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=40))
def test_what_is_outstanding_is_what_was_given_out_and_not_settled(
    given_out: int, said: list[tuple[int, bool]]
) -> None:
    confirms, plain = Confirms(), set(range(1, given_out + 1))
    assert confirms.give(given_out) == given_out
    for tag, multiple in said:
        if tag in plain or (multiple and tag <= given_out):
            confirms.settle(tag, multiple=multiple)
            plain -= set(range(1, tag + 1)) if multiple else {tag}
    assert confirms.outstanding == len(plain)
    assert confirms.upto == min(plain, default=given_out + 1) - 1
