"""Every calendar file of the collection loads and expands; a hanging one would run into the time-out."""

from pathlib import Path

import pytest

from deploy.sandbox.calendar import instances, read_calendar
from shared.contracts.values import Window

CORPUS = Path(__file__).parents[3] / ".." / "shared" / "data" / "corpus"
FILES = sorted(path for path in CORPUS.glob("*") if path.name != "index.json") if CORPUS.exists() else []
WINDOW = Window(631_152_000, 1_924_992_000)  # 1990-01-01 to 2031-01-01

pytestmark = pytest.mark.skipif(not FILES, reason="needs ../shared/data/corpus")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_file_loads_and_expands() -> None:
    for path in FILES:
        items, _ = instances(read_calendar(path.read_bytes()), WINDOW)
        assert all(item.start <= item.end for item in items)
        assert items == sorted(items, key=lambda item: (item.start, item.end, item.item_id))
        assert len({item.item_id for item in items}) == len(items)
