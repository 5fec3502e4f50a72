"""The generated pages: fresh, the same every time, and honest about secrets."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from deploy import pages
from deploy.described_types import sentence, structs_within, words_of
from shared.config import Secret
from shared.contracts.values import Instant, Status


class Inner(Struct, frozen=True):
    """Something inside."""

    number: int


class Sample(Struct, frozen=True, kw_only=True):
    """Settings with one of each kind."""

    password: Annotated[Secret, Meta(description="A password.")] = Secret("told to nobody but the source")
    port: Annotated[int, Meta(ge=1, le=9, description="A port | or two.")] = 3
    inner: tuple[Inner, ...] = ()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    assert pages.main(["--folder", str(tmp_path)]) == 0
    return tmp_path


def test_pages_just_written_are_fresh(written: Path) -> None:
    assert pages.main(["--check", "--folder", str(written)]) == 0


def test_a_stale_page_is_named(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (written / "messages.md").write_text("something else", encoding="utf-8")
    assert pages.main(["--check", "--folder", str(written)]) == 1
    assert "docs/messages.md is stale" in capsys.readouterr().err


def test_checking_writes_nothing(tmp_path: Path) -> None:
    assert pages.main(["--check", "--folder", str(tmp_path)]) == 1
    assert not list(tmp_path.iterdir())


def test_pages_are_the_same_every_time() -> None:
    assert pages.pages() == pages.pages()


def test_a_secret_is_starred_and_others_are_not() -> None:
    rows = pages.settings_page({"sample": Sample}).splitlines()
    assert [row for row in rows if "BUSYLINE_SAMPLE_PASSWORD` ★" in row]
    assert [row for row in rows if "`BUSYLINE_SAMPLE_PORT` | A port \\| or two. | integer, 1 to 9 | `3` |" in row]


def test_every_message_of_the_pipeline_names_its_queue() -> None:
    page = pages.messages_page()
    assert "no queue" not in page
    assert "queue `fetcher.live`, queue `fetcher.backfill`" in page


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (int, "integer"),
        (Annotated[int, Meta(ge=1)], "integer, 1 or more"),
        (Instant, "instant"),
        (Annotated[str, Meta(pattern="^(json|console)$")], "`json` or `console`"),
        (Annotated[str, Meta(pattern="^a+$")], "text matching `^a+$`"),
        (Annotated[str, Meta(max_length=5)], "text, at most 5 characters"),
        (str | None, "text or null"),
        (Literal["b", "a"], "`a` or `b`"),
        (tuple[Inner, ...], "list of [Inner](#inner)"),
        (Inner | Sample, "[Inner](#inner) or [Sample](#sample)"),
        (bool, "true or false"),
        (float, "number"),
    ],
)
def test_a_type_is_said_in_words(hint: object, expected: str) -> None:
    assert words_of(hint) == expected


def test_an_enumeration_lists_its_words_in_their_order() -> None:
    assert words_of(Status) == " or ".join(f"`{word}`" for word in Status)


def test_structs_within_are_found_once_each() -> None:
    assert structs_within([Sample]) == [Inner]


def test_a_field_without_a_description_has_no_sentence() -> None:
    assert [sentence(field.type) for field in msgspec.structs.fields(Sample)] == ["A password.", "A port | or two.", ""]
