"""A store, a vault and a desk whose Microsoft is a fake."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.authorizer import orgs
from services.authorizer.desk import Desk
from services.authorizer.settings import Settings
from services.authorizer.verify import Microsoft
from shared.identity import GraphCredential
from shared.store import Store, open_store
from shared.vault import Vault, load_vault
from tests.unit.authorizer.authorizer_fakes import FakeGraph, FakeTokens
from tests.unit.authorizer.exchange_fakes import FakeServer


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    made = open_store(sqlite_url)
    yield made
    await made.close()


@pytest.fixture
async def vault(tmp_path: Path, store: Store) -> Vault:
    made = load_vault(tmp_path / "keys", create=True)
    await orgs.put_credential(store, made, "default", GraphCredential(client_id="app", client_secret="canary"), now=1)
    return made


@pytest.fixture
def tokens() -> FakeTokens:
    return FakeTokens()


@pytest.fixture
def graph() -> FakeGraph:
    return FakeGraph()


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def desk(store: Store, vault: Vault, tokens: FakeTokens, graph: FakeGraph, server: FakeServer) -> Desk:
    microsoft = Microsoft(tokens, graph)
    return Desk(
        store=store, vault=vault, microsoft=microsoft, exchange=server.exchange(), settings=Settings(), tries={}
    )


@pytest.fixture
async def both(store_url: str) -> AsyncIterator[Store]:
    """A store of either kind."""
    made = open_store(store_url)
    yield made
    await made.close()
