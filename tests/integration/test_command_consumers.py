"""`busyline consumers` and a real RabbitMQ with its management API: what a consumer gets there, and what it cannot."""

import asyncio
import json
import urllib.request
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import amqp
import pika
import pytest
from click.testing import CliRunner
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker
from sqlalchemy import update

from deploy.command import consumers as commands
from deploy.command.admitting import departed
from deploy.command.main import main
from deploy.rabbitmq.definitions import ADMISSION, USERS, VHOST, document
from services.publisher import consumers as admitted
from services.publisher.departure import depart
from services.publisher.relay import NAME
from shared import clock, tables
from shared.broker import topology
from shared.store import Store, open_store
from tests.servers import RabbitServer, Unavailable
from tests.unit.publisher.readings import connect
from tests.waiting import until

Channel = Any
PASSWORDS = {name: f"pw-{name}" for name in (*USERS, ADMISSION)}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """Give a node that began with our definitions and has the management API."""
    folder = tmp_path_factory.mktemp("rabbit")
    try:
        server = RabbitServer(folder, managed=True)
    except Unavailable as missing:
        pytest.skip(f"no RabbitMQ of its own can be started: {missing}")
    definitions = folder / "definitions.json"
    definitions.write_bytes(document(PASSWORDS))
    with (folder / "rabbitmq.conf").open("a", encoding="utf-8") as configuration:
        configuration.write(f"load_definitions = {definitions}\n")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = open_store(sqlite_url)
    yield opened
    await opened.close()


class Operator:
    """Gives commands, with the broker to manage or without."""

    def __init__(self, node: RabbitServer, database: str, folder: Path) -> None:
        self.node = node
        self.environment = {
            "BUSYLINE_DATABASE_URL": database,
            "BUSYLINE_KEYS_FILE": str(folder / "keys"),
            "BUSYLINE_BROKER_URL": f"amqp://operator:pw-operator@127.0.0.1:{node.port}/{VHOST}",
            "BUSYLINE_BROKER_ADMIN_URL": self.api_of(ADMISSION),
        }

    def api_of(self, user: str, password: str = "", port: int = 0) -> str:
        return f"http://{user}:{password or 'pw-' + user}@127.0.0.1:{port or self.node.management_port}"

    async def says(self, *words: str, code: int = 0, **settings: str) -> str:
        result = await asyncio.to_thread(
            CliRunner().invoke, main, ["consumers", *words], env=self.environment | settings
        )
        assert result.exit_code == code, result.output
        return result.output

    async def adds(self, name: str, *orgs: str) -> str:
        """Add a consumer, and return its URL of the broker."""
        said = await self.says("add", name, "--amqp", *(word for org in orgs for word in ("--org", org)))
        return line(said, "amqp")


@pytest.fixture
async def operator(node: RabbitServer, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Operator]:
    given = Operator(node, sqlite_url, tmp_path)
    yield given
    for name in users(node):
        await given.says("remove", name)


def line(said: str, word: str) -> str:
    return next(each.split()[1] for each in said.splitlines() if each.startswith(word))


