"""Edge: the publisher's HTTP API as any consumer calls it; the demo shows nothing that a consumer could not see."""

from http import HTTPStatus
from typing import Any, Self

import aiohttp

PAGE = 200


class Api:
    """One consumer's view of one org."""

    def __init__(self, base: str, token: str, org_id: str) -> None:
        """Take the publisher's address, a consumer's token and the org to ask about."""
        self._org = f"{base}/v1/orgs/{org_id}"
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def status(self) -> dict[str, Any] | None:
        """Return the org's status: state, buckets, coverage, progress, last errors; None while it is not known yet."""
        try:
            return await self._get("/status")
        except aiohttp.ClientResponseError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def mailboxes(self) -> list[dict[str, Any]]:
        """Return every directory object with its bucket, reason and coverage, sorted by address."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await self._get("/mailboxes", {"cursor": cursor} if cursor else {})
            rows += page["mailboxes"]
            cursor = page.get("next")
        return sorted(rows, key=lambda row: str(row["mailbox"]))

    async def availability(self, address: str) -> dict[str, Any]:
        """Return everything published of one mailbox, over its whole window."""
        return await self._get(f"/mailboxes/{address}/availability")

    async def _get(self, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        async with self._session.get(self._org + path, params=query) as answer:
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found
