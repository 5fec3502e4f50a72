"""`make test`: see that RabbitMQ, PostgreSQL, OpenLDAP and Chromium can be had, then run every test.

Side by side the slow files begin, so that no worker is left alone with one at the end; one by one the quick are first.

Servers come, in this order, from the environment, from binaries on this machine, from containers (OpenLDAP and Chromium
from binaries alone: our schema, our pages); where none of these is possible the Debian packages are installed if that
is allowed (root or passwordless sudo).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

QUICK_FIRST = [
    "tests/unit",
    "tests/independent",
    "tests/contracts",
    "tests/integration",
    "tests/soak",
    "tests/pipeline",
    "tests/browser",
]
NEEDS = {
    "rabbitmq-server": ("BUSYLINE_TEST_AMQP_URL", ["/usr/lib/rabbitmq/bin/rabbitmq-server"]),
    "postgresql": ("BUSYLINE_TEST_PG_URL", ["/usr/lib/postgresql/*/bin/postgres", "/usr/local/bin/postgres"]),
    "slapd": ("", ["/usr/sbin/slapd", "/usr/local/libexec/slapd"]),
    "chromium": ("", ["/usr/bin/chromium", "/usr/bin/google-chrome"]),
}
CONTAINED = ("rabbitmq-server", "postgresql")  # what a container engine serves as well
WORKERS = 4  # many tests wait more than they compute: for retries, for servers to come back
POLICY = Path("/usr/sbin/policy-rc.d")


def main() -> int:
    """Return pytest's exit status."""
    missing = [package for package in NEEDS if not available(package)]
    if missing and docker_answers():
        missing = [package for package in missing if package not in CONTAINED]
    if missing:
        install(missing)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each worker and service would compile everything once more
    side_by_side = workers()
    folders = sys.argv[1:] or (QUICK_FIRST[::-1] if side_by_side else QUICK_FIRST)
    command = [sys.executable, "-m", "pytest", "--durations=15", *side_by_side, *folders]
    return subprocess.run(command, check=False).returncode


def workers() -> list[str]:
    """Return how tests run side by side: each worker has servers of its own, unless they were given from outside.

    The tests of a file stay together: what they share is made once.
    """
    if any(os.environ.get(variable) for variable, _ in NEEDS.values()):
        return []
    return ["--numprocesses", str(WORKERS), "--dist", "loadfile", "--no-loadscope-reorder"]


def available(package: str) -> bool:
    """Say whether an address in the environment or a binary on this machine gives this server."""
    variable, places = NEEDS[package]
    found = any(list(Path("/").glob(place.lstrip("/"))) for place in places)
    return bool(os.environ.get(variable)) or found or shutil.which(package) is not None


def docker_answers() -> bool:
    """Say whether a container engine answers, so that testcontainers can serve."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


def install(packages: list[str]) -> None:
    """Install Debian packages without letting them start servers, or say what to do."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    apt = shutil.which("apt-get")
    allowed = apt and (
        not prefix or (shutil.which("sudo") and subprocess.run([*prefix, "true"], check=False).returncode == 0)
    )
    if not allowed:
        print(f"No {' and no '.join(packages)} here, and installing is not allowed. Do one of these:")
        print(f"  sudo apt-get install --no-install-recommends {' '.join(packages)}")
        print("  export BUSYLINE_TEST_AMQP_URL=amqp://... BUSYLINE_TEST_PG_URL=postgresql://...")
        if set(packages) & set(CONTAINED):
            print("  start Docker")
        return
    print(f"installing {' '.join(packages)} (their own services stay switched off)", flush=True)
    held = not POLICY.exists()
    if held:
        policy = b"#!/bin/sh\nexit 101\n"
        subprocess.run([*prefix, "tee", str(POLICY)], input=policy, stdout=subprocess.DEVNULL, check=True)
        subprocess.run([*prefix, "chmod", "755", str(POLICY)], check=True)
    try:
        quiet = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y"]
        subprocess.run([*quiet, "update"], check=True)
        subprocess.run([*quiet, "install", "--no-install-recommends", *packages], check=True)
    finally:
        if held:
            subprocess.run([*prefix, "rm", "-f", str(POLICY)], check=True)


if __name__ == "__main__":
    sys.exit(main())
