"""`busyline sandbox` tells how it is reached, and shows no password."""

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.command.main import main


@pytest.fixture
def told(tmp_path: Path) -> Iterator[list[str]]:
    """Start a sandbox as a process and return what it prints, until the last of its lines."""
    options = ["--port", "0", "--mailboxes", "5", "--events", "1", "--folder", str(tmp_path)]
    command = [sys.executable, "-c", "from deploy.command.main import main; main()", "sandbox", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        lines: list[str] = []
        for line in running.stdout:
            lines.append(line)
            if "--ews" in line:
                break
        yield lines
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0


def named(lines: list[str], name: str) -> str:
    return next(line.partition(name)[2].strip() for line in lines if line.strip().startswith(name))


def test_the_command_it_prints_passes_the_test_of_a_connection(told: list[str]) -> None:
    options = shlex.split(told[-1])[3:]
    networks = named(told, "BUSYLINE_REACH_NETWORKS").partition(",")[0]
    environ = {"BUSYLINE_CA_FILE": named(told, "BUSYLINE_CA_FILE"), "BUSYLINE_REACH_NETWORKS": networks}
    ran = CliRunner().invoke(main, ["test-connection", *options], env=environ)
    assert ran.exit_code == 0, ran.output


def test_the_password_is_not_shown_but_where_it_lies(told: list[str], tmp_path: Path) -> None:
    password = (tmp_path / "ews-password").read_text(encoding="utf-8").strip()
    assert password
    assert password not in "".join(told)
    assert named(told, "its password") == f"in {tmp_path / 'ews-password'}"
