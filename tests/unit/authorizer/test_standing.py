"""How an org stands, counted on both databases: each object once, and nothing of another org."""

from msgspec.structs import replace

from services.authorizer import leaving
from services.authorizer.standing import Cause, standing
from shared import clock
from shared.contracts.values import Bucket
from shared.store import Store
from tests.unit.authorizer.acting import said
from tests.unit.authorizer.console.town import change, connected, put, searched, stands


async def test_every_object_is_counted_once_by_its_cause(both: Store) -> None:
    await connected(both)
    for number in range(4):
        await put(both, number, waiting="throttled" if number < 2 else None)
    await put(both, 5, bucket="denied", reason="access_denied")
    await put(both, 6, bucket="guest", reason="guest")
    await put(both, 7, org_id="beta", covered=False)
    found = await standing(both, "acme", now=clock.now())
    assert found.causes == (
        Cause(bucket=Bucket.ACTIVE, reason="", count=4),
        Cause(bucket=Bucket.DENIED, reason="access_denied", count=1),
        Cause(bucket=Bucket.GUEST, reason="guest", count=1),
    )
    assert found.waiting == {"throttled": 2}


async def test_only_readings_of_the_present_generation_count(both: Store) -> None:
    await connected(both)
    await put(both, 1)
    await put(both, 2, read_generation=7)
    await put(both, 3, read_generation=None, read_at=None)
    found = await standing(both, "acme", now=clock.now())
    assert (found.read, found.to_read) == (1, 3)


async def test_the_median_is_of_those_that_were_read(both: Store) -> None:
    await connected(both)
    for number, at in enumerate((100, 300, 200, 400, None)):
        await change(both, await put(both, number), read_at=at)
    found = await standing(both, "acme", now=clock.now())
    assert (found.oldest, found.median) == (100, 200)


async def test_one_that_is_read_and_not_published_is_uncovered(both: Store) -> None:
    await connected(both)
    await put(both, 1)
    assert not (await standing(both, "acme", now=clock.now())).uncovered
    await put(both, 2, covered=False)
    assert (await standing(both, "acme", now=clock.now())).uncovered


async def test_a_search_is_the_first_of_its_generation_or_a_later_one(both: Store) -> None:
    await connected(both)
    assert (await standing(both, "acme", now=clock.now())).search is None
    await searched(both, finished=False)
    found = (await standing(both, "acme", now=clock.now())).search
    assert found is not None
    assert (found.first, found.current, found.finished_at) == (True, True, None)
    await stands(both, generation=2)
    later = (await standing(both, "acme", now=clock.now())).search
    assert later is not None
    assert replace(later, current=True, first=True) == found
    assert not later.current


async def test_of_an_org_that_leaves_it_is_counted_what_is_left(both: Store) -> None:
    await connected(both)
    await put(both, 1)
    now = clock.now()
    assert await leaving.begin(both, "acme", word=said(now + 1, now=now + 1)) is not None
    found = await standing(both, "acme", now=now)
    assert found.purge is not None
    assert found.left == {"mailboxes": 1, "subscriptions": 0, "timelines": 1, "updates": 0}


async def test_an_org_that_is_not_known_stands_nowhere(both: Store) -> None:
    found = await standing(both, "acme", now=1)
    assert (found.org, found.purge, found.causes) == (None, None, ())
