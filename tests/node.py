"""Other people's readers in JavaScript: npm's packages of tests/npm, by their lock, and its scripts run with them.

They are installed once, beside this environment. Without node and npm, or without a registry to take the packages from,
the test that asks is skipped and says so; it fails where CI=true.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import pytest

SCRIPTS = Path(__file__).parent / "npm"
_PATIENCE = 300.0  # seconds; the machine may be loaded


def node(script: str, given: object) -> Any:
    """Run a script of tests/npm with a JSON value on its standard input, and return the JSON value it prints."""
    environment = os.environ | {"NODE_PATH": str(_installed() / "node_modules")}
    ran = subprocess.run(
        ["node", str(SCRIPTS / script)],
        input=json.dumps(given).encode(),
        capture_output=True,
        env=environment,
        timeout=_PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    return json.loads(ran.stdout)


@cache
def _installed() -> Path:
    """Return the folder with `node_modules` as the lock says, made where it is missing; skip where it cannot be."""
    if not (shutil.which("node") and shutil.which("npm")):
        _lacking("no node and npm here")
    lock = (SCRIPTS / "package-lock.json").read_bytes()
    folder = Path(sys.prefix) / "npm" / sha256(lock).hexdigest()[:16]
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            made = Path(name) / "made"
            _install(made)
            with suppress(OSError):  # another process of this run was as quick
                made.rename(folder)
    return folder


def _install(folder: Path) -> None:
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SCRIPTS / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, timeout=_PATIENCE, check=False)
    if ran.returncode != 0:
        _lacking("npm cannot install the packages of tests/npm")


def _lacking(why: str) -> NoReturn:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(why, pytrace=False)
    pytest.skip(why)
