"""Servers for tests: from the environment, from binaries here, from containers; else skipped, or failed where CI=true.

BUSYLINE_TEST_AMQP_URL and BUSYLINE_TEST_PG_URL name servers that may be emptied by tests.
"""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest
import structlog
from hypothesis import settings

from deploy.sandbox.state import State
from shared.broker import address, declare, topology
from shared.migrate import upgrade
from tests import databases
from tests.databases import Databases
from tests.ews_schema import SCHEMA, problems
from tests.servers import (
    Container,
    PostgresServer,
    RabbitServer,
    SlapdServer,
    Unavailable,
    empty,
    postgres_server,
    rabbit_server,
)
from tests.slapd_organisation import slapd_server
from tests.templates import compile_once

settings.register_profile("busyline", deadline=None)  # other workers compute beside this one: no example has a time
settings.load_profile("busyline")
os.environ["SSL_CERT_FILE"] = os.devnull  # nobody here has a certificate of a public CA, and to read all takes 20 ms

S = TypeVar("S", bound=RabbitServer | PostgresServer | SlapdServer | Container)
_numbers = count(1)
# every quorum queue's folder is named in RabbitMQ's directory of queues: a kill before that breaks the last one
_REMEMBERED = """cd /var/lib/rabbitmq/mnesia/*/quorum/* || exit 1
for queue in */; do grep -qF "${queue%/}" names.dets || exit 1; done"""


@pytest.fixture(scope="module", autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Undo what a module's tests made of logging: it may write to a file that is closed by then."""
    yield
    structlog.reset_defaults()


class Given:
    """A server somebody else runs: it has an address, and that is all."""

    def __init__(self, url: str) -> None:
        self.url = url


def _lacking(what: str, variable: str, why: Unavailable) -> NoReturn:
    text = f"no {what} here: {why}; set {variable}, install it, or start Docker"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def _started(make: Callable[[], S], what: str, variable: str) -> Iterator[S]:
    try:
        server = make()
    except Unavailable as why:
        _lacking(what, variable, why)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def pytest_collection_finish() -> None:
    """Keep what was imported and collected out of every further search for garbage: it stays to the end."""
    gc.freeze()


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitServer | Container | Given]:
    """A RabbitMQ for the whole run; ask for `amqp_url` to have its queues empty."""
    given = os.environ.get("BUSYLINE_TEST_AMQP_URL")
    if given:
        yield Given(given)
    else:
        yield from _started(rabbit_server, "RabbitMQ", "BUSYLINE_TEST_AMQP_URL")


@pytest.fixture(scope="session")
def mortal_rabbitmq() -> Iterator[RabbitServer | Container]:
    """A RabbitMQ to kill and start again, the topology on it; whoever kills it starts it."""
    for server in _started(rabbit_server, "RabbitMQ of the test's own", "PATH"):
        declare.ensure(address.parse(server.url))
        if isinstance(server, RabbitServer):
            server.until_remembered()
        else:
            server.until_it_holds(_REMEMBERED)
        yield server


@pytest.fixture(scope="session")
def mortal_postgres() -> Iterator[PostgresServer | Container]:
    """A PostgreSQL that keeps what it committed, to kill and start again; whoever kills it starts it."""
    yield from _started(lambda: postgres_server(durable=True), "PostgreSQL of the test's own", "PATH")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer | Container | Given]:
    """A PostgreSQL for the whole run; ask for `postgres_url` to have a database of one's own."""
    given = os.environ.get("BUSYLINE_TEST_PG_URL")
    if given:
        yield Given(given)
    else:
        yield from _started(postgres_server, "PostgreSQL", "BUSYLINE_TEST_PG_URL")


@pytest.fixture(scope="session")
def slapd() -> Iterator[SlapdServer]:
    """An OpenLDAP with a hybrid organisation in it, for the whole run; nobody changes it."""
    yield from _started(slapd_server, "OpenLDAP (slapd)", "PATH")


@pytest.fixture
def mortal_slapd() -> Iterator[SlapdServer]:
    """The same, to kill."""
    yield from _started(slapd_server, "OpenLDAP (slapd)", "PATH")


@pytest.fixture
def amqp_url(rabbitmq: RabbitServer | Container | Given) -> str:
    """RabbitMQ with every queue of ours empty."""
    empty(rabbitmq.url, list(topology.queue_arguments()))
    return rabbitmq.url


@pytest.fixture
def postgres_url(postgres: PostgresServer | Container | Given) -> Iterator[str]:
    """An empty database of the test's own."""
    url = databases.created(postgres.url, "template0")
    yield url
    databases.dropped(postgres.url, url)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A database of the test's own with the tables in it, on both kinds."""
    name = "sqlite_url" if request.param == "sqlite" else "migrated_postgres_url"
    return str(request.getfixturevalue(name))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the tables in it, to be copied."""
    path = tmp_path_factory.mktemp("template") / "busyline.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A SQLite database of the test's own with the tables in it."""
    path = tmp_path / "busyline.db"
    for file in sqlite_template.parent.glob("busyline.db*"):  # the write-ahead log beside it, too
        shutil.copy(file, tmp_path / file.name)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def postgres_databases(postgres: PostgresServer | Container | Given) -> Iterator[Databases]:
    """PostgreSQL databases with the tables in them, and no rows."""
    template = databases.created(postgres.url, "template0")
    try:
        upgrade(template)
        held = Databases(postgres.url, template.rpartition("/")[2])
        yield held
        held.close()
    finally:
        databases.dropped(postgres.url, template)


@pytest.fixture
def migrated_postgres_url(postgres_databases: Databases) -> Iterator[str]:
    """A PostgreSQL database with the tables in it, for this test alone."""
    url = postgres_databases.take()
    yield url
    postgres_databases.give_back(url)


@pytest.fixture(params=["memory", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """A broker with empty queues, on both engines; the memory one is shared by all who open it within the test."""
    if request.param == "memory":
        return f"memory://test{next(_numbers)}"
    return str(request.getfixturevalue("amqp_url"))


@pytest.fixture(scope="session", autouse=True)
def templates_are_compiled_once() -> Iterator[None]:
    """Spare each test that opens a page of ours the compiling."""
    with pytest.MonkeyPatch.context() as patch:
        compile_once(patch)
        yield


@pytest.fixture(autouse=True)
def every_exchange_answer_is_valid(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hold what a sandbox of this test answers as an Exchange server against Microsoft's schema, where that is here."""
    wrong: list[str] = []
    make = State.__init__

    def made(self: State, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        self.ews_seen = lambda body: wrong.extend(problems(body))

    if SCHEMA.is_file():
        monkeypatch.setattr(State, "__init__", made)
    yield
    assert wrong[:5] == []
