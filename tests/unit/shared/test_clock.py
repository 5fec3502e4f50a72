"""How instants are written."""

import pytest

from deploy.sandbox.rendering import wall
from shared.clock import moment
from shared.contracts.values import EARLIEST, LATEST


@pytest.mark.parametrize(
    ("instant", "written"),
    [(EARLIEST, "0001-01-01T00:00:00"), (0, "1970-01-01T00:00:00"), (LATEST, "9999-12-31T23:59:59")],
)
def test_every_year_has_four_digits(instant: int, written: str) -> None:
    assert moment(instant) == f"{written}Z"
    assert wall(instant, None) == f"{written}.0000000"
