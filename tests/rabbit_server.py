"""A throwaway RabbitMQ node: ports, folder, cookie and epmd of its own, on loopback; to be killed and started again."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import amqp
import kombu

from tests.processes import Group, found, free_port, listens, of_its_own, until_it

PLACES = ("/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin", "/usr/local/sbin")
EPMD_PLACES = ("/usr/bin", "/usr/lib/erlang/bin", "/usr/local/lib/erlang/bin")


class RabbitServer:
    """One RabbitMQ node with an epmd of its own."""

    def __init__(
        self, folder: Path | None = None, settings: Mapping[str, str] | None = None, *, managed: bool = False
    ) -> None:
        """Choose ports and write the configuration, `settings` added to it. Raises Unavailable without the programs.

        A `managed` node has the management API, which costs memory and seconds.
        """
        self._program = found("rabbitmq-server", PLACES)
        self._epmd_program = found("epmd", EPMD_PLACES)
        self._folder = of_its_own(folder, "busyline-rabbit-")
        self.port, self._dist_port, self._epmd_port = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self._node = f"t{secrets.token_hex(4)}@localhost"
        self._server: Group | None = None
        self._epmd: Group | None = None
        self.management_port = free_port() if managed else 0
        self._configure(settings or {})

    @property
    def management_url(self) -> str:
        """The management API's address, of a node that has it."""
        return f"http://guest:guest@127.0.0.1:{self.management_port}"

    def start(self) -> None:
        """Start the node, unless it runs, and wait until it speaks AMQP."""
        if self._server is not None:
            return
        if self._epmd is None:
            self._epmd = self._spawn([self._epmd_program, "-port", str(self._epmd_port), "-address", "127.0.0.1"])
            until_it(lambda: listens(self._epmd_port), 10, "epmd")
        self._server = self._spawn([self._program])
        until_it(self._answers, 90, "RabbitMQ")

    def kill(self) -> None:
        """Kill the node where it stands; what it wrote to disk stays."""
        if self._server is not None:
            self._server.kill()
            until_it(lambda: not listens(self.port), 10, "RabbitMQ's end")
            self._server = None

    def stop(self) -> None:
        """End node and epmd and delete everything."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def until_remembered(self) -> None:
        """Wait until the directory of queues on disk names every queue: a kill before that breaks the last one."""
        until_it(self._remembers, 30, "RabbitMQ's directory of queues")

    def pause(self) -> None:
        """Let the node hang, its connections open."""
        assert self._server is not None
        self._server.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._server is not None
        self._server.signal(signal.SIGCONT)

    def close_connections(self) -> None:
        """Let the node close every connection."""
        self.control("close_all_connections", "--vhost", "/", "test")

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl; slow (a second or two)."""
        program = self._program.with_name("rabbitmqctl")
        command = [program, "-n", self._node, *arguments]
        return subprocess.run(command, env=self._environment(), capture_output=True, check=True, text=True).stdout

    def _remembers(self) -> bool:
        queues = {path.name for path in self._folder.glob("data/*/quorum/*/*") if path.is_dir()}
        written = b"".join(path.read_bytes() for path in self._folder.glob("data/*/quorum/*/names.dets"))
        return bool(queues) and all(name.encode() in written for name in queues)

    def _configure(self, settings: Mapping[str, str]) -> None:
        written = {"listeners.tcp.1": f"127.0.0.1:{self.port}", "disk_free_limit.absolute": "50MB", **settings}
        if self.management_port:
            written |= {"management.tcp.ip": "127.0.0.1", "management.tcp.port": str(self.management_port)}
        lines = [f"{name} = {value}\n" for name, value in written.items()]
        (self._folder / "rabbitmq.conf").write_text("".join(lines))
        (self._folder / "env.conf").write_text("")
        (self._folder / "plugins").write_text("[rabbitmq_management].\n" if self.management_port else "[].\n")
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

    def _spawn(self, command: list[str | Path]) -> Group:
        return Group(command, self._folder, environment=self._environment())

    def _answers(self) -> bool:
        if self._server is not None and not self._server.alive:
            raise RuntimeError("RabbitMQ ended while starting")
        return speaks_amqp(self.port) and (not self.management_port or listens(self.management_port))


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
