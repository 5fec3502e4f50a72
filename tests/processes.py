"""What servers for tests have in common: finding programs, folders and ports, ending process groups, waiting."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path

LOWEST, PORTS, WORKERS = 15_000, 1_000, 16


class Unavailable(Exception):  # noqa: N818 -- it says what the server is
    """No such server can be had here; the text says what was looked for."""


def found(program: str, places: tuple[str, ...]) -> Path:
    """Return a program by the first of its places, or from PATH. Raises Unavailable."""
    matches = sorted(path for place in places for path in Path("/").glob(f"{place.lstrip('/')}/{program}"))
    on_path = shutil.which(program)
    if matches:
        return matches[-1]
    if on_path is None:
        raise Unavailable(f"no {program} on this machine")
    return Path(on_path)


def of_its_own(folder: Path | None, prefix: str) -> Path:
    """Return the folder given, or a fresh temporary one."""
    if folder is None:
        return Path(tempfile.mkdtemp(prefix=prefix))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def free_port() -> int:
    """Return a port that nobody listens on, and none that connections of this machine or other workers may take."""
    while True:
        port = next(_ports)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _of_this_worker() -> Iterator[int]:
    """Yield the ports of one of pytest's workers, again and again; all lie below those given to connections."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    first = LOWEST + worker * PORTS
    yield from cycle(random.sample(range(first, first + PORTS), PORTS))


_ports = _of_this_worker()


def listens(port: int) -> bool:
    """Say whether anybody listens on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


class Group:
    """A program in a process group of its own, which ends with the test process, however that ends."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        """Start the program in a folder; what it says goes to the file `output` there."""
        with (folder / "output").open("ab") as output:
            self._leader = subprocess.Popen(
                command,
                env=environment,
                user=user,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        # The guard reads from a pipe that only this process holds: when it closes, this process is gone.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", f"read -r _; kill -9 -{self._leader.pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The leader's process id, which is its session's too."""
        return self._leader.pid

    @property
    def alive(self) -> bool:
        """Say whether the program itself still runs."""
        return self._leader.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to every process of the group."""
        with suppress(ProcessLookupError):
            os.killpg(self._leader.pid, number)

    def kill(self) -> None:
        """Kill the group where it stands and wait for its end."""
        self._guard.kill()
        self.signal(signal.SIGKILL)
        self._leader.wait(60)
        self._guard.communicate()


def until_it(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Return once it holds. Raises TimeoutError, naming what was waited for."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come about in {seconds:.0f} s")
        time.sleep(0.05)
