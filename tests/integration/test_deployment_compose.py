"""compose.yaml without containers: the same commands with the same settings, as processes around real servers.

Only addresses, ports and folders are translated. So every service is tried with the rights that it has there.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import amqp
import pytest
import yaml

from tests.servers import PostgresServer, RabbitServer, Unavailable, execute, free_port

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))["services"]
OURS = ("authorizer", "fetcher", "normalizer", "publisher")
BIN = Path(sys.executable).parent
ORG, QUEUE, WRITTEN = "acme", "consumer.crm.updates", "amqp://consumer-crm:PASSWORD@localhost/busyline"


class Stack:
    """The servers and the processes of one deployment."""

    def __init__(self, folder: Path, rabbit: RabbitServer, postgres: PostgresServer) -> None:
        self.folder, self.rabbit, self.postgres = folder, rabbit, postgres
        self.sandbox_port, self.http_port, self.setup_port = free_port(), free_port(), free_port()
        self.health = {name: free_port() for name in OURS}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, service: str) -> dict[str, str]:
        """Return a container's variables as they are on this machine."""
        found = {name: self.local(str(value)) for name, value in SERVICES[service].get("environment", {}).items()}
        if service in self.health:
            found["BUSYLINE_HEALTH_PORT"] = str(self.health[service])
        if service == "authorizer":
            found["BUSYLINE_AUTHORIZER_SETUP_PORT"] = str(self.setup_port)  # 8090 may be somebody else's here
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **found}

    def local(self, text: str) -> str:
        """Translate one word: a container's name, port or folder, and the default of a variable."""
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
        for there, here in {
            "@rabbitmq/": f"@127.0.0.1:{self.rabbit.port}/",
            "@rabbitmq:15672": f"@127.0.0.1:{self.rabbit.management_port}",
            "@postgres/": f"@127.0.0.1:{self.postgres.port}/",
            "https://sandbox:8443": f"https://localhost:{self.sandbox_port}",
            "/var/lib/busyline": str(self.folder),
        }.items():
            text = text.replace(there, here)
        whole = {"sandbox": "localhost", "8443": str(self.sandbox_port), "8080": str(self.http_port)}
        return whole.get(text, "127.0.0.1" if text == "0.0.0.0" else text)

    def command(self, service: str) -> list[str | Path]:
        first, *rest = SERVICES[service]["command"]
        return [BIN / "busyline", first, *map(self.local, rest)]

    def once(self, service: str, *command: str | Path) -> str:
        """Run a command in a service's surroundings to its end, and return what it printed."""
        arguments = [BIN / "busyline", *command] if command else self.command(service)
        done = subprocess.run(
            arguments, env=self.environment(service), cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, name: str, command: list[str | Path]) -> None:
        with self.log(name).open("wb") as log:
            self.running[name] = subprocess.Popen(
                command,
                env=self.environment(name) if name in SERVICES else None,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def said(self, name: str) -> str:
        return self.log(name).read_text(encoding="utf-8")

    def ask(self, path: str, token: str) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}/v1/orgs/{ORG}/{path}")
        request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


def until(holds: Callable[[], bool], what: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.1)


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("compose")
    try:
        built = Stack(folder, RabbitServer(folder / "rabbit", managed=True), PostgresServer())
    except Unavailable as missing:
        pytest.skip(f"servers of the test's own are needed: {missing}")
    try:
        brought_up(built)
        yield built
    finally:
        for process in built.running.values():
            process.kill()
            process.wait(10)
        built.rabbit.stop()
        built.postgres.stop()


