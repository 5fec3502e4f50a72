"""Two days of the soak, as part of the suite."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.soak.growth import grown
from tests.soak.soak import soak
from tests.soak.stepped import stepped


@pytest.mark.slow
def test_two_days_of_changes_and_faults_end_as_the_calendars_say(tmp_path: Path) -> None:
    with stepped(time.time()) as loop, asyncio.Runner(loop_factory=lambda: loop) as runner:  # noqa: TID251 -- the start
        soaked = runner.run(soak(tmp_path, days=2, seed=7))
    assert [day.parked for day in soaked.days] == [[], []]
    assert grown(soaked.days) == []
    assert soaked.happened
