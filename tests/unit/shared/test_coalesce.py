import asyncio
from collections.abc import Sequence

import pytest

from shared.coalesce import Coalesce
from shared.errors import Retry


class Doubling:
    """Doubles numbers in batches; `gate` holds a batch open; a batch with 13 in it fails."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.begun.set()
        await self.gate.wait()
        if 13 in items:
            raise ValueError("unlucky")
        return [KeyError(item) if item == 7 else item * 2 for item in items]


async def test_a_lone_call_runs_at_once() -> None:
    run = Doubling()
    assert await Coalesce(run)(4) == 8
    assert run.batches == [[4]]


async def test_calls_that_arrive_while_a_batch_runs_share_the_next_one() -> None:
    run = Doubling()
    run.gate.clear()
    double = Coalesce(run)
    first = asyncio.create_task(double(1))
    await run.begun.wait()
    rest = [asyncio.create_task(double(number)) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    run.gate.set()
    assert await asyncio.gather(first, *rest) == [2, 4, 6, 8]
    assert run.batches == [[1], [2, 3, 4]]


async def test_a_batch_holds_no_more_than_its_limit() -> None:
    run = Doubling()
    double = Coalesce(run, limit=2)
    assert await asyncio.gather(*(double(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert run.batches == [[0, 1], [2, 3], [4]]


async def test_one_bad_item_fails_alone() -> None:
    double = Coalesce(Doubling())
    results = await asyncio.gather(*(double(number) for number in (1, 13, 2)), return_exceptions=True)
    assert results[0] == 2
    assert isinstance(results[1], ValueError)
    assert results[2] == 4


async def test_a_pause_ordered_for_all_is_not_tried_item_by_item() -> None:
    tried = []

    async def away(items: Sequence[int]) -> Sequence[int | Exception]:
        tried.append(list(items))
        raise Retry("store_unavailable", counted=False)

    double = Coalesce(away)
    results = await asyncio.gather(*(double(number) for number in range(5)), return_exceptions=True)
    assert all(isinstance(result, Retry) for result in results)
    assert tried == [[0, 1, 2, 3, 4]]


async def test_an_exception_in_an_items_place_is_its_callers_alone() -> None:
    double = Coalesce(Doubling())
    results = await asyncio.gather(double(7), double(8), return_exceptions=True)
    assert isinstance(results[0], KeyError)
    assert results[1] == 16


async def test_a_caller_that_went_away_is_left_out() -> None:
    run = Doubling()
    run.gate.clear()
    double = Coalesce(run)
    first = asyncio.create_task(double(1))
    await run.begun.wait()
    gone, stays = asyncio.create_task(double(2)), asyncio.create_task(double(3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    run.gate.set()
    assert await asyncio.gather(first, stays) == [2, 6]
    assert run.batches == [[1], [3]]


async def test_a_batch_of_the_wrong_length_is_an_error() -> None:
    async def short(_items: Sequence[int]) -> Sequence[int | Exception]:
        return []

    with pytest.raises(RuntimeError):
        await Coalesce(short)(1)


async def test_a_cancelled_worker_leaves_no_caller_waiting() -> None:
    run = Doubling()
    run.gate.clear()
    double = Coalesce(run)
    first = asyncio.create_task(double(1))
    await run.begun.wait()
    second = asyncio.create_task(double(2))
    await asyncio.sleep(0)
    assert double._worker is not None
    double._worker.cancel()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
