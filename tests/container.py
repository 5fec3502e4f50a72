"""A server in a container, for machines that have a container engine and not the server's programs."""

import shutil
import subprocess
from collections.abc import Callable

from tests.processes import Unavailable, free_port, until_it


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
        until_it(lambda: self._ready(self.url), 90, "the container")

    def kill(self) -> None:
        """Kill it where it stands."""
        self._container.get_wrapped_container().kill()

    def until_it_holds(self, script: str) -> None:
        """Wait until a shell script in the container ends well."""
        inside = self._container.get_wrapped_container()
        until_it(lambda: inside.exec_run(["sh", "-c", script]).exit_code == 0, 30, "the container's state")

    def stop(self) -> None:
        """End it and delete everything."""
        self._container.stop()
