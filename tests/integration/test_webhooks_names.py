"""Names of endpoints are looked up beside each other: whoever's name server is silent holds up nobody else."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from services.publisher.webhooks import names
from services.publisher.webhooks.names import Names


async def test_names_whose_servers_do_not_answer_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    really, answered, asked = socket.getaddrinfo, threading.Event(), []

    def look_up(host: str, *rest: Any, **more: Any) -> list[Any]:
        if host == "localhost":
            return really(host, *rest, **more)
        asked.append(host)
        answered.wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(names, "MOST", 51)
    ours = Names()
    slow = [asyncio.create_task(ours.resolve(f"n{number % 50}.example", 443)) for number in range(100)]
    found = await ours.resolve("localhost", 443)
    assert {each["host"] for each in found} == {"127.0.0.1"}
    slow.append(asyncio.create_task(ours.resolve("n50.example", 443)))
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="too many"):
        await ours.resolve("localhost", 443)
    answered.set()
    ended = await asyncio.gather(*slow, return_exceptions=True)
    assert {type(each) for each in ended} == {socket.gaierror}
    assert len(asked) == 51
    assert await ours.resolve("localhost", 443) == found


async def test_a_lookup_that_nobody_waits_for_any_more_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def look_up(*_: Any, **__: Any) -> list[Any]:
        answered.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    ours = Names()
    first, second = (asyncio.create_task(ours.resolve("slow.example", 443)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    answered.set()
    assert [each["host"] for each in await second] == ["192.0.2.1"]
    assert first.cancelled()


async def test_a_label_that_no_name_may_have_is_no_name() -> None:
    with pytest.raises(OSError, match="no name"):
        await Names().resolve("a" * 64 + ".example", 443)
