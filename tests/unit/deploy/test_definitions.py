"""RabbitMQ's definitions: what the file says, without a broker."""

import base64
import hashlib
import json
import re
from typing import Any

import pytest

from deploy.rabbitmq.definitions import ADMISSION, POLICIES, USERS, VHOST, Consumer, document, hashed
from shared.broker import topology

PASSWORDS = {name: f"secret-of-{name}" for name in USERS}
CRM = Consumer(name="crm", password="secret-of-crm", orgs=("acme", "a-b"))


def definitions(*consumers: Consumer) -> Any:
    return json.loads(document(PASSWORDS, consumers))


def allows(expression: str, name: str) -> bool:
    """Say what RabbitMQ would: its expressions match anywhere in the name."""
    return re.search(expression, name) is not None


def right(user: str, kind: str) -> str:
    return str(next(p[kind] for p in definitions(CRM)["permissions"] if p["user"] == user))


def topic(user: str, exchange: str, kind: str) -> str:
    rows = definitions(CRM)["topic_permissions"]
    return str(next(row[kind] for row in rows if (row["user"], row["exchange"]) == (user, exchange)))


def test_the_same_passwords_give_the_same_bytes() -> None:
    assert document(PASSWORDS, [CRM]) == document(dict(reversed(PASSWORDS.items())), [CRM])


def test_no_password_stands_in_the_file() -> None:
    assert b"secret-of-" not in document(PASSWORDS, [CRM])


def test_a_hash_is_the_one_rabbitmq_computes() -> None:
    raw = base64.b64decode(hashed("fetcher", "secret"))
    assert raw[4:] == hashlib.sha256(raw[:4] + b"secret").digest()


def test_equal_passwords_of_two_users_look_different() -> None:
    assert hashed("fetcher", "secret") != hashed("publisher", "secret")


def test_every_queue_is_consumed_by_exactly_one_service() -> None:
    readers = {name: [user for user in USERS if allows(right(user, "read"), name)] for name in topology.QUEUES}
    assert readers == {name: [queue.service] for name, queue in topology.QUEUES.items()}


def test_every_message_type_has_someone_who_may_publish_it() -> None:
    keys = {key for queue in topology.QUEUES.values() for key in queue.keys}
    allowed = {
        key
        for key in keys
        for user in USERS
        if allows(topic(user, "busyline", "write"), key) and allows(right(user, "write"), "busyline")
    }
    assert allowed == keys


def test_no_user_of_ours_may_declare_or_delete_anything() -> None:
    names = [*topology.queue_arguments(), *topology.EXCHANGES, "anything", ""]
    assert not [(user, name) for user in USERS for name in names if name and allows(right(user, "configure"), name)]


def test_only_the_platform_may_say_that_an_org_connected() -> None:
    assert [user for user in USERS if allows(topic(user, "busyline", "write"), "org.connected.v1")] == ["platform"]


def test_only_the_publisher_announces() -> None:
    assert [user for user in USERS if allows(right(user, "write"), "availability")] == ["publisher"]


def test_no_user_of_ours_is_an_administrator() -> None:
    assert {tuple(user["tags"]) for user in definitions(CRM)["users"]} == {()}


@pytest.mark.parametrize("key", ["#", "*.#", "other.box", "acmes.box", "xacme.box", "acme", "availability.acme.box"])
def test_a_consumer_may_not_bind_beyond_its_orgs(key: str) -> None:
    assert not allows(topic("consumer-crm", "availability", "read"), key)


@pytest.mark.parametrize("key", ["acme.#", "acme.box.availability.updated.v1", "a-b.*"])
def test_a_consumer_may_bind_its_orgs(key: str) -> None:
    assert allows(topic("consumer-crm", "availability", "read"), key)


@pytest.mark.parametrize("queue", ["consumer.crm2.q", "consumer.crmq", "fetcher.live", "x.consumer.crm.q", "busyline"])
def test_a_consumer_touches_no_queue_but_its_own(queue: str) -> None:
    kinds = ("configure", "write", "read")
    assert not [kind for kind in kinds if allows(right("consumer-crm", kind), queue)]


def test_a_consumer_of_every_org_is_possible_and_explicit() -> None:
    every = json.loads(document({}, [Consumer(name="bi", password="secret", orgs=("*",))]))
    assert allows(every["topic_permissions"][0]["read"], "any.box")


@pytest.mark.parametrize("orgs", [(), ("a.b",), ("acme", "*"), ("#",), ("acme\n",)])
def test_orgs_that_could_widen_a_consumers_rights_are_refused(orgs: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="one org or more"):
        document({}, [Consumer(name="crm", password="secret", orgs=orgs)])


@pytest.mark.parametrize("name", ["", "CRM", "a.b", "-a", "a" * 41, "crm\n"])
def test_a_consumers_name_is_one_word(name: str) -> None:
    with pytest.raises(ValueError, match="consumer's name"):
        document({}, [Consumer(name=name, password="secret", orgs=("acme",))])


def test_a_user_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="fetchr"):
        document({"fetchr": "secret"})


def test_an_empty_password_is_refused() -> None:
    with pytest.raises(ValueError, match="fetcher is empty"):
        document({"fetcher": ""})


def test_the_user_that_admits_consumers_touches_nothing_but_theirs() -> None:
    page = json.loads(document({ADMISSION: "secret"}))
    ((user,), (rights,)) = page["users"], page["permissions"]
    assert (user["tags"], page["topic_permissions"]) == (["administrator"], [])
    names = {*topology.queue_arguments(), *topology.EXCHANGES}
    assert not [name for name in names for kind in ("configure", "write") if allows(rights[kind], name)]
    assert [name for name in names if allows(rights["read"], name)] == [topology.AVAILABILITY]
    assert all(allows(rights[kind], "consumer.crm.updates") for kind in ("configure", "write", "read"))


def test_policies_touch_no_working_queue() -> None:
    for pattern, _ in POLICIES.values():
        assert not [name for name in topology.QUEUES if allows(pattern, name)]


def test_everything_lies_in_one_virtual_host() -> None:
    rows = [row for part in definitions(CRM).values() for row in part if isinstance(row, dict)]
    assert {row["vhost"] for row in rows if "vhost" in row} == {VHOST}
