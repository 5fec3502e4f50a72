"""The mailboxes' pages: searched, filtered, paged; as a file; one tested, read again; never another org's."""

import asyncio
import csv
import io
import re
from typing import Any

import pytest

from services.authorizer import audit
from services.authorizer.console import mailboxes
from shared import clock
from shared.broker import Consumer, Delivery, Done
from shared.contracts.messages import MailboxRead, Message
from shared.graph import GraphError
from shared.identity import IdentityError
from tests.unit.authorizer.authorizer_fakes import FakeGraph, FakeTokens, graph_error, readable
from tests.unit.authorizer.console.town import connected, put, searched, stands
from tests.unit.authorizer.console.visiting import ACTOR, Console

LISTED = re.compile(r'<a href="/setup/mailboxes/(m\d+)">')


async def listed(console: Console, query: str = "") -> list[str]:
    page = await console.get(f"/setup/mailboxes{query}")
    assert page.status == 200
    return LISTED.findall(page.text)


@pytest.fixture
async def town(console: Console) -> Console:
    await connected(console.store)
    await searched(console.store)
    return console


async def acts(console: Console) -> list[tuple[str, str, dict[str, str | int | bool]]]:
    found = await audit.entries(console.store, "acme")
    return [(one.actor, one.action, one.details) for one in found if one.action.startswith(("mailbox.", "org.re"))]


async def test_mailboxes_are_listed_by_their_addresses(town: Console) -> None:
    for number in (3, 1, 2):
        await put(town.store, number)
    assert await listed(town) == ["m00001", "m00002", "m00003"]


async def test_pages_follow_each_other_without_a_gap(town: Console) -> None:
    for number in range(120):
        await put(town.store, number, covered=False)
    seen, path = [], "/setup/mailboxes"
    while path:
        page = await town.get(path)
        seen += LISTED.findall(page.text)
        found = re.search(r'rel="next" href="([^"]+)"', page.text)
        path = found[1].replace("&amp;", "&") if found else ""
    assert seen == [f"m{number:05d}" for number in range(120)]


async def test_a_search_finds_a_part_of_an_address_in_any_case(town: Console) -> None:
    await put(town.store, 1, address="grace@acme.example")
    await put(town.store, 2, address="ada@acme.example")
    assert await listed(town, "?q=GRAC") == ["m00001"]


@pytest.mark.parametrize("text", ["%25", "_", "%5C", "%00", "%FF", "'"])
async def test_a_search_takes_no_sign_for_a_pattern(town: Console, text: str) -> None:
    await put(town.store, 1)
    assert await listed(town, f"?q={text}") == []


async def test_filters_choose_bucket_reason_and_waiting(town: Console) -> None:
    await put(town.store, 1)
    await put(town.store, 2, bucket="denied", reason="access_denied")
    await put(town.store, 3, bucket="denied", reason="impersonation_denied")
    await put(town.store, 4, waiting="throttled")
    assert await listed(town, "?bucket=denied") == ["m00002", "m00003"]
    assert await listed(town, "?bucket=denied&reason=access_denied") == ["m00002"]
    assert await listed(town, "?waiting=yes") == ["m00004"]


async def test_a_bucket_that_there_is_not_filters_nothing(town: Console) -> None:
    await put(town.store, 1)
    assert await listed(town, "?bucket=nonsense&after=nonsense") == ["m00001"]


async def test_another_orgs_mailboxes_are_neither_listed_nor_shown(town: Console) -> None:
    other = await put(town.store, 7, org_id="beta")
    assert await listed(town) == []
    for method, path in (("GET", ""), ("POST", "/test"), ("POST", "/sync")):
        ask = town.get if method == "GET" else town.post
        assert (await ask(f"/setup/mailboxes/{other}{path}")).status == 404


async def test_a_mailbox_is_shown_with_its_reason_and_what_to_do(town: Console) -> None:
    one = await put(town.store, 1, bucket="denied", reason="access_denied", failures=3)
    page = (await town.get(f"/setup/mailboxes/{one}")).text
    assert "application access policy" in page
    assert "<code>access_denied</code>" in page


async def test_an_address_is_text_and_never_a_part_of_the_page(town: Console) -> None:
    one = await put(town.store, 1, address="<script>alert(1)</script>@acme.example", reason="<b>", bucket="failing")
    for path in ("/setup/mailboxes", f"/setup/mailboxes/{one}", "/setup/status"):
        text = (await town.get(path)).text
        assert "<script>alert" not in text
        assert "<b>" not in text