def api(node: RabbitServer, path: str, body: bytes | None = None, *, method: str | None = None) -> Any:
    """Ask the management API as the administrator."""
    request = urllib.request.Request(f"http://127.0.0.1:{node.management_port}/api/{path}", data=body, method=method)
    request.add_header("Authorization", f"Basic {b64encode(f'{ADMISSION}:pw-{ADMISSION}'.encode()).decode()}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


def users(node: RabbitServer) -> list[str]:
    found = [each["name"] for each in api(node, "users")]
    return [name.removeprefix("consumer-") for name in found if name.startswith("consumer-")]


def queues(node: RabbitServer) -> set[str]:
    found = {each["name"] for each in api(node, f"queues/{VHOST}?columns=name")}
    return {name for name in found if name.startswith("consumer.")}


@contextmanager
def signed_in(url: str) -> Iterator[Channel]:
    """Give a channel to who uses pika as the documentation says."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection.channel()
    finally:
        if connection.is_open:
            connection.close()


def lets(url: str, act: Callable[[Channel], object]) -> bool:
    """Say whether the broker lets it happen; what is not refused for want of rights is an error."""
    try:
        with signed_in(url) as channel:
            act(channel)
    except ChannelClosedByBroker as refusal:
        if refusal.reply_code != 403:
            raise
        return False
    return True


def enters(url: str) -> bool:
    try:
        with signed_in(url):
            return True
    except AMQPConnectionError:
        return False


def announce(node: RabbitServer, *keys: str) -> None:
    """Announce as the publisher does: confirmed; what no queue is bound for is dropped."""
    login = {"userid": "publisher", "password": "pw-publisher", "login_method": "PLAIN"}
    with amqp.Connection(host=f"127.0.0.1:{node.port}", virtual_host=VHOST, **login) as connection:
        channel = connection.channel()
        channel.confirm_select()
        for key in keys:
            channel.basic_publish_confirm(amqp.Message(key), exchange=topology.AVAILABILITY, routing_key=key)


def taken(url: str, queue: str) -> list[str]:
    """Take all that a queue holds."""
    found: list[str] = []
    with signed_in(url) as channel:
        while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append(got[2].decode())
    return found


async def test_a_consumer_gets_its_orgs_updates_and_no_others(operator: Operator, node: RabbitServer) -> None:
    said = await operator.says("add", "crm", "--org", "acme", "--org", "a-b", "--amqp")
    url, queue = line(said, "amqp"), line(said, "queue")
    announce(node, "acme.box", "beta.box", "a-b._", "acmes.box", "acme.other")
    assert taken(url, queue) == ["acme.box", "a-b._", "acme.other"]
    assert line(said, "token").startswith("busyline_")


async def test_a_consumer_of_every_org_gets_everything(operator: Operator, node: RabbitServer) -> None:
    said = await operator.says("add", "bi", "--all", "--amqp")
    announce(node, "acme.box", "beta.box")
    assert taken(line(said, "amqp"), line(said, "queue")) == ["acme.box", "beta.box"]


async def test_what_the_documentation_lets_a_consumer_do_works_with_its_url(operator: Operator) -> None:
    url = await operator.adds("crm", "acme")
    assert lets(url, lambda channel: channel.queue_bind("consumer.crm.updates", "availability", "acme.box"))
    assert lets(url, lambda channel: channel.queue_purge("consumer.crm.updates"))
    assert lets(url, lambda channel: channel.basic_get("consumer.crm.updates"))


async def test_the_broker_refuses_a_consumer_whatever_is_not_its_own(operator: Operator) -> None:
    await operator.adds("bi", "acme")
    url = await operator.adds("crm", "acme")
    for key in ("#", "beta.#", "*.box", "acmes.#"):
        assert not lets(url, lambda channel, key=key: channel.queue_bind("consumer.crm.updates", "availability", key))
    refusing = {"x-overflow": "reject-publish", "x-max-length": 1}  # it would hold up what is published to everybody
    for name in ("consumer.crm.mine", "consumer.crm.updates"):
        assert not lets(url, lambda channel, name=name: channel.queue_declare(name, durable=True, arguments=refusing))
    assert not lets(url, lambda channel: channel.exchange_declare("consumer.crm.fan", "topic"))
    assert not lets(url, lambda channel: channel.queue_delete("consumer.crm.updates"))
    for queue in ("consumer.bi.updates", "publisher.live", topology.PARKED):
        assert not lets(url, lambda channel, queue=queue: channel.basic_get(queue))
        assert not lets(url, lambda channel, queue=queue: channel.queue_purge(queue))
        assert not lets(url, lambda channel, queue=queue: channel.queue_delete(queue))
    assert not lets(url, lambda channel: channel.queue_bind("consumer.crm.updates", topology.EXCHANGE, "acme.#"))
    for exchange in (topology.AVAILABILITY, topology.EXCHANGE, ""):
        assert not lets(url, lambda channel, exchange=exchange: sent(channel, exchange))


def sent(channel: Channel, exchange: str) -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, "acme.box", b"forged")


async def test_removal_cuts_a_consumer_off(operator: Operator, node: RabbitServer, store: Store) -> None:
    said = await operator.says("add", "crm", "--org", "acme", "--amqp")
    url = line(said, "amqp")
    with signed_in(url) as channel:
        await operator.says("remove", "crm")
        await until(lambda: cut(channel), 60)
    assert not enters(url)
    assert (users(node), queues(node)) == ([], set())
    assert await admitted.bearer_of(store, line(said, "token")) is None
    assert "no consumer" in await operator.says("remove", "crm", code=1)


def cut(channel: Channel) -> bool:
    try:
        channel.connection.process_data_events(0)
    except AMQPConnectionError:
        return True
    return not channel.connection.is_open


async def test_a_new_scope_holds_for_bindings_that_a_consumer_made_itself(
    operator: Operator, node: RabbitServer, store: Store
) -> None:
    url = await operator.adds("crm", "acme", "beta")
    with signed_in(url) as channel:
        channel.queue_bind("consumer.crm.updates", "availability", "acme.box")
        await operator.says("scope", "crm", "--org", "beta", "--org", "new")
        await until(lambda: cut(channel), 60)  # an open channel remembers what it was allowed
    announce(node, "acme.box", "beta.box", "new.box")
    assert taken(url, "consumer.crm.updates") == ["beta.box", "new.box"]
    assert not lets(url, lambda channel: channel.queue_bind("consumer.crm.updates", "availability", "acme.#"))
    assert [known.orgs for known in await admitted.listed(store)] == [("beta", "new")]
    assert "no consumer" in await operator.says("scope", "nobody", "--all", code=1)


async def test_an_org_that_left_is_taken_from_the_broker_once_that_is_announced(
    operator: Operator, node: RabbitServer, store: Store
) -> None:
    url = await operator.adds("crm", "acme", "beta")
    await connect(store, generation=2, state="disconnecting")
    await depart(store, "acme", 2, now=clock.now())
    (known,) = await admitted.listed(store)
    async with store.write() as connection:
        await connection.execute(tables.relay.insert().values(name=NAME, position=0))
    assert await operator.says("sync") == ""  # the word that it left is still to come
    announce(node, "acme._")
    async with store.write() as connection:
        await connection.execute(update(tables.relay).values(position=known.departed["acme"]))
    assert "crm" in await operator.says("sync")
    announce(node, "acme.box", "beta.box")
    assert taken(url, "consumer.crm.updates") == ["acme._", "beta.box"]
    assert await operator.says("sync") == ""


async def test_disconnecting_waits_for_that_and_takes_the_org_from_the_broker_by_itself(
    operator: Operator, node: RabbitServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await operator.adds("crm", "acme", "beta")
    await connect(store, generation=2, state="disconnecting")
    await depart(store, "acme", 2, now=clock.now())
    (known,) = await admitted.listed(store)
    for name, value in operator.environment.items():
        monkeypatch.setenv(name, value)
    leaving = asyncio.create_task(departed(store))
    announce(node, "acme._")
    async with store.write() as connection:
        await connection.execute(tables.relay.insert().values(name=NAME, position=known.departed["acme"]))
    await leaving
    announce(node, "acme.box", "beta.box")
    assert taken(url, "consumer.crm.updates") == ["acme._", "beta.box"]
    monkeypatch.setenv("BUSYLINE_BROKER_ADMIN_URL", operator.api_of(ADMISSION, port=1))
    await departed(store)  # what cannot be reached is said, and no error: the org has left all the same


async def test_what_cannot_be_finished_leaves_nothing_behind(
    operator: Operator, node: RabbitServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise OSError(28, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(commands, "record", refused)
        assert "no space left" in await operator.says("add", "crm", "--org", "acme", "--amqp", code=1)
        assert (users(node), queues(node), await admitted.listed(store)) == ([], set(), [])
        await admitted.add(store, "bi", ["acme"], now=clock.now())
        assert "no space left" in await operator.says("scope", "bi", "--all", code=1)
        assert [known.orgs for known in await admitted.listed(store)] == [("acme",)]


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ((ADMISSION, "wrong", 0), "refuses its user or password"),
        (("operator", "", 0), "refuses its user or password"),  # who has no tag may not enter at all
        ((ADMISSION, "", 1), "cannot be reached"),
    ],
)
async def test_a_broker_that_cannot_be_managed_adds_nobody(
    operator: Operator, store: Store, login: tuple[str, str, int], said: str
) -> None:
    url = operator.api_of(*login)
    told = await operator.says("add", "crm", "--all", "--amqp", code=1, BUSYLINE_BROKER_ADMIN_URL=url)
    assert said in told
    assert "nothing was added" in told
    assert url.partition("@")[0] not in told
    assert await admitted.listed(store) == []


async def test_a_virtual_host_without_rights_is_told_with_what_is_needed(operator: Operator, store: Store) -> None:
    url = operator.environment["BUSYLINE_BROKER_URL"].replace(VHOST, "elsewhere")
    told = await operator.says("add", "crm", "--all", "--amqp", code=1, BUSYLINE_BROKER_URL=url)
    assert "lacks rights" in told or "lacks the virtual host" in told
    assert await admitted.listed(store) == []


async def test_a_consumer_that_is_there_is_not_touched_by_adding_it_again(
    operator: Operator, node: RabbitServer
) -> None:
    url = await operator.adds("crm", "acme")
    assert "already" in await operator.says("add", "crm", "--all", "--amqp", code=1)
    assert enters(url)
    announce(node, "beta.box")
    assert taken(url, "consumer.crm.updates") == []


async def test_who_bore_the_name_before_leaves_nothing_to_the_next(
    operator: Operator, node: RabbitServer, store: Store
) -> None:
    before = await operator.adds("crm", "acme")
    announce(node, "acme.box")
    await admitted.remove(store, "crm")  # while the broker was not managed
    assert "crm: on the broker" in await operator.says("sync")
    url = await operator.adds("crm", "beta")
    assert not enters(before)
    announce(node, "acme.box", "beta.box")
    assert taken(url, "consumer.crm.updates") == ["beta.box"]


async def test_who_bore_the_name_before_gets_nothing_of_the_next_who_reads_over_http_alone(
    operator: Operator, node: RabbitServer, store: Store
) -> None:
    before = await operator.adds("crm", "acme")
    announce(node, "acme.box")
    await admitted.remove(store, "crm")  # while the broker was not managed
    unreachable = {"BUSYLINE_BROKER_ADMIN_URL": operator.api_of(ADMISSION, port=1)}
    assert "nothing was added" in await operator.says("add", "crm", "--org", "beta", code=1, **unreachable)
    assert await admitted.listed(store) == []
    await operator.says("add", "crm", "--org", "beta")
    assert not enters(before)
    assert (users(node), queues(node)) == ([], set())
    url = line(await operator.says("amqp", "crm"), "amqp")
    assert taken(url, "consumer.crm.updates") == []
    assert "already" in await operator.says("add", "crm", "--org", "beta", code=1)
    assert enters(url)  # who is there is not touched


async def test_a_consumer_whose_queue_is_of_another_kind_keeps_nobody_else_from_a_narrower_scope(
    operator: Operator, node: RabbitServer, store: Store
) -> None:
    spoiling, url = await operator.adds("app", "acme", "beta"), await operator.adds("crm", "acme", "beta")
    spoilt = f"queues/{VHOST}/consumer.app.updates"
    api(node, spoilt, method="DELETE")
    api(node, spoilt, b'{"durable": true, "arguments": {"x-queue-type": "classic"}}', method="PUT")
    for name in ("app", "crm"):
        await admitted.rescope(store, name, ["beta"])
    told = await operator.says("sync", code=1)
    assert "crm: brought to its scope" in told
    assert "refuses what was asked for" in told
    announce(node, "acme.box", "beta.box")
    assert taken(url, "consumer.crm.updates") == ["beta.box"]
    assert not lets(spoiling, lambda channel: channel.queue_bind("consumer.app.updates", "availability", "acme.#"))


async def test_rights_on_queues_that_somebody_widened_are_brought_back(operator: Operator, node: RabbitServer) -> None:
    url = await operator.adds("crm", "acme")
    wide = json.dumps({"configure": ".*", "write": ".*", "read": ".*"}).encode()
    api(node, f"permissions/{VHOST}/consumer-crm", wide, method="PUT")
    assert "crm: brought to its scope" in await operator.says("sync")
    assert not lets(url, lambda channel: channel.queue_declare("mine"))


async def test_a_new_password_voids_the_old_one_and_loses_no_update(operator: Operator, node: RabbitServer) -> None:
    await operator.says("add", "crm", "--org", "acme")
    before = line(await operator.says("amqp", "crm"), "amqp")
    announce(node, "acme.box")
    after = line(await operator.says("amqp", "crm"), "amqp")
    assert not enters(before)
    assert taken(after, "consumer.crm.updates") == ["acme.box"]
    assert "no consumer" in await operator.says("amqp", "nobody", code=1)


async def test_without_a_broker_to_manage_what_is_to_be_imported_is_printed(
    operator: Operator, node: RabbitServer
) -> None:
    said = await operator.says("add", "crm", "--org", "acme", "--amqp", BUSYLINE_BROKER_ADMIN_URL="")
    url = line(said, "amqp")
    assert not enters(url)
    definitions = said[said.index("{") :]
    assert url.split(":")[2].partition("@")[0] not in definitions
    api(node, "definitions", definitions.encode())
    announce(node, "acme.box", "beta.box")
    assert taken(url, "consumer.crm.updates") == ["acme.box"]
    assert "not managed" in await operator.says("scope", "crm", "--org", "beta", BUSYLINE_BROKER_ADMIN_URL="")
    assert "not managed" in await operator.says("remove", "crm", BUSYLINE_BROKER_ADMIN_URL="")


async def test_usage_that_cannot_work_is_refused_before_anything_is_tried(operator: Operator, store: Store) -> None:
    assert "lower-case" in await operator.says("add", "crm.eu", "--all", "--amqp", code=2)
    assert "RabbitMQ" in await operator.says("add", "crm", "--all", "--amqp", code=2, BUSYLINE_BROKER_URL="memory://")
    assert "RabbitMQ" in await operator.says("sync", code=2, BUSYLINE_BROKER_ADMIN_URL="")
    for wrong in ("rabbit", "ftp://a:b@host", "http://host:15672", "http://a:b@host:port"):
        told = await operator.says("add", "crm", "--all", "--amqp", code=2, BUSYLINE_BROKER_ADMIN_URL=wrong)
        assert "BUSYLINE_BROKER_ADMIN_URL" in told
    assert await admitted.listed(store) == []
    assert await operator.says("add", "crm.eu", "--all")  # over HTTP alone it may be called so
    await operator.says("remove", "crm.eu")