def brought_up(stack: Stack) -> None:
    """Start everything in the order that compose.yaml asks for."""
    (stack.folder / "definitions").mkdir()
    stack.once("definitions")
    definitions = str(stack.folder / "definitions" / "definitions.json")
    ours = (ROOT / "deploy" / "rabbitmq" / "rabbitmq.conf").read_text(encoding="utf-8")
    with (stack.folder / "rabbit" / "rabbitmq.conf").open("a", encoding="utf-8") as configuration:
        configuration.write(ours.replace("/definitions/definitions.json", definitions).replace("1GB", "50MB"))
    stack.rabbit.start()
    demand_passwords(stack.postgres, owner=stack.local(SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"]))
    subprocess.run(
        [sys.executable, *SERVICES["prepare"]["entrypoint"][1:]], env=stack.environment("prepare"), cwd=ROOT, check=True
    )
    stack.start("sandbox", [*stack.command("sandbox"), "--mailboxes", "6", "--events", "10"])
    until(lambda: "control token" in stack.said("sandbox"), "the sandbox")
    for name in OURS:
        stack.start(name, stack.command(name))
    until(lambda: all(map(ready, stack.health.values())), "every service's readiness")


def demand_passwords(postgres: PostgresServer, *, owner: str) -> None:
    """Let a server of the tests ask for passwords, as the image's does."""
    postgres.start()
    execute(postgres.url, f"ALTER ROLE busyline PASSWORD '{owner}'", "CREATE DATABASE busyline")
    (postgres._data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n", encoding="ascii")
    execute(postgres.url, "SELECT pg_reload_conf()")


@pytest.fixture(scope="module")
def connected(stack: Stack) -> Stack:
    """Follow docs/operations.md and docs/consumers.md: admit a consumer to the broker, then connect the org."""
    said = stack.once("operator", "consumers", "add", "crm", "--org", ORG, "--amqp")
    url = re.findall(r"^amqp +(\S+)$", said, re.MULTILINE)[0]
    stack.start("example", [sys.executable, "-u", "-c", example(url)])
    until(lambda: consumed(stack), "the example's consumer")
    tenant, client = (re.findall(rf"{word} +(\S+)", stack.said("sandbox"))[0] for word in ("tenant", "client id"))
    secret = stack.folder / "sandbox" / "client-secret"
    words = ("connect", ORG, "--cloud", "sandbox", "--tenant", tenant, "--client-id", client)
    assert "is connected" in stack.once("authorizer", *words, "--client-secret-file", secret)
    return stack


def example(url: str) -> str:
    """Return the program printed for consumers."""
    text = (ROOT / "docs" / "consumers.md").read_text(encoding="utf-8")
    program = re.findall(r"```python\n(import json.*?)```", text, re.DOTALL)[0]
    assert WRITTEN in program
    return str(program.replace(WRITTEN, url))


def consumed(stack: Stack) -> bool:
    address = {"host": f"127.0.0.1:{stack.rabbit.port}", "virtual_host": "busyline", "login_method": "PLAIN"}
    with amqp.Connection(userid="operator", password="trial-operator", **address) as connection:
        try:
            return bool(connection.channel().queue_declare(QUEUE, passive=True).consumer_count)
        except amqp.exceptions.NotFound:
            return False


def test_every_mailbox_is_read_and_shown_over_http(connected: Stack) -> None:
    token = connected.once("operator", "consumers", "add", "trial", "--org", ORG).strip()
    until(lambda: connected.ask("status", token)["first_reading"] == {"done": 6, "of": 6}, "the first reading")
    until(lambda: connected.ask("status", token)["coverage"] == {"full": 6, "unknown": 0}, "full coverage")
    address = connected.ask("mailboxes?limit=1&bucket=active", token)["mailboxes"][0]["mailbox"]
    assert connected.ask(f"mailboxes/{address}/availability", token)["coverage"] == "full"


def test_the_example_for_consumers_receives_updates(connected: Stack) -> None:
    until(lambda: connected.said("example").count("availability.updated.v1") >= 6, "six updates")


def test_nothing_is_parked(connected: Stack) -> None:
    assert "Nothing is parked" in connected.once("operator")


def test_the_status_command_works_with_the_publishers_rights(connected: Stack) -> None:
    assert ORG in connected.once("publisher", "status")


def test_credentials_are_sealed_anew_with_the_authorizers_rights(connected: Stack) -> None:
    assert connected.once("authorizer", "keys", "rotate").startswith("1 credential")


def test_the_publisher_cannot_read_credentials(connected: Stack) -> None:
    url = connected.environment("publisher")["BUSYLINE_DATABASE_URL"]
    with pytest.raises(Exception, match="permission denied for table credentials"):
        execute(url, "SELECT * FROM credentials")


def test_no_password_is_logged_and_every_service_ends_in_order(connected: Stack) -> None:
    for name in OURS:
        connected.running[name].terminate()
    assert [connected.running[name].wait(45) for name in OURS] == [0, 0, 0, 0]
    assert not [name for name in OURS if "trial-" in connected.said(name)]
