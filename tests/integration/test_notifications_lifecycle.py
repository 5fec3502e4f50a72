"""What the sandbox says of a subscription's own life, and what somebody forges."""

from pathlib import Path

from deploy.sandbox import MISSED, REAUTHORIZE, REMOVED
from tests.integration.town import town
from tests.waiting import until


async def test_a_lost_subscription_is_hinted_at_and_made_anew(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        lost = here.sandbox.subscriptions()[0]
        here.sandbox.notifications.lifecycle(lost.id, REMOVED)
        await until(lambda: here.broker.hinted() == [lost.user_id])
        assert (await here.mailboxes())[lost.user_id].subscribed_until is None
        await here.keep()
        assert len(here.sandbox.subscriptions()) == 3
        assert (await here.mailboxes())[lost.user_id].subscribed_until is not None


async def test_missed_notifications_are_a_hint(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        some = here.sandbox.subscriptions()[0]
        here.sandbox.notifications.lifecycle(some.id, MISSED)
        await until(lambda: here.broker.hinted() == [some.user_id])


async def test_a_subscription_to_be_authorised_again_is_renewed(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        some = here.sandbox.subscriptions()[0]
        here.later(3600)
        here.sandbox.notifications.lifecycle(some.id, REAUTHORIZE)

        async def asked() -> bool:
            return (await here.rows())[some.user_id].reason == "reauthorization_required"

        await until(asked)
        assert here.broker.messages == []
        await here.keep()
        renewed = next(each for each in here.sandbox.subscriptions() if each.id == some.id)
        assert renewed.expiry >= some.expiry + 3000
        assert not renewed.paused


async def test_forged_notifications_bring_nothing_about(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        one, two, *_ = here.sandbox.subscriptions()
        assert two.client_state is not None
        here.sandbox.notifications.forge(one.id)
        here.sandbox.notifications.forge(one.id, client_state=two.client_state)
        here.sandbox.notifications.forge(one.id, client_state="A" * 43)
        here.sandbox.notifications.forge(one.id, unknown=True)
        here.change(two.user_id)
        await until(lambda: here.broker.hinted() == [two.user_id])
        await until(lambda: here.sandbox.notifications.counts.delivered == 5)
        assert here.broker.hinted() == [two.user_id]
