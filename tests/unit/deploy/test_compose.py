"""What compose.yaml promises: nothing is published beyond this machine, and nobody has more than the work needs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.rabbitmq.definitions import ADMISSION, USERS

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("authorizer", "fetcher", "normalizer", "publisher")


def environment(service: str) -> dict[str, str]:
    return dict(SERVICES[service].get("environment", {}))


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_runs_with_as_little_as_possible(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_ports_are_published_on_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert not [port for port in ports if not port.startswith("127.0.0.1:")]


def test_every_service_has_a_broker_user_of_its_own() -> None:
    users = {environment(name)["BUSYLINE_BROKER_URL"].split("//")[1].split(":")[0] for name in OURS}
    assert users == set(OURS)
    assert users < set(USERS)


def test_every_service_that_keeps_state_has_a_database_role_of_its_own() -> None:
    urls = {name: environment(name)["BUSYLINE_DATABASE_URL"] for name in OURS}
    roles = {name: url.split("//")[1].split(":")[0] for name, url in urls.items() if url.startswith("postgresql:")}
    assert roles == {name: f"busyline_{name}" for name in OURS if name != "normalizer"}


def test_keys_reach_only_the_two_services_that_open_credentials() -> None:
    holders = {name for name in OURS if any(volume.startswith("keys:") for volume in SERVICES[name].get("volumes", []))}
    assert holders == {"authorizer", "fetcher"}


def test_the_fetcher_can_be_scaled() -> None:
    assert not {"container_name", "ports", "hostname"} & set(SERVICES["fetcher"])


def test_every_broker_user_gets_a_password() -> None:
    given = {name.removeprefix("BUSYLINE_BROKER_PASSWORD_").lower() for name in environment("definitions")}
    assert given == {*USERS, ADMISSION}


def test_the_management_api_is_published_nowhere_and_known_to_the_operator_alone() -> None:
    assert not [port for port in SERVICES["rabbitmq"]["ports"] if port.endswith("15672")]
    assert [name for name in SERVICES if "BUSYLINE_BROKER_ADMIN_URL" in environment(name)] == ["operator"]
    password = environment("definitions")["BUSYLINE_BROKER_PASSWORD_ADMISSION"]
    assert f"//{ADMISSION}:{password}@" in environment("operator")["BUSYLINE_BROKER_ADMIN_URL"]


def test_a_users_password_is_the_one_its_service_logs_in_with() -> None:
    for name in OURS:
        password = environment("definitions")[f"BUSYLINE_BROKER_PASSWORD_{name.upper()}"]
        assert f":{password}@" in environment(name)["BUSYLINE_BROKER_URL"]


def test_no_image_address_names_a_registry() -> None:
    images = [service["image"] for service in SERVICES.values()]
    assert not [image for image in images if "/" in image]
