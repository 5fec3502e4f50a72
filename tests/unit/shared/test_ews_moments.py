"""Printed times become the seconds they mean, rounded outward; nonsense becomes an error."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.values import LATEST
from shared.ews.moments import ceiling, floor

YEARS = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))  # noqa: DTZ001 -- the test puts the offset beside it
NINE = 1_772_355_600  # 2026-03-01T09:00:00Z


@pytest.mark.parametrize(
    ("printed", "down", "up"),
    [
        ("2026-03-01T09:00:00Z", NINE, NINE),
        ("2026-03-01T09:00:00", NINE, NINE),
        (" 2026-03-01T09:00:00.000Z\n", NINE, NINE),
        ("2026-03-01T09:00:00.0000001Z", NINE, NINE + 1),
        ("2026-03-01T10:00:00+01:00", NINE, NINE),
        ("2026-03-01T01:30:00.5-07:30", NINE, NINE + 1),
        ("9999-12-31T23:59:59.9999999", LATEST, LATEST),
    ],
)
def test_a_time_is_rounded_outward(printed: str, down: int, up: int) -> None:
    assert (floor(printed), ceiling(printed)) == (down, up)


@pytest.mark.parametrize(
    "printed",
    ["", "2026-03-01", "2026-02-30T09:00:00Z", "2026-03-01T24:00:00Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z",
     "2026-03-01T09:00:00+15:00", "2026-03-01T09:00:00Z0", "٢026-03-01T09:00:00Z", "2026-03-01T09:00Z",
     "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "-2026-03-01T09:00:00Z"],
)  # fmt: skip
def test_what_is_no_time_is_refused(printed: str) -> None:
    for read in (floor, ceiling):
        with pytest.raises(ValueError, match=r"time|date|offset|second|hour|month|day|year"):
            read(printed)


@given(YEARS, st.integers(-14 * 60, 14 * 60))
def test_every_time_means_what_python_reads(wall: datetime, minutes: int) -> None:
    printed = wall.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    exact = printed - datetime(1970, 1, 1, tzinfo=UTC)
    assert floor(printed.isoformat()) == exact // timedelta(seconds=1)
    assert ceiling(printed.isoformat()) == -(-exact // timedelta(seconds=1))
