"""Throwaway RabbitMQ and PostgreSQL for tests: from binaries on this machine, or from containers; loopback only.

Each server lives in a folder and a process group of its own and can be killed and started again. Servers that run on
this machine already are never touched; an existing one is used only through the environment (see conftest).
"""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import amqp
import asyncpg
import kombu

RABBIT_PLACES = ("/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin", "/usr/local/sbin")
POSTGRES_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/bin", "/usr/bin")


class Unavailable(Exception):  # noqa: N818 -- it says what the server is
    """No such server can be had here; the text says what was looked for."""


class RabbitServer:
    """One RabbitMQ node with an epmd of its own."""

    def __init__(self, folder: Path | None = None) -> None:
        """Choose ports and write the configuration; `start` starts it. Raises Unavailable without the binaries."""
        self._program = _found("rabbitmq-server", RABBIT_PLACES)
        self._epmd_program = _found("epmd", ("/usr/bin", "/usr/lib/erlang/bin", "/usr/local/lib/erlang/bin"))
        self._folder = _folder(folder, "busyline-rabbit-")
        self.port, self._dist_port, self._epmd_port = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self._node = f"t{secrets.token_hex(4)}@localhost"
        self._server: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._configure()

    def start(self) -> None:
        """Start the node, unless it runs, and wait until it speaks AMQP."""
        if self._server is not None:
            return
        if self._epmd is None:
            self._epmd = self._spawn([self._epmd_program, "-port", str(self._epmd_port), "-address", "127.0.0.1"])
            _until(lambda: _listens(self._epmd_port), 10, "epmd")
        self._server = self._spawn([self._program])
        _until(self._answers, 90, "RabbitMQ")

    def kill(self) -> None:
        """Kill the node where it stands; what it wrote to disk stays."""
        if self._server is not None:
            _kill(self._server)
            _until(lambda: not _listens(self.port), 10, "RabbitMQ's end")
            self._server = None

    def stop(self) -> None:
        """End node and epmd and delete everything."""
        self.kill()
        if self._epmd is not None:
            _kill(self._epmd)
            self._epmd = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def pause(self) -> None:
        """Let the node hang, its connections open."""
        assert self._server is not None
        os.killpg(self._server.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._server is not None
        os.killpg(self._server.pid, signal.SIGCONT)

    def close_connections(self) -> None:
        """Let the node close every connection."""
        self.control("close_all_connections", "--vhost", "/", "test")

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl; slow (a second or two)."""
        program = self._program.with_name("rabbitmqctl")
        command = [program, "-n", self._node, *arguments]
        return subprocess.run(command, env=self._environment(), capture_output=True, check=True, text=True).stdout

    def _configure(self) -> None:
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\ndisk_free_limit.absolute = 50MB\n"
        )
        (self._folder / "env.conf").write_text("")
        (self._folder / "plugins").write_text("[].\n")
        cookie = self._folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        local = "-kernel inet_dist_use_interface {127,0,0,1}"
        idle = "+sbwt none +sbwtdcpu none +sbwtdio none"  # schedulers that spin would eat the tests' two cores
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{local} {idle}",
            "RABBITMQ_CTL_ERL_ARGS": local,
        }

    def _spawn(self, command: list[str | Path]) -> subprocess.Popen[bytes]:
        with (self._folder / "output").open("ab") as output:
            return subprocess.Popen(
                command,
                env=self._environment(),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        if self._server is not None and self._server.poll() is not None:
            raise RuntimeError("RabbitMQ ended while starting")
        return speaks_amqp(self.port)


class PostgresServer:
    """One PostgreSQL cluster; `url` names its database `postgres`."""

    def __init__(self, folder: Path | None = None, *, durable: bool = False) -> None:
        """Create the cluster. Raises Unavailable without the binaries. `durable` syncs to disk, for fault tests."""
        self._bin = _found("initdb", POSTGRES_PLACES).parent
        self._folder = _folder(folder, "busyline-postgres-")
        self._owner = _give_away(self._folder)
        self._durable = durable
        self.port = free_port()
        self.url = f"postgresql://busyline@127.0.0.1:{self.port}/postgres"
        self._server: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", self._data, "-U", "busyline", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        """Start, unless it runs, and wait until it answers."""
        if self._server is not None:
            return
        synced = "on" if self._durable else "off"
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": synced,
            "full_page_writes": synced,
            "synchronous_commit": synced,
            "max_connections": "200",
        }
        arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "output").open("ab") as output:
            self._server = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *arguments],
                user=self._owner,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        _until(self._answers, 60, "PostgreSQL")

    def kill(self) -> None:
        """Kill it where it stands."""
        if self._server is not None:
            _kill(self._server)
            _until(lambda: not _listens(self.port), 10, "PostgreSQL's end")
            self._server = None

    def stop(self) -> None:
        """End it and delete everything."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def create_database(self, name: str, *, template: str = "template0") -> str:
        """Create a database, as a copy of another if told so, and return its URL."""
        execute(self.url, f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"{self.url.rpartition('/')[0]}/{name}"

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [self._bin / program, *arguments]
        subprocess.run(command, user=self._owner, cwd=self._folder, stdout=subprocess.DEVNULL, check=True)

    def _answers(self) -> bool:
        if self._server is not None and self._server.poll() is not None:
            raise RuntimeError("PostgreSQL ended while starting")
        return answers_sql(self.url)


def execute(url: str, *statements: str) -> None:
    """Run statements on a PostgreSQL, each on its own, from outside any event loop."""

    async def work() -> None:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as elsewhere:  # the caller may hold a running loop
        elsewhere.submit(asyncio.run, work()).result()


def empty(url: str, queues: list[str]) -> None:
    """Purge those of the queues that exist."""
    with kombu.Connection(url, connect_timeout=5) as connection:
        for queue in queues:
            channel = connection.channel()
            try:
                channel.queue_purge(queue)
                channel.close()
            except amqp.exceptions.NotFound:
                continue


def speaks_amqp(port: int) -> bool:
    """Say whether a port answers the AMQP header as a broker does."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as probe:
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            return probe.recv(1) == b"\x01"
    except OSError:
        return False


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Container:
    """A server in a container, on one loopback port that stays the same through kill and start."""

    def __init__(
        self, image: str, *, port: int, url: str, environment: dict[str, str], ready: Callable[[str], bool]
    ) -> None:
        """Describe it; `{port}` in the URL is filled in. Raises Unavailable where no container engine answers."""
        docker = shutil.which("docker")
        if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode != 0:
            raise Unavailable("no container engine answers")
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 -- slow, and rarely needed

        self.port = free_port()
        self.url = url.format(port=self.port)
        self._ready = ready
        self._container = DockerContainer(image).with_bind_ports(port, self.port)
        for name, value in environment.items():
            self._container.with_env(name, value)
        self._created = False

    def start(self) -> None:
        """Start it and wait until it answers."""
        if self._created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._created = True
        _until(lambda: self._ready(self.url), 90, "the container")

    def kill(self) -> None:
        """Kill it where it stands."""
        self._container.get_wrapped_container().kill()

    def stop(self) -> None:
        """End it and delete everything."""
        self._container.stop()


def rabbit_server() -> RabbitServer | Container:
    """Return a RabbitMQ of one's own, not started. Raises Unavailable."""
    try:
        return RabbitServer()
    except Unavailable:
        return Container(
            "rabbitmq:4-alpine",
            port=5672,
            url="amqp://guest:guest@127.0.0.1:{port}/",
            environment={},
            ready=lambda url: speaks_amqp(int(url.rpartition(":")[2].rstrip("/"))),
        )


def postgres_server() -> PostgresServer | Container:
    """Return a PostgreSQL of one's own, not started. Raises Unavailable."""
    try:
        return PostgresServer()
    except Unavailable:
        return Container(
            "postgres:17-alpine",
            port=5432,
            url="postgresql://busyline@127.0.0.1:{port}/postgres",
            environment={"POSTGRES_USER": "busyline", "POSTGRES_HOST_AUTH_METHOD": "trust"},
            ready=answers_sql,
        )


def answers_sql(url: str) -> bool:
    """Say whether a PostgreSQL answers."""
    try:
        execute(url, "SELECT 1")
    except (OSError, asyncpg.PostgresError):
        return False
    return True


def _found(program: str, places: tuple[str, ...]) -> Path:
    found = sorted(path for place in places for path in Path("/").glob(f"{place.lstrip('/')}/{program}"))
    on_path = shutil.which(program)
    if found:
        return found[-1]
    if on_path is None:
        raise Unavailable(f"no {program} on this machine")
    return Path(on_path)


def _folder(folder: Path | None, prefix: str) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix=prefix))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _give_away(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root: another user then owns the folder and may walk to it."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    owner = "postgres" if "postgres" in names else "nobody"
    shutil.chown(folder, owner)
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    return owner


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def _until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come about in {seconds:.0f} s")
        time.sleep(0.05)