async def test_the_file_holds_every_mailbox_once_and_no_formula(town: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.authorizer.boxes.PAGE", 2)
    for number in range(5):
        await put(town.store, number)
    await put(town.store, 8, address="=cmd()@acme.example")
    await put(town.store, 9, org_id="beta")
    page = await town.get("/setup/mailboxes.csv")
    rows = list(csv.DictReader(io.StringIO(page.text)))
    assert [row["mailbox id"] for row in rows] == [f"m{number:05d}" for number in (0, 1, 2, 3, 4, 8)]
    assert rows[-1]["address"] == "'=cmd()@acme.example"
    assert page.headers["Content-Disposition"] == 'attachment; filename="mailboxes-acme.csv"'


async def test_the_file_follows_the_filter(town: Console) -> None:
    await put(town.store, 1)
    await put(town.store, 2, bucket="denied", reason="access_denied")
    text = (await town.get("/setup/mailboxes.csv?bucket=denied")).text
    assert [line.partition(",")[0] for line in text.splitlines()] == ["mailbox id", "m00002"]


# -- tested -----------------------------------------------------------------------------------------------------------


async def test_a_mailbox_that_can_be_read_is_said_to(town: Console, graph: FakeGraph) -> None:
    one = await put(town.store, 1)
    graph.answers.update(readable(one))
    page = await town.followed((await town.post(f"/setup/mailboxes/{one}/test")).location)
    assert "The mailbox can be read." in page.text
    assert any(url.startswith(f"/users/{one}/calendarView") for url in graph.asked)
    assert (ACTOR, "mailbox.tested", {"outcome": "read"}) in await acts(town)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (graph_error(403, "ErrorAccessDenied"), "leaves this mailbox out"),
        (graph_error(404, "MailboxNotEnabledForRESTAPI"), "no mailbox behind this account"),
        (graph_error(429, retry_after=3.0), "asks to wait"),
    ],
)
async def test_a_test_that_fails_is_explained(town: Console, graph: FakeGraph, answer: GraphError, said: str) -> None:
    one = await put(town.store, 1)
    graph.answers[f"/users/{one}/calendarView"] = answer
    page = await town.followed((await town.post(f"/setup/mailboxes/{one}/test")).location)
    assert "The mailbox could not be read" in page.text
    assert said in page.text


async def test_a_sign_in_that_fails_is_explained(town: Console, tokens: FakeTokens) -> None:
    one = await put(town.store, 1)
    tokens.answer = IdentityError("secret_expired", code=7000222)
    page = await town.followed((await town.post(f"/setup/mailboxes/{one}/test")).location)
    assert "The client secret has expired" in page.text


async def test_an_org_that_is_turned_away_is_not_tested(town: Console, tokens: FakeTokens) -> None:
    one = await put(town.store, 1)
    await stands(town.store, state="attention", reason="sign_in_refused", sentence="-")
    page = await town.followed((await town.post(f"/setup/mailboxes/{one}/test")).location)
    assert "Nothing was tested" in page.text
    assert tokens.asked == []


async def test_the_outcome_of_a_test_is_for_its_session_and_its_mailbox_alone(town: Console, graph: FakeGraph) -> None:
    one, other = await put(town.store, 1), await put(town.store, 2)
    graph.answers.update(readable(one))
    query = (await town.post(f"/setup/mailboxes/{one}/test")).location.partition("?")[2]
    assert "can be read." not in (await town.get(f"/setup/mailboxes/{other}?{query}")).text
    async with town.another() as browser:
        await browser.enter()
        assert "can be read." not in (await browser.get(f"/setup/mailboxes/{one}?{query}")).text


async def test_tests_are_limited(town: Console) -> None:
    one = await put(town.store, 1)
    answers = [(await town.post(f"/setup/mailboxes/{one}/test")).status for _ in range(mailboxes.TESTS.most + 1)]
    assert answers == [303] * mailboxes.TESTS.most + [429]


# -- read again -------------------------------------------------------------------------------------------------------


async def taken(console: Console, queue: str, count: int) -> list[MailboxRead]:
    """Return messages of a queue as they come."""
    found: list[MailboxRead] = []
    stop = asyncio.Event()

    async def handle(message: Message, _: Delivery) -> Done:
        assert isinstance(message, MailboxRead)
        found.append(message)
        if len(found) >= count:
            stop.set()
        return Done()

    async with asyncio.timeout(60):
        await console.broker.run([Consumer(queue, handle)], service="fetcher", stop=stop)
    return found


async def test_one_mailbox_is_read_again_ahead_of_all(town: Console) -> None:
    one = await put(town.store, 1)
    before = clock.now()
    page = await town.followed((await town.post(f"/setup/mailboxes/{one}/sync")).location)
    (message,) = await taken(town, "fetcher.live", 1)
    assert "being read now" in page.text
    assert (message.org_id, message.mailbox_id, message.generation, message.live) == ("acme", one, 1, True)
    assert message.since >= before
    assert (ACTOR, "org.resynced", {"mailboxes": 1}) in await acts(town)


@pytest.mark.parametrize("values", [{"bucket": "guest", "reason": "guest"}, {"generation": 7}])
async def test_a_mailbox_that_is_not_read_is_not_asked_for(town: Console, values: dict[str, Any]) -> None:
    one = await put(town.store, 1, covered=False, **values)
    page = await town.followed((await town.post(f"/setup/mailboxes/{one}/sync")).location)
    assert "Nothing was asked for" in page.text
    assert await town.broker.depth("fetcher.live") == 0


async def test_all_are_read_again_and_the_directory_is_searched(town: Console) -> None:
    names = [await put(town.store, number) for number in range(3)]
    await put(town.store, 7, bucket="guest", reason="guest")
    await put(town.store, 8, org_id="beta")
    page = await town.followed((await town.post("/setup/sync")).location)
    found = await taken(town, "fetcher.backfill", 3)
    assert sorted(message.mailbox_id for message in found) == names
    assert "every mailbox is being read again" in page.text
    assert town.place.wakes.enumerate.is_set()
    assert (ACTOR, "org.resynced", {"mailboxes": 3}) in await acts(town)


async def test_reading_all_again_is_limited(town: Console) -> None:
    answers = [(await town.post("/setup/sync")).status for _ in range(mailboxes.SYNCS_OF_ALL.most + 1)]
    assert answers[-1] == 429


async def test_an_org_that_is_not_connected_is_not_read_again(console: Console) -> None:
    assert "Nothing was asked for" in (await console.followed((await console.post("/setup/sync")).location)).text
