"""A full disk under SQLite: the services say so, lose nothing, and go on as soon as there is room."""

import io
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from deploy.sandbox import SandboxOptions
from shared.contracts.policy import Policy
from tests.pipeline.embedded import Wanted, embedded
from tests.pipeline.scene import said
from tests.waiting import until

FULL, ROOM = 1, 2**31 - 2  # pages; SQLite takes what the file has already for the least


class Disk:
    """How many pages the database may have, told to every connection that is taken from the pool."""

    def __init__(self, engine: Any) -> None:
        self.pages = ROOM
        event.listen(engine.sync_engine, "checkout", self._limit)

    def _limit(self, connection: Any, _record: object, _proxy: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA max_page_count = {self.pages}")
        cursor.close()


@pytest.mark.slow
async def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    log = io.StringIO()
    options = SandboxOptions(folder=tmp_path, mailboxes=20, events=15)
    async with embedded(Wanted(folder=tmp_path, sandbox=options, policy=Policy(poll_seconds=1), log=log)) as here:
        await here.scene.agrees()
        disk = Disk(here.rim.store.engine)
        disk.pages = FULL
        await until(lambda: _stirred(here.scene, log), 60)
        here.scene.stir(20)
        disk.pages = ROOM
        await here.scene.agrees()
        assert said(await here.rim.broker.parked()) == []


def _stirred(scene: Any, log: io.StringIO) -> bool:
    scene.stir(1)
    return "store_unavailable" in log.getvalue()
