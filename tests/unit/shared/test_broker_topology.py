"""The topology as plain values: what leads where, and what RabbitMQ's definitions say of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.broker import Unroutable, topology
from shared.contracts.messages import MailboxRead, Message, PipelineMessage


class Stray(Message, frozen=True, kw_only=True, tag="stray.v1"):
    """A message no queue takes."""


def read(*, live: bool) -> MailboxRead:
    return MailboxRead(org_id="acme", generation=1, mailbox_id="m", since=1, live=live)


def test_every_message_of_the_pipeline_has_a_queue() -> None:
    taken = {kind for queue in topology.QUEUES.values() for kind in queue.takes}
    assert taken == set(PipelineMessage.__args__)


def test_every_queue_is_a_durable_quorum_queue() -> None:
    assert {arguments["x-queue-type"] for arguments in topology.queue_arguments().values()} == {"quorum"}
    assert all(queue["durable"] for queue in topology.definitions()["queues"])


def test_no_queue_of_work_ever_drops_on_its_own_account() -> None:
    arguments = topology.queue_arguments()
    for name in (*topology.QUEUES, topology.PARKED):
        assert arguments[name]["x-delivery-limit"] == topology.NEVER
        assert not {"x-max-length", "x-message-ttl", "x-expires", "x-dead-letter-exchange"} & set(arguments[name])


def test_a_resting_queue_gives_back_without_loss() -> None:
    resting = [topology.queue_arguments()[rung.name] for rung in topology.DELAYED]
    assert {(it["x-dead-letter-exchange"], it["x-dead-letter-strategy"], it["x-overflow"]) for it in resting} == {
        ("", "at-least-once", "reject-publish")
    }
    assert not any("x-dead-letter-routing-key" in it for it in resting)


def test_a_live_read_goes_ahead_of_the_others_by_another_queue() -> None:
    keys = [topology.route(read(live=live)) for live in (True, False)]
    assert [topology.queue_of(topology.EXCHANGE, key) for key in keys] == ["fetcher.live", "fetcher.backfill"]


def test_a_message_no_queue_takes_has_no_route() -> None:
    with pytest.raises(Unroutable):
        topology.route(Stray(org_id="acme"))


def test_the_default_exchange_leads_to_our_own_queues_only() -> None:
    assert topology.queue_of("", topology.PARKED) == topology.PARKED
    assert topology.queue_of("", "somebody.elses") is None


def test_every_queue_can_be_rested_for_at_every_rung() -> None:
    for name in topology.QUEUES:
        service = name.partition(".")[0]
        for seconds in topology.RUNGS:
            assert str(topology.queue_of(topology.resting_place(seconds), name)).startswith(f"{service}.delayed")


@given(st.floats(min_value=0.001, max_value=100_000))
def test_resting_takes_few_hops_and_ends_at_most_a_second_late(seconds: float) -> None:
    length = {rung.exchange: rung.seconds for rung in topology.DELAYED}
    hops, left = 0, seconds
    while left > 0:
        left -= length[topology.resting_place(left)]
        hops += 1
    assert left >= -1
    assert hops <= seconds / max(topology.RUNGS) + 20


def test_the_definitions_hold_every_exchange_queue_and_binding_once() -> None:
    told = topology.definitions("busyline")
    assert len({it["name"] for it in told["exchanges"]}) == len(told["exchanges"]) == len(topology.EXCHANGES)
    assert len({it["name"] for it in told["queues"]}) == len(told["queues"]) == len(topology.queue_arguments())
    assert {(it["source"], it["routing_key"], it["destination"]) for it in told["bindings"]} == set(topology.bindings())
    assert {it["vhost"] for part in ("exchanges", "queues", "bindings") for it in told[part]} == {"busyline"}
