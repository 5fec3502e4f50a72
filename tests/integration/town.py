"""An organisation at the sandbox whose subscriptions are kept: a keeper, a listener, and one clock for both sides."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, update

from deploy.sandbox import Sandbox, SandboxOptions, start
from deploy.sandbox.calendar.values import Item
from services.fetcher.context import Context
from services.fetcher.listening import served_notifications
from services.fetcher.settings import Settings
from services.fetcher.subscribing import Keeper
from shared import clock
from shared.broker import Delivery
from shared.health import Health
from shared.tables import enumerations, orgs
from shared.vault import Vault, load_vault
from tests.processes import free_port
from tests.unit.fetcher.collecting import Collecting, mailbox_rows, put_mailbox, subscription_rows
from tests.unit.fetcher.desk import opened, reach_of


class Town:
    """One org with its mailboxes, a keeper, a listener, and what was published."""

    def __init__(self, sandbox: Sandbox, context: Context, vault: Vault) -> None:
        self.sandbox = sandbox
        self.context = context
        self.vault = vault
        self.broker = Collecting()
        self.keeper = Keeper(context, self.broker, vault)
        self.ahead = 0
        self.people = {person.user_id: person.address for person in sandbox.mailboxes()}

    async def keep(self, *, looks: int = 3) -> None:
        """Look several times, as if seconds lay between."""
        for _ in range(looks):
            self.keeper._budget.spend(-1000)
            self.keeper._revise_at = 0
            await self.keeper.look(clock.now())
            await self.keeper.idle()

    def later(self, seconds: int) -> None:
        """Move both sides' clocks ahead; the token held meanwhile has ended, and msal's clock is its own."""
        self.ahead = seconds
        self.context.tenants._access.tokens._held.clear()

    async def rows(self) -> dict[str, Any]:
        return await subscription_rows(self.context.store)

    async def mailboxes(self) -> dict[str, Any]:
        return await mailbox_rows(self.context.store)

    def change(self, mailbox_id: str) -> None:
        self.sandbox.add_event(self.people[mailbox_id], Item(item_id="", start=clock.now(), end=clock.now() + 1800))


@asynccontextmanager
async def town(
    folder: Path, store_url: str, *, mailboxes: int = 3, address: str = "", listening: bool = True, **settings: Any
) -> AsyncIterator[Town]:
    port = free_port()
    options = SandboxOptions(
        folder=folder / "sandbox", mailboxes=mailboxes, events=1, others=False, notification_pause_scale=0.001
    )
    sandbox = await start(options)
    reach = reach_of(sandbox)
    chosen = Settings(
        **{"notify_url": address or f"http://127.0.0.1:{port}/graph", "notify_port": port, "subscribe_per_second": 1000}
        | settings
    )
    real, patch = clock.now, pytest.MonkeyPatch()
    try:
        async with opened(store_url, reach, folder, settings=chosen) as desk:
            made = Town(sandbox, desk.context, load_vault(folder / "keys"))
            patch.setattr(clock, "now", lambda: real() + made.ahead)
            for mailbox_id in made.people:
                await put_mailbox(desk.context.store, mailbox_id, due_at=clock.now() + 200)
            if listening:
                async with served_notifications(made.context, made.broker, Health(), vault=made.vault):
                    yield made
            else:
                yield made
            await made.keeper.close()
    finally:
        patch.undo()
        await sandbox.stop()


def delivery(attempt: int = 1) -> Delivery:
    return Delivery(uuid4().hex, attempt, redelivered=False, published_at=clock.now())


async def set_org(here: Town, **fields: Any) -> None:
    async with here.context.store.write() as connection:
        await connection.execute(update(orgs).values(fields))
    here.context.tenants._orgs.drop("org1")


async def leave(here: Town) -> None:
    await set_org(here, state="disconnecting", generation=2)
    async with here.context.store.write() as connection:
        await connection.execute(
            insert(enumerations).values(org_id="org1", run="r", generation=1, started_at=clock.now())
        )
