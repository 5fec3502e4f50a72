"""Upgrading from any place: with a running event loop or without one."""

from pathlib import Path

import pytest

from shared.migrate import schema_is_current, upgrade
from shared.store import open_store


def test_an_upgrade_runs_without_an_event_loop(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/b.db")
    assert (tmp_path / "b.db").stat().st_size > 0


async def test_an_upgrade_runs_inside_an_event_loop(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/100%/b.db"
    upgrade(url)
    store = open_store(url)
    assert await schema_is_current(store)
    await store.close()


def test_an_address_of_another_kind_is_refused_without_being_quoted() -> None:
    with pytest.raises(ValueError, match="a database URL begins with") as caught:
        upgrade("mysql://user:canary@host/name")
    assert "canary" not in repr(caught.value)
