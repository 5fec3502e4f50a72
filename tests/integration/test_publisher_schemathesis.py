"""Schemathesis asks every operation whatever its description allows and forbids: no fault, and no answer undescribed.

Whoever would follow for ever is turned away by the limits (429), so that streams end, too.
"""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from msgspec import Struct
from schemathesis import checks
from schemathesis.specs.openapi import checks as described

from services.publisher import api, calendar_feeds, openapi
from services.publisher.bell import Bell
from services.publisher.consumers import bearer_of
from services.publisher.following import Following, Limits
from services.publisher.timelines import publish
from services.publisher.web import served
from services.publisher.webhooks.delivery import Post
from shared import clock
from shared.contracts.values import Bucket
from shared.health import Health
from shared.store import Store, open_store
from tests.integration.asking import put_mailbox
from tests.unit.publisher.hooks import FakeSender, Taker, consumer, make, post_with
from tests.unit.publisher.readings import busy, connect, event, snapshot, unreadable

CHECKS = [
    checks.not_a_server_error,
    described.status_code_conformance,
    described.content_type_conformance,
    described.response_headers_conformance,
    described.response_schema_conformance,
]
PAGE = openapi.document(api.OPERATIONS)
BRIEFLY = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": False}}})
MANY_SIDED = "slots"  # what it takes has so many members that every case of each would take longer than all the rest
thoroughly = schemathesis.openapi.from_dict(PAGE).exclude(operation_id=MANY_SIDED)
by_chance = schemathesis.openapi.from_dict(PAGE, config=BRIEFLY).include(operation_id=MANY_SIDED)
briefly = schemathesis.openapi.from_dict(PAGE, config=BRIEFLY)


class World(Struct, frozen=True, kw_only=True):
    """A server, a token, and the names of what is there."""

    url: str
    token: str
    names: dict[str, str]
    doomed: dict[str, str]  # of what may be deleted


@contextmanager
def world(folder: Path, template: Path, *, filled: bool) -> Iterator[World]:
    """Serve in a thread of its own, over a store with something in it or with nothing but a consumer."""
    for file in template.parent.glob("busyline.db*"):
        (folder / file.name).write_bytes(file.read_bytes())
    made: Future[World] = Future()
    stop = threading.Event()

    async def serve() -> None:
        store = open_store(f"sqlite:///{folder / 'busyline.db'}")
        post = post_with(store, folder, FakeSender(Taker()), clock.exact)
        following = Following(store, Bell(), Limits(each=0, total=0))
        token = await consumer(store)
        names, doomed = await _filled(store, post, token) if filled else ({}, {})
        async with served(store, Health(), host="127.0.0.1", port=0, following=following, post=post) as port:
            made.set_result(World(url=f"http://127.0.0.1:{port}", token=token, names=names, doomed=doomed))
            await asyncio.to_thread(stop.wait)
        await store.close()

    with ThreadPoolExecutor(1) as threads:
        serving = threads.submit(asyncio.run, serve())
        serving.add_done_callback(lambda ended: made.done() or made.set_exception(ended.exception() or RuntimeError()))
        try:
            yield made.result(60)
        finally:
            stop.set()
            serving.result()


@pytest.fixture(scope="module")
def populated(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("populated"), sqlite_template, filled=True) as made:
        yield made


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("empty"), sqlite_template, filled=False) as made:
        yield made


async def _filled(store: Store, post: Post, token: str) -> tuple[dict[str, str], dict[str, str]]:
    """Put in a mailbox of each sort, webhooks and feeds; return names of what stays, and of what may be deleted."""
    now = clock.now()
    await connect(store)
    for name in ("m-known", "m-detailed", "m-denied", "m-unread"):
        await put_mailbox(store, name)
    await publish(store, [snapshot(busy(9, 10), mailbox_id="m-known")], now=now)
    await publish(store, [snapshot(events=(event(9, 10, "Plan"),), mailbox_id="m-detailed")], now=now)
    await publish(store, [unreadable(Bucket.DENIED, mailbox_id="m-denied")], now=now)
    known = await bearer_of(store, token)
    assert known is not None
    hooks = [(await make(post))[0].webhook_id for _ in range(2)]
    feeds = [await calendar_feeds.make(store, known, "acme", "m-known", now=now) for _ in range(2)]
    stays = {"address": "m-known@example.com", "webhook": hooks[0], "secret": feeds[0][1]}
    goes = {"feed": feeds[1][0].feed_id, "webhook": hooks[1]}
    return {"org": "acme"} | stays, {"org": "acme"} | goes


@thoroughly.parametrize()
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_answer_about_what_is_there_is_a_fault_or_undescribed(case: schemathesis.Case, populated: World) -> None:
    called(case, populated)


@by_chance.parametrize()
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_answer_to_a_question_of_many_sides_is_a_fault_or_undescribed(
    case: schemathesis.Case, populated: World
) -> None:
    called(case, populated)


@briefly.parametrize()
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_answer_of_an_empty_store_is_a_fault_or_undescribed(case: schemathesis.Case, empty: World) -> None:
    called(case, empty)


def called(case: schemathesis.Case, there: World) -> None:
    """Ask about what is there, where anything is, and hold the answer against the page."""
    names = there.doomed if case.method == "DELETE" else there.names
    case.path_parameters.update({name: value for name, value in names.items() if name in case.path_parameters})
    headers = {"Authorization": f"Bearer {there.token}"}
    case.call_and_validate(base_url=there.url, headers=headers, checks=CHECKS, timeout=30)
