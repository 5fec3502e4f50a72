"""Subscriptions and notifications against the sandbox: made, renewed, mended, and believed only with proof."""

from pathlib import Path

import msgspec
from msgspec.structs import replace

from deploy.sandbox import Fault, FaultKind
from services.fetcher.settings import Settings
from services.fetcher.subscribing import Keeper
from shared import clock
from shared.contracts.values import DAY
from shared.vault import load_vault
from tests.integration.town import town
from tests.unit.fetcher.collecting import (
    change_mailbox,
    drop_subscription,
)
from tests.waiting import until


async def test_each_mailbox_that_is_read_is_subscribed_once_and_its_changes_become_hints(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        made = here.sandbox.subscriptions()
        assert sorted(each.user_id for each in made) == sorted(here.people)
        assert all(each.immutable and each.url == each.lifecycle_url for each in made)
        assert all(set(each.change_types.split(",")) == {"created", "updated", "deleted"} for each in made)
        assert len({each.client_state for each in made}) == len(made)
        assert {row.reason for row in (await here.rows()).values()} == {None}
        until_then = {row.subscribed_until for row in (await here.mailboxes()).values()}
        assert until_then == {each.expiry for each in made}
        assert here.broker.messages == []  # their first readings are still to come
        changed = next(iter(here.people))
        here.change(changed)
        await until(lambda: here.broker.hinted() == [changed])


async def test_a_gap_before_a_subscription_is_hinted_at(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        read = sorted(here.people)[:2]
        for mailbox_id in read:
            await change_mailbox(here.context.store, mailbox_id, version=3)
        await here.keep()
        assert sorted(here.broker.hinted()) == read


async def test_what_is_about_to_end_is_renewed(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        before = {each.id: each.expiry for each in here.sandbox.subscriptions()}
        here.later(6 * DAY)
        await here.keep()
        after = {each.id: each.expiry for each in here.sandbox.subscriptions()}
        assert after.keys() == before.keys()
        assert all(after[name] >= before[name] + 5 * DAY for name in after)
        assert {row.subscribed_until for row in (await here.mailboxes()).values()} == set(after.values())


async def test_nothing_is_renewed_before_its_time(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        before = here.sandbox.subscriptions()
        here.later(4 * DAY)
        await here.keep()
        assert here.sandbox.subscriptions() == before


async def test_what_ended_unseen_is_made_anew_and_hinted_at(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        for mailbox_id in here.people:
            await change_mailbox(here.context.store, mailbox_id, version=1)
        await here.keep()
        here.broker.messages.clear()
        here.later(8 * DAY)  # both sides were asleep
        assert here.sandbox.subscriptions() == ()
        await here.keep()
        assert len(here.sandbox.subscriptions()) == 3
        assert sorted(here.broker.hinted()) == sorted(here.people)
        assert all(row.subscribed_until > clock.now() for row in (await here.mailboxes()).values())


async def test_where_none_can_be_made_anew_polling_takes_over_at_once(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        here.later(8 * DAY)
        for mailbox_id in here.people:
            await change_mailbox(here.context.store, mailbox_id, due_at=clock.now() + 20_000)
        here.sandbox.order(Fault(kind=FaultKind.ERROR, match="subscriptions|batch", status=503))
        await here.keep(looks=1)
        rows = (await here.mailboxes()).values()
        assert {row.subscribed_until for row in rows} == {None}
        assert all(row.due_at <= clock.now() for row in rows)


async def test_one_that_is_gone_is_missed_at_the_next_comparison(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        lost = here.sandbox.subscriptions()[0]
        here.sandbox.notifications.drop(lost.id)
        here.later(3700)
        await here.keep()
        again = {each.user_id: each.id for each in here.sandbox.subscriptions()}
        assert again[lost.user_id] != lost.id
        assert (await here.rows())[lost.user_id].subscription_id == again[lost.user_id]


async def test_strays_of_ours_are_deleted_and_what_was_made_unremembered_is_adopted(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        forgotten, left, *_ = here.sandbox.subscriptions()
        store = here.context.store
        await drop_subscription(store, forgotten.user_id)  # as after a crash between creating and remembering
        await drop_subscription(store, left.user_id)
        await change_mailbox(store, left.user_id, bucket="denied")
        here.later(3700)
        await here.keep(looks=5)
        present = {each.user_id: each.id for each in here.sandbox.subscriptions()}
        assert left.user_id not in present
        assert present[forgotten.user_id] == forgotten.id
        assert (await here.rows())[forgotten.user_id].subscription_id == forgotten.id


async def test_a_conflict_ends_with_the_subscription_there_is(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        twin = here.sandbox.subscriptions()[0]
        await drop_subscription(here.context.store, twin.user_id)
        await here.keep(looks=6)
        row = (await here.rows())[twin.user_id]
        assert (row.subscription_id, row.reason) == (twin.id, None)


async def test_a_subscription_to_another_address_that_is_in_the_way_is_replaced(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        old = here.sandbox.subscriptions()[0]
        here.sandbox.notifications.subscriptions.put(
            replace(old, url="https://former.example/graph", lifecycle_url="https://former.example/graph")
        )
        await drop_subscription(here.context.store, old.user_id)
        await here.keep(looks=3)
        here.later(120)  # the conflict rests for a minute
        await here.keep(looks=6)
        now_there = {each.user_id: each for each in here.sandbox.subscriptions()}[old.user_id]
        assert now_there.url == here.context.settings.notify_url
        assert (await here.rows())[old.user_id].subscription_id == now_there.id


async def test_a_changed_address_moves_every_subscription(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        for each in here.sandbox.subscriptions():
            here.sandbox.notifications.subscriptions.put(replace(each, url="https://former.example/graph"))
        here.later(3700)
        await here.keep(looks=5)
        assert {each.url for each in here.sandbox.subscriptions()} == {here.context.settings.notify_url}


async def test_without_an_answer_at_the_address_nothing_is_promised_and_few_are_tried(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with town(tmp_path, sqlite_url, mailboxes=30, listening=False, subscribe_per_second=10) as here:
        for _ in range(3):
            here.keeper._budget.spend(-10)
            await here.keeper.look(clock.now())
            await here.keeper.idle()
        rows = (await here.rows()).values()
        assert 10 <= sum(row.reason == "notify_url_unreachable" for row in rows) < 30
        assert all(row.subscribed_until is None for row in (await here.mailboxes()).values())
        assert all(row.due_at > clock.now() for row in (await here.mailboxes()).values())


async def test_without_an_address_what_was_promised_is_taken_back(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        alone = msgspec.structs.replace(here.context, settings=Settings())
        here.keeper = Keeper(alone, here.broker, here.vault)
        await here.keep()
        assert here.sandbox.subscriptions() == ()
        assert await here.rows() == {}
        rows = (await here.mailboxes()).values()
        assert all(row.subscribed_until is None and row.due_at <= clock.now() for row in rows)


async def test_without_the_permission_the_reason_is_kept_and_it_is_tried_a_day_later(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with town(tmp_path, sqlite_url) as here:
        here.sandbox.set_roles("User.Read.All")
        await here.keep()
        rows = (await here.rows()).values()
        assert {row.reason for row in rows} == {"subscriptions_forbidden"}
        assert all(clock.now() + DAY - 60 <= row.act_at <= clock.now() + DAY + 3600 for row in rows)


async def test_a_mailbox_no_longer_read_is_no_longer_subscribed(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        left = next(iter(here.people))
        await change_mailbox(here.context.store, left, bucket="excluded")
        await here.keep()
        assert left not in {each.user_id for each in here.sandbox.subscriptions()}
        assert left not in await here.rows()


async def test_a_rotated_key_keeps_living_subscriptions(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        rotated = load_vault(tmp_path / "keys", rotate=True)
        old, new, *_ = here.people
        await drop_subscription(here.context.store, new)
        here.sandbox.notifications.drop(new)
        here.keeper = Keeper(here.context, here.broker, rotated)  # a replica that began after the rotation
        await here.keep()
        here.change(old)
        here.change(new)  # the listener has read the file before it was rotated
        await until(lambda: sorted(here.broker.hinted()) == sorted([old, new]))
