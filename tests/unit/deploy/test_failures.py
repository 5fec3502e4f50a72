"""That a command which its surroundings fail ends with one sentence, and leaves nothing half written."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from deploy.command.demonstration import _write
from deploy.command.failures import sentence
from deploy.command.main import main

CONNECT = ("connect", "acme", "--tenant", "t.example", "--client-id", "c", "--client-secret-file")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "secret").write_text("secret")
    return {"BUSYLINE_DATABASE_URL": "sqlite:///here.db"}


@pytest.mark.parametrize(
    ("code", "arguments", "changes", "said"),
    [
        (2, ("up",), {"BUSYLINE_DATABASE_URL": "mysql://x"}, "a database URL begins with"),
        (2, ("up",), {"BUSYLINE_DATABASE_URL": "postgresql://h:abc/x"}, "a database URL begins with"),
        (2, ("fetcher",), {"BUSYLINE_BROKER_URL": "redis://x"}, "a broker URL begins with"),
        (2, ("up",), {"BUSYLINE_BROKER_URL_FILE": "binary"}, "BUSYLINE_BROKER_URL_FILE cannot be read"),
        (2, ("settings",), {"BUSYLINE_PUBLISHER_PORT": "x"}, "BUSYLINE_PUBLISHER_PORT"),
        (1, ("status",), {"BUSYLINE_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}, "cannot be reached"),
        (1, ("dead-letters", "list"), {"BUSYLINE_BROKER_URL": "amqp://u:p@127.0.0.1:1/"}, "cannot be reached"),
        (1, ("status",), {}, "busyline database upgrade"),
        (2, ("status",), {"BUSYLINE_DATABSE_URL": "x"}, "BUSYLINE_DATABSE_URL"),
        (2, ("consumers", "add", "crm"), {}, "give --org"),
        (2, ("connect", "a b", *CONNECT[2:], "secret"), {}, "ORG is"),
        (2, ("verify-purge", "acme", "--canary", " "), {}, "--canary is"),
        (1, ("erase", "acme", "box", "--yes"), {}, "to erase a mailbox"),
        (1, ("keys", "rotate"), {}, "BUSYLINE_KEYS_FILE"),
        (2, ("consumers", "add", "a b", "--all"), {}, "NAME is"),
        (1, ("broker", "definitions", "--out", "nowhere/x"), {}, "nowhere/x: No such file"),
        (1, ("demo", "--once", "--out", "nowhere/x"), {}, "--out: nowhere"),
        (2, (*CONNECT, "binary"), {}, "binary is not a text file"),
        (2, (*CONNECT, "empty"), {}, "empty is empty"),
        (2, (*CONNECT, "secret", "--cloud", "mars"), {}, "--cloud is one of"),
        (2, (*CONNECT, "secret", "--tenant", "a b"), {}, "--tenant is"),
    ],
)
def test_a_failure_is_one_sentence(
    environment: dict[str, str], code: int, arguments: tuple[str, ...], changes: dict[str, str], said: str
) -> None:
    result = CliRunner().invoke(main, arguments, env=environment | changes)
    assert result.exit_code == code
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert isinstance(result.exception, SystemExit)


def test_an_error_nobody_outside_can_mend_keeps_its_traceback() -> None:
    assert sentence(KeyError("x")) is None
    assert sentence(ExceptionGroup("", [OSError(98, "in use"), KeyError("x")])) is None
    assert sentence(ExceptionGroup("", [OSError(98, "in use")])) == "in use"
    assert sentence(click.Abort()) is None


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("before")
    with pytest.raises(TypeError):
        _write(out, [{"mailbox": "a"}, {"mailbox": object()}])
    assert out.read_text() == "before"
    assert list(tmp_path.iterdir()) == [out]
