"""Looks for webhooks with something to deliver and has each served, by one replica at a time, many beside each other.

It opens no key file before there is a webhook that needs it.
"""

import asyncio
import secrets
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Final

from services.publisher.bell import Bell
from services.publisher.webhooks.delivery import Post
from services.publisher.webhooks.lease import claim, release, workable
from services.publisher.webhooks.worker import Worker
from shared import logs
from shared.errors import Retry
from shared.vault import VaultError

MOST: Final = 100  # webhooks that one replica serves at a time
ENDING: Final = 6.0  # seconds that what is served has at the end
POLL: Final = 1.0  # seconds until it looks without having been woken
LINGER: Final = 0.02  # seconds that it waits for more, once woken
TURN: Final = 10.0  # seconds after which a webhook makes room for another, where as many are served as may be
REST: Final = 1.0  # seconds that a webhook is left alone that nothing was found for (the log is full of others'
# updates), or that has made room


class Dispatcher:
    """Serves webhooks in this process."""

    def __init__(self, post: Post, bell: Bell, stop: asyncio.Event) -> None:
        """Take what is delivered with, what wakes it, and what ends it."""
        self._post = post
        self._bell = bell
        self._stop = stop
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._resting: dict[str, float] = {}
        self._unable = False

    async def run(self) -> None:
        """Serve until told to stop; requests under way have a few seconds then."""
        try:
            while not self._stop.is_set():
                self._bell.hush()
                try:
                    await self._look()
                except Retry as pause:
                    logs.get("publisher").warning("webhooks.paused", reason=pause.reason)
                await self._until_woken()
            if self._serving:
                await asyncio.wait(self._serving.values(), timeout=ENDING)
        finally:
            for task in self._serving.values():
                task.cancel()
            await asyncio.gather(*self._serving.values(), return_exceptions=True)

    async def _look(self) -> None:
        """Have served whatever needs it and is not served yet. Raises Retry."""
        now, store = int(self._post.now()), self._post.store
        self._resting = {each: until for each, until in self._resting.items() if until > monotonic()}
        room = MOST - len(self._serving)
        found = await workable(store, now=now, limit=room + len(self._resting)) if room > 0 else []
        found = [each for each in found if each not in self._serving and each not in self._resting][:room]
        if not found or not self._able():
            return
        for webhook_id in found:
            lease = secrets.token_hex(16)
            if await claim(store, webhook_id, lease, now=now):
                self._serving[webhook_id] = asyncio.create_task(self._serve(webhook_id, lease))

    async def _serve(self, webhook_id: str, lease: str) -> None:
        """Serve one; whatever goes wrong is its own affair, and tried again when its lease has run out."""
        try:
            over = partial(self._over, monotonic() + TURN)
            worker = Worker(self._post, webhook_id, lease, self._stop, over)
            await worker.serve()
            if over() or not worker.found:
                self._resting[webhook_id] = monotonic() + REST
        except (Retry, VaultError) as pause:
            logs.get("publisher").warning("webhook.paused", webhook=webhook_id, reason=pause.reason)
            if isinstance(pause, Retry):
                with suppress(Retry):
                    await release(self._post.store, webhook_id, lease)
        except Exception as error:  # noqa: BLE001 -- one webhook's fault must not stop the others
            logs.get("publisher").error("webhook.failed", webhook=webhook_id, **logs.failure(error))
        finally:
            del self._serving[webhook_id]

    def _over(self, until: float) -> bool:
        """Say whether a turn that lasts until then is over: not while there is room for others."""
        return monotonic() >= until and len(self._serving) >= MOST

    def _able(self) -> bool:
        """Say whether secrets can be opened here; where they cannot, say so once."""
        able = self._post.keys.ready()
        if not able and not self._unable:
            logs.get("publisher").error("webhooks.paused", reason="keys_missing")
        self._unable = not able
        return able

    async def _until_woken(self) -> None:
        woken, ended = asyncio.ensure_future(self._bell.woken.wait()), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((woken, ended), timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(LINGER)
        finally:
            for task in (woken, ended):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(woken, ended)
