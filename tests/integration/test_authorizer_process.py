"""The authorizer as a process of its own: it ends on SIGTERM, and says in one sentence why it cannot begin."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from shared.vault import load_vault
from tests.servers import free_port

ROOT = Path(__file__).parents[2]


def environment(sqlite_url: str, folder: Path, **more: str) -> dict[str, str]:
    load_vault(folder / "keys", create=True)
    own = {"BUSYLINE_DATABASE_URL": sqlite_url, "BUSYLINE_KEYS_FILE": str(folder / "keys"), **more}
    return {**{name: value for name, value in os.environ.items() if not name.startswith("BUSYLINE_")}, **own}


def begin(variables: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "services.authorizer"]
    return subprocess.Popen(command, env=variables, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_it_becomes_ready_and_ends_in_order_on_sigterm(sqlite_url: str, tmp_path: Path) -> None:
    port = free_port()
    process = begin(environment(sqlite_url, tmp_path, BUSYLINE_HEALTH_PORT=str(port)))
    try:
        end = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "service.stopped" in told
    assert "Traceback" not in told


def test_it_says_in_one_sentence_why_it_cannot_begin(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/empty.db"
    process = begin(environment(url, tmp_path))
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert told.splitlines()[-1].startswith("busyline authorizer: the database is not at this release's schema")
    assert "Traceback" not in told
