"""Nothing private of an Exchange organisation leaves it under free/busy only, nor of a private item under details."""

from pathlib import Path

from click.testing import CliRunner

from deploy.command.main import main
from deploy.command.privacy import proof
from deploy.sandbox.calendars import CANARY, canaries_of
from shared.contracts.policy import Detail, Policy
from shared.tables import metadata
from tests.pipeline.exchange import DETAILS, organisation, whole


def test_no_private_text_is_found_anywhere_under_free_busy_only() -> None:
    ended = CliRunner().invoke(main, ["verify-privacy", "--provider", "ews", "--mailboxes", "6"])
    assert ended.exit_code == 0, ended.output
    assert "fields of requests" in ended.output
    assert "Nothing private was found anywhere" in ended.output


async def test_the_proof_of_privacy_can_fail() -> None:
    told = {"mailboxes": 6, "broker_url": "memory://", "database_url": "", "provider": "ews"}
    places = await proof(**told, policy=Policy(detail=Detail.DETAILS))  # type: ignore[arg-type]  # each of its kind
    found = {place.name for place in places if place.found}
    assert {"fields of requests", "messages on the broker", "tables", "HTTP answers", "updates to consumers"} <= found


async def test_under_details_nothing_of_private_items_crosses_the_broker(tmp_path: Path) -> None:
    async with organisation(tmp_path, policy=DETAILS, canaries=True) as made:
        books = made.sandbox.state.books.values()
        items = [item for book in books for item in book.unmarked(made.sandbox._far(), private=False)]
        private = [
            mark for item in items if item.sensitivity in {"private", "confidential"} for mark in canaries_of(item)
        ]
        passed = b"".join(made.passed)
        kept = "".join([whole(await made.table(name)) for name in metadata.tables])
        assert len(private) > 20
        assert CANARY.encode() in passed  # or nothing is shown at all
        assert [mark for mark in private if mark.encode() in passed or mark in kept] == []
