"""What may be written to a log, and what never is."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared import logs


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handlers, level = logging.root.handlers[:], logging.root.level
    logs.configure(level="debug", stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def fail() -> None:
    canary = "canary"
    raise ValueError(canary)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_who_what_and_when(written: io.StringIO) -> None:
    logs.get("authorizer").info("org.verified", org_id="acme", outcome="connected")
    (line,) = lines(written)
    assert line.pop("timestamp")
    assert line == {
        "event": "org.verified",
        "level": "info",
        "service": "authorizer",
        "org_id": "acme",
        "outcome": "connected",
    }


def test_a_key_that_is_not_listed_is_not_written(written: io.StringIO) -> None:
    logs.get("x").warning("thing.happened", subject="canary", token="canary", count=1)
    (line,) = lines(written)
    assert "canary" not in written.getvalue()
    assert line["count"] == 1


@pytest.mark.parametrize("value", [{"canary": 1}, ["a", {"canary": 1}], object(), b"canary", ("canary",)])
def test_a_value_that_is_not_plain_is_not_written(written: io.StringIO, value: object) -> None:
    logs.get("x").info("thing.happened", reason=value)
    assert "canary" not in written.getvalue()
    assert "reason" not in lines(written)[0]


def test_a_newline_cannot_forge_a_line(written: io.StringIO) -> None:
    logs.get("x").info("thing.happened", reason='ok"}\n{"event":"forged"')
    assert len(lines(written)) == 1


def test_a_failure_is_its_type_and_places_never_its_text(written: io.StringIO) -> None:
    try:
        fail()
    except ValueError as error:
        logs.get("x").error("thing.failed", **logs.failure(error))
    (line,) = lines(written)
    assert line["error_type"] == "ValueError"
    assert "canary" not in written.getvalue()
    assert any("test_logs.py" in place for place in line["error_places"])


def test_an_exception_logged_carelessly_shows_nothing(written: io.StringIO) -> None:
    try:
        fail()
    except ValueError:
        logs.get("x").exception("thing.failed")
    assert "canary" not in written.getvalue()


def test_other_libraries_records_are_not_written(written: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("msal").error("canary")
    logging.getLogger("kombu").critical("canary")
    assert "canary" not in written.getvalue() + "".join(capfd.readouterr())


def test_a_mailbox_is_a_hash_that_another_key_changes() -> None:
    one, other = logs.hasher(b"one"), logs.hasher(b"other")
    assert one("m1") == one("m1") != one("m2")
    assert one("m1") != other("m1")
    assert "m1" not in one("m1")
