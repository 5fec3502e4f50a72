"""That notifications are collected, tried again with growing pauses, and given up in the end."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import msgspec
import pytest

from deploy.sandbox.delivery import AT_ONCE, GIVES_UP, MOST, Delivery, Tally, pause
from deploy.sandbox.notifications import Notice
from deploy.sandbox.posting import Letter, Reply
from tests.waiting import until

URL = "http://127.0.0.1:9/notes"


class Door:
    """Answers with the statuses set, then 202; `open` lets it answer at all."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.statuses: list[int] = []
        self.open = asyncio.Event()
        self.open.set()
        self.inside = self.most_inside = 0

    async def post(self, letter: Letter) -> Reply:
        self.letters.append(letter)
        self.inside += 1
        self.most_inside = max(self.inside, self.most_inside)
        try:
            await self.open.wait()
        finally:
            self.inside -= 1
        return Reply(status=self.statuses.pop(0) if self.statuses else 202)


class Desk:
    """A delivery with its door and counts."""

    def __init__(self) -> None:
        self.door, self.tally, self.barred = Door(), Tally(), set[str]()
        self.delivery = Delivery(self.door.post, self.tally, admits=self.admits, scale=1e-6)

    def admits(self, notice: Notice) -> bool:
        if notice.subscription_id in self.barred:
            self.tally.failed += 1
            return False
        return True

    def push(self, name: str, *, url: str = URL, seconds: float = 0.0) -> None:
        self.tally.due += 1
        notice = Notice(subscription_id=name, url=url, body=f'"{name}"'.encode(), since=0)
        self.delivery.push(notice, seconds=seconds)

    async def settled(self) -> None:
        await until(lambda: self.tally.waiting == 0)

    def posts(self) -> list[list[str]]:
        return [msgspec.json.decode(letter.body)["value"] for letter in self.door.letters]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    made.door.open.set()
    await made.delivery.stop()


async def test_what_comes_together_goes_together(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        desk.push(name)
    desk.push("d", url=f"{URL}/other")
    await desk.settled()
    assert sorted(desk.posts()) == [["a", "b", "c"], ["d"]]
    assert (desk.tally.posts, desk.tally.sent, desk.tally.delivered) == (2, 4, 4)
    (letter, _) = sorted(desk.door.letters, key=lambda each: each.url)
    assert (letter.url, letter.content_type, letter.seconds) == (URL, "application/json; charset=utf-8", 3.0)


async def test_a_post_holds_so_many_and_so_many_posts_are_in_flight(desk: Desk) -> None:
    desk.door.open.clear()
    for number in range(MOST * (AT_ONCE + 2)):
        desk.push(str(number))
    await until(lambda: len(desk.door.letters) == AT_ONCE)
    desk.door.open.set()
    await desk.settled()
    assert desk.door.most_inside == AT_ONCE
    assert {len(post) for post in desk.posts()} == {MOST}


async def test_another_address_does_not_wait_for_a_slow_one(desk: Desk) -> None:
    slow = asyncio.Event()
    post = desk.door.post

    async def slowly(letter: Letter) -> Reply:
        if letter.url == URL:
            await slow.wait()
        return await post(letter)

    desk.delivery = Delivery(slowly, desk.tally, admits=desk.admits, scale=1)
    desk.push("a")
    desk.push("b", url=f"{URL}/other")
    await until(lambda: desk.tally.delivered == 1)
    slow.set()
    await desk.settled()
    await desk.delivery.stop()


@pytest.mark.parametrize("status", [0, 301, 404, 429, 500, 503])
async def test_a_failure_is_tried_again(desk: Desk, status: int) -> None:
    desk.door.statuses = [status, status]
    desk.push("a")
    await desk.settled()
    assert (desk.tally.sent, desk.tally.delivered, desk.tally.failed) == (3, 1, 0)


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_every_2xx_is_a_delivery(desk: Desk, status: int) -> None:
    desk.door.statuses = [status]
    desk.push("a")
    await desk.settled()
    assert (desk.tally.sent, desk.tally.delivered) == (1, 1)


async def test_after_four_hours_it_is_given_up(desk: Desk) -> None:
    desk.door.statuses = [500] * 1000
    desk.push("a")
    await desk.settled()
    assert (desk.tally.delivered, desk.tally.failed) == (0, 1)
    assert desk.tally.sent > 10


def test_pauses_grow_and_end_within_four_hours() -> None:
    pauses, waited = [], 0.0
    while (wait := pause(waited)) is not None:
        pauses.append(wait)
        waited += wait
    assert pauses[:6] == [10, 10, 20, 40, 80, 160]
    assert all(first <= second for first, second in pairwise(pauses))
    assert GIVES_UP - 600 < waited <= GIVES_UP


async def test_who_may_not_be_told_any_more_is_not(desk: Desk) -> None:
    desk.push("a", seconds=0.01)
    desk.push("b", seconds=0.01)
    desk.barred.add("a")
    await desk.settled()
    assert desk.posts() == [["b"]]
    assert (desk.tally.delivered, desk.tally.failed) == (1, 1)


async def test_a_stop_ends_what_is_on_its_way(desk: Desk) -> None:
    desk.door.open.clear()
    desk.push("a")
    desk.push("b", seconds=3600)
    await until(lambda: desk.door.inside == 1)
    await desk.delivery.stop()
    assert desk.door.inside == 0
    desk.push("c")
    assert (desk.tally.delivered, desk.tally.waiting) == (0, 3)
    assert len(asyncio.all_tasks()) == 1
