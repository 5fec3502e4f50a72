"""Server-sent events are read the same wherever the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.client import frames
from shared.client.errors import Unreadable
from shared.client.frames import Frame, Frames

PIECES = (
    b"id: 7\nevent: availability.updated.v1\ndata: {}\n\n",
    b": heartbeat\n\n",
    b"retry: 1000\r\n\r\n",
    b"id:8\r\nevent:position\r\n\r\n",
    b"data: a\rdata: b\r\r",
    b"data\n\n",
    b"event: alone\n\n",
)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in pairwise(marks)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8), st.lists(st.integers(0, 500), max_size=20))
def test_frames_are_the_same_wherever_the_stream_is_cut(pieces: list[bytes], places: list[int]) -> None:
    stream = b"".join(pieces)
    one, other = Frames(), Frames()
    assert [frame for chunk in cut(stream, places) for frame in other.feed(chunk)] == one.feed(stream)


def test_a_frame_has_its_event_its_data_and_the_last_id() -> None:
    found = Frames().feed(b"".join(PIECES))
    assert found == [
        Frame(event="availability.updated.v1", data=b"{}", id="7"),
        Frame(event="position", data=b"", id="8"),
        Frame(data=b"a\nb", id="8"),
        Frame(data=b"", id="8"),
    ]


def test_an_event_that_is_not_over_is_not_told() -> None:
    assert Frames().feed(b"id: 7\ndata: {}\n") == []


@pytest.mark.parametrize("chunk", [b"x" * 64, b"data: xxxxxxxx\n" * 8])
def test_a_frame_that_does_not_end_is_refused(chunk: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "LARGEST", 50)
    with pytest.raises(Unreadable):
        Frames().feed(chunk)
