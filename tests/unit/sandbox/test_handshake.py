"""That an address must answer with its token before a subscription is made."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote_plus, urlsplit

import pytest

from deploy.sandbox import handshake
from deploy.sandbox.answers import Refusal
from deploy.sandbox.posting import Letter, Reply
from tests.unit.sandbox.asking import Caller, caller
from tests.unit.sandbox.listening import URL, Listener, code, create

GOOD = "text/plain"


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=3)


def token(letter: Letter) -> str:
    return parse_qs(urlsplit(letter.url).query)["validationToken"][0]


def plain(body: str) -> Reply:
    return Reply(status=200, content_type=GOOD, body=body.encode())


def answering(asking: Caller, reply: Callable[[Letter], Reply]) -> list[Letter]:
    letters: list[Letter] = []

    async def post(letter: Letter) -> Reply:
        letters.append(letter)
        return reply(letter)

    asking.state.post = post
    return letters


WRONG: dict[str, Callable[[Letter], Reply]] = {
    "nobody there": lambda _: Reply(),
    "another status": lambda letter: Reply(status=202, content_type=GOOD, body=token(letter).encode()),
    "an error": lambda _: Reply(status=500),
    "html": lambda letter: Reply(status=200, content_type="text/html", body=token(letter).encode()),
    "json": lambda letter: Reply(status=200, content_type="application/json", body=token(letter).encode()),
    "nothing": lambda _: plain(""),
    "more": lambda letter: plain(f"{token(letter)}\n"),
    "not decoded": lambda letter: plain(urlsplit(letter.url).query.partition("validationToken=")[2]),
    "decoded twice": lambda letter: plain(unquote_plus(token(letter))),
    "escaped": lambda letter: plain(token(letter).replace("&", "&amp;").replace("<", "&lt;")),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_answer_refuses_the_subscription(asking: Caller, wrong: str) -> None:
    answering(asking, WRONG[wrong])
    assert code(await create(asking)) == (400, "ValidationError")
    assert asking.changes.subscriptions() == ()


async def test_what_is_said_is_the_documented_sentence(asking: Caller) -> None:
    answering(asking, lambda _: Reply(status=404))
    _, said = await create(asking)
    wanted = "Notification endpoint must respond with 200 OK to validation request."
    assert said["error"]["message"] == f"Subscription validation request failed. {wanted}"


async def test_both_addresses_are_asked_once_each(asking: Caller) -> None:
    listener = Listener(asking)
    assert (await create(asking, lifecycleNotificationUrl=f"{URL}/life"))[0] == 201
    assert sorted(listener.validated) == [URL, f"{URL}/life"]


async def test_a_wrong_lifecycle_address_refuses_too(asking: Caller) -> None:
    answering(asking, lambda letter: Reply() if "/life" in letter.url else plain(token(letter)))
    assert code(await create(asking, lifecycleNotificationUrl=f"{URL}/life")) == (400, "ValidationError")


async def test_the_request_is_as_graph_sends_it(asking: Caller) -> None:
    letters = answering(asking, lambda letter: plain(token(letter)))
    assert (await create(asking, notificationUrl=f"{URL}?key=a%20b"))[0] == 201
    (letter,) = letters
    assert letter.url.startswith(f"{URL}?key=a%20b&validationToken=Validation%3A+Testing")
    assert (letter.body, letter.content_type, letter.seconds) == (b"", "text/plain; charset=utf-8", 10.0)
    # decoding twice, not at all, or writing it as HTML must each show
    assert all(mark in token(letter) for mark in (" ", "+", "<", "&", "%41"))


@pytest.mark.parametrize(
    "url",
    [
        "https://notes.example/x",
        "https://192.0.2.1:8443/",
        "http://127.0.0.1:1/x",
        "http://127.8.8.8/",
        "http://[::1]:9/",
        "http://localhost/",
    ],
)
def test_https_anywhere_and_http_to_this_machine_are_good(url: str) -> None:
    handshake.check(url, "notificationUrl")


@pytest.mark.parametrize(
    "url",
    [
        "http://notes.example/",
        "http://localhost.example/",
        "http://10.0.0.1/",
        "ftp://127.0.0.1/",
        "//127.0.0.1/",
        "notes",
        "",
        "https://notes.example/#part",
        "https://nötes.example/",
        "https://[::1",
        "https://notes.example:99999/",
        f"https://notes.example/{'x' * 2048}",
    ],
)
def test_other_addresses_are_not(url: str) -> None:
    with pytest.raises(Refusal, match="InvalidRequest"):
        handshake.check(url, "notificationUrl")
