"""Instants as consumers see them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publisher.moments import instant, moment
from shared.contracts.values import EARLIEST, LATEST


@given(st.integers(EARLIEST, LATEST))
def test_what_is_written_is_read_back(at: int) -> None:
    assert instant(moment(at)) == at


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (EARLIEST, "0001-01-01T00:00:00Z"),
        (LATEST, "9999-12-31T23:59:59Z"),
        (-1, "1969-12-31T23:59:59Z"),
    ],
)
def test_every_year_has_four_digits(at: int, text: str) -> None:
    assert moment(at) == text


@pytest.mark.parametrize(
    "text",
    ["2026-01-05T10:00:00+02:00", "2026-01-05T08:00:00.999z", "2026-01-05t08:00:00Z", "2026-01-05T03:00:00-05:00"],
)
def test_offsets_fractions_and_small_letters_are_read(text: str) -> None:
    assert instant(text) == instant("2026-01-05T08:00:00Z")


@pytest.mark.parametrize(
    "text",
    ["", "2026-01-05", "2026-01-05T08:00:00", "20260105T080000Z", "1767571200", "2026-13-05T08:00:00Z",
     "2026-01-05T08:00:00+25:00", "0001-01-01T00:00:00+14:00", "٢٠٢٦-01-05T08:00:00Z", "2026-01-05T08:00:00Z\n"],
)  # fmt: skip
def test_anything_without_its_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not RFC 3339"):
        instant(text)
