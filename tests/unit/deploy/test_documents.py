"""What the documents promise: the example for consumers works, and every table lists what the code has."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.command.context import known_variables
from deploy.command.main import main
from services.fetcher import selection
from services.normalizer.merge import merge
from services.publisher.changes import changed
from services.publisher.news import busy, update
from services.publisher.timeline import Timeline
from shared import clouds
from shared.contracts.public import CloudEvent
from shared.contracts.values import DAY, Block, Bucket, Coverage, Status, Window
from shared.ews import envelopes

DOCS = Path(__file__).parents[3] / "docs"
TEXT = {page.name: page.read_text(encoding="utf-8") for page in DOCS.glob("*.md")}
NAMES: dict[str, Any] = {}
exec(re.findall(r"```python\n(def applied.*?)```", TEXT["consumers.md"], re.DOTALL)[0], NAMES)
applied: Callable[[list[dict[str, str]] | None, dict[str, Any]], list[dict[str, str]] | None] = NAMES["applied"]


def timeline(events: list[tuple[int, int, Status]], first_day: int, version: int) -> Timeline:
    window = Window(first_day * DAY, (first_day + 60) * DAY)
    return Timeline(
        org_id="acme",
        mailbox_id="box",
        address="person0001@contoso.com",
        generation=1,
        version=version,
        coverage=Coverage.FULL,
        bucket=Bucket.ACTIVE,
        time_zone="UTC",
        window=window,
        as_of=0,
        blocks=merge((Block(start, start + length, status) for start, length, status in events), window),
    )


def _code(text: str) -> str:
    """Return what stands in code blocks and between backticks, a command with its continuation on one line."""
    joined_lines = text.replace("\\\n", " ")
    blocks = re.findall(r"```sh\n(.*?)```", joined_lines, re.DOTALL)
    inline = re.findall(r"`(busyline [^`\n]+)`", re.sub(r"```.*?```", "", joined_lines, flags=re.DOTALL))
    return "\n".join([*blocks, *inline])


def plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def joined(blocks: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    """Join touching blocks of one status: an update may cut one in two."""
    line: list[tuple[str, str, str]] = []
    for block in blocks:
        start, end, status = block["start"], block["end"], block["status"]
        if line and line[-1][1:] == (start, status):
            line[-1] = (line[-1][0], end, status)
        else:
            line.append((start, end, status))
    return line


EVENTS = st.lists(
    st.tuples(st.integers(0, 70 * DAY), st.integers(1, 5 * DAY), st.sampled_from(list(Status))), max_size=12
)


@given(st.lists(st.tuples(EVENTS, st.integers(0, 9)), min_size=2, max_size=5))
def test_a_consumer_that_follows_the_example_arrives_at_what_is_published(steps: list[tuple[Any, int]]) -> None:
    lines = [timeline(events, day, version + 1) for version, (events, day) in enumerate(steps)]
    held: list[dict[str, str]] | None = None
    for old, new in pairwise([None, *lines]):
        assert new is not None
        for span in changed(old, new):
            held = applied(held, plain(update(new, span)))
    assert joined(held or []) == joined(plain(busy(lines[-1].blocks, lines[-1].window)))


def test_a_consumer_that_follows_the_example_holds_nothing_where_nothing_is_known() -> None:
    assert applied([{"start": "a", "end": "b", "status": "busy"}], {"coverage": "unknown"}) is None


def test_the_example_of_an_event_has_the_fields_of_the_contract() -> None:
    example = msgspec.json.decode(re.findall(r"```json\n(.*?)```", TEXT["consumers.md"], re.DOTALL)[0])
    assert list(example) == [field.encode_name for field in msgspec.structs.fields(CloudEvent)]
    line = timeline([], 0, 1)
    assert list(example["data"]) == list(plain(update(line, line.window)))


@pytest.mark.parametrize("name", [name for name in clouds.NAMES if name != clouds.SANDBOX])
def test_every_cloud_is_listed_with_its_hosts(name: str) -> None:
    cloud = clouds.cloud(name)
    hosts = (cloud.login.removeprefix("https://"), cloud.graph.removeprefix("https://").removesuffix("/v1.0"))
    assert f"| `{name}` | `{hosts[0]}` | `{hosts[1]}` |" in TEXT["microsoft.md"]


@pytest.mark.parametrize("bucket", Bucket)
def test_every_bucket_is_explained(bucket: Bucket) -> None:
    assert f"| `{bucket}` |" in TEXT["microsoft.md"] + TEXT["exchange.md"]


def test_every_status_is_explained() -> None:
    assert not [status for status in Status if f"| `{status}` |" not in TEXT["consumers.md"]]


def test_what_is_asked_for_is_listed_as_it_is_asked_for() -> None:
    asked = TEXT["privacy.md"].split("An Exchange server is asked")[0]
    rows = re.findall(r"^\| `(?:free-busy|details)`.*$", asked, re.MULTILINE)
    named = [re.findall(r"`(\w+)`", row.split("|", 2)[2]) for row in rows]
    assert [tuple(row) for row in named] == [selection._TIMES, selection._DETAILS, selection._CONFERENCING]


def test_what_an_exchange_server_is_asked_for_is_listed() -> None:
    listed = TEXT["privacy.md"].split("An Exchange server is asked")[1].split("A view cannot leave")[0]
    window = Window(1_800_000_000, 1_800_000_000 + DAY)
    viewed = envelopes.calendar_view("a@b.example", window, details=True).body
    got = envelopes.item_details("a@b.example", ["id"], conferencing=True).body
    named = {field.decode() for field in re.findall(rb'FieldURI="\w+:(\w+)"', viewed + got)}
    attendees = {"RequiredAttendees", "OptionalAttendees", "Resources"}
    assert attendees < named
    assert "attendees and resources" in listed
    assert not [field for field in named - attendees if f"`{field}`" not in listed]


COMMANDS = sorted(
    {
        line.strip()
        for page in [*DOCS.parent.glob("*.md"), *DOCS.rglob("*.md")]
        for line in re.findall(r"(?<!-p )\bbusyline ([a-z][^`#)\n]*)", _code(page.read_text()))
    }
)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_in_the_documents_exists_with_its_options(line: str) -> None:
    command: click.Command = main
    words = line.replace("&", " ").split()
    while isinstance(command, click.Group) and words:
        found = command.commands.get(words[0])
        assert found is not None, f"no command {words[0]}"
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert not [word for word in words if word.startswith("--") and word not in known]


def test_every_link_between_documents_leads_somewhere() -> None:
    root = DOCS.parent
    pages = [*root.glob("*.md"), *DOCS.rglob("*.md")]
    found = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())]
    dead = [(page.name, link) for page, link in found if "://" not in link and not (page.parent / link).exists()]
    assert not dead


def test_every_link_to_a_heading_finds_it() -> None:
    def anchors(page: Path) -> set[str]:
        headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    pages = [*DOCS.parent.glob("*.md"), *DOCS.rglob("*.md")]
    links = [
        (page, *link)
        for page in pages
        for link in re.findall(r"\]\(([^)#:]*)#([^)]*)\)", page.read_text())
        if (page.parent / link[0]).exists()
    ]
    assert links
    assert not [
        (page.name, where, anchor)
        for page, where, anchor in links
        if anchor not in anchors(page.parent / where if where else page)
    ]


def test_every_file_a_document_names_exists() -> None:
    pages = [*DOCS.parent.glob("*.md"), *DOCS.rglob("*.md")]
    found = [
        (page.name, path)
        for page in pages
        for path in re.findall(r"`((?:services|shared|deploy|tests|docs)/[\w./]*)`", page.read_text())
    ]
    assert found
    assert not [each for each in found if not (DOCS.parent / each[1]).exists()]


def test_every_setting_a_document_names_exists() -> None:
    of_tests = {"BUSYLINE_TEST_AMQP_URL", "BUSYLINE_TEST_PG_URL", "BUSYLINE_SCREENSHOTS"}
    known = set(known_variables()) | of_tests | {"BUSYLINE_BROKER_PASSWORD_"}
    found = {
        word
        for page in [*DOCS.parent.glob("*.md"), *DOCS.rglob("*.md")]
        for word in re.findall(r"`(BUSYLINE_[A-Z_]+)", page.read_text())
    }
    assert found <= known
