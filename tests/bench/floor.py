"""The floor: what the same readings cost with nothing around them.

A plain asyncio loop over calendarView with the same library, connections and questions; no pipeline, no privacy,
results dropped.
"""

import asyncio
import resource
import ssl
import time

import aiohttp
from msgspec import Struct


class Floor(Struct, frozen=True):
    """What the plain script took: wall and CPU seconds, mailboxes and events read."""

    wall: float
    cpu: float
    mailboxes: int
    events: int


async def read_everything(reach: dict[str, str], *, window: tuple[str, str], at_once: int) -> Floor:
    """Read every user's calendar view once."""
    context = ssl.create_default_context(cafile=reach["ca_file"])
    connector = aiohttp.TCPConnector(ssl=context, limit=at_once)
    started, used = time.perf_counter(), _cpu()
    async with aiohttp.ClientSession(connector=connector) as session:
        session.headers["Authorization"] = f"Bearer {await _token(session, reach)}"
        session.headers["Prefer"] = 'outlook.timezone="UTC"'
        ids = await _users(session, f"{reach['url']}/v1.0/users?$select=id&$top=999")
        counts = await _views(session, reach["url"], ids, window=window, at_once=at_once)
    readable = [count for count in counts if count >= 0]
    return Floor(time.perf_counter() - started, _cpu() - used, len(readable), sum(readable))


async def _token(session: aiohttp.ClientSession, reach: dict[str, str]) -> str:
    form = {
        "client_id": reach["client_id"],
        "client_secret": reach["client_secret"],
        "grant_type": "client_credentials",
        "scope": f"{reach['url']}/.default",
    }
    async with session.post(f"{reach['url']}/{reach['tenant_id']}/oauth2/v2.0/token", data=form) as answer:
        return str((await answer.json())["access_token"])


async def _users(session: aiohttp.ClientSession, url: str) -> list[str]:
    ids: list[str] = []
    link: str | None = url
    while link:
        async with session.get(link) as answer:
            page = await answer.json()
        ids += [user["id"] for user in page["value"]]
        link = page.get("@odata.nextLink")
    return ids


async def _views(
    session: aiohttp.ClientSession, base: str, ids: list[str], *, window: tuple[str, str], at_once: int
) -> list[int]:
    """Return the number of events per mailbox, -1 where it cannot be read."""
    waiting = iter(ids)
    counts: list[int] = []
    query = f"startDateTime={window[0]}&endDateTime={window[1]}&$select=start,end,showAs,isAllDay,isCancelled&$top=999"

    async def worker() -> None:
        for user in waiting:
            link: str | None = f"{base}/v1.0/users/{user}/calendarView?{query}"
            count = 0
            while link:
                async with session.get(link) as answer:
                    page = await answer.json()
                if answer.status != 200:
                    count, link = -1, None
                else:
                    count, link = count + len(page["value"]), page.get("@odata.nextLink")
            counts.append(count)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return counts


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
