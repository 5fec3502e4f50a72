"""Settings are strict, name what is wrong, and never quote a value."""

from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta, Struct

from shared.config import Deployment, Secret, SettingsError, describe, load, refuse_unknown, variable


class Example(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings to try with."""

    readings: Annotated[int, Meta(ge=1, le=10, description="How many at a time.")] = 4
    name: Annotated[str, Meta(description="A name.")] = ""
    key: Annotated[Secret, Meta(description="A secret.")] = Secret()
    fast: bool = False


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load(Example, environ, "example")
    return str(caught.value)


def test_defaults_hold_where_nothing_is_set() -> None:
    assert load(Example, {}, "example") == Example()


def test_a_variable_sets_a_field() -> None:
    found = load(Example, {"BUSYLINE_EXAMPLE_READINGS": "7", "BUSYLINE_EXAMPLE_FAST": "true"}, "example")
    assert (found.readings, found.fast) == (7, True)


def test_a_secret_is_read_from_a_file_and_does_not_print(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("canary\n")
    found = load(Example, {"BUSYLINE_EXAMPLE_KEY_FILE": str(file)}, "example")
    assert found.key.reveal() == "canary"
    assert "canary" not in repr(found)
    assert bool(found.key)
    assert repr(Secret()) == "Secret()"


@pytest.mark.parametrize("value", ["canary", "0", "11", "4.5", ""])
def test_a_wrong_value_is_refused_by_name_and_not_quoted(value: str) -> None:
    told = refusal({"BUSYLINE_EXAMPLE_READINGS": value})
    assert told.startswith("BUSYLINE_EXAMPLE_READINGS: ")
    assert "canary" not in told


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    told = refusal({"BUSYLINE_EXAMPLE_KEY_FILE": str(tmp_path / "none")})
    assert told.startswith("BUSYLINE_EXAMPLE_KEY_FILE cannot be read")


def test_a_misspelt_variable_is_refused() -> None:
    known = [variable("example", field) for field in Example.__struct_fields__]
    refuse_unknown({"BUSYLINE_EXAMPLE_READINGS": "1", "BUSYLINE_EXAMPLE_KEY_FILE": "x", "PATH": "y"}, known)
    with pytest.raises(SettingsError, match="BUSYLINE_EXAMPLE_READIGNS is not a setting"):
        refuse_unknown({"BUSYLINE_EXAMPLE_READIGNS": "1"}, known)


def test_every_setting_of_the_deployment_has_a_sentence() -> None:
    for name, sentence, _ in describe(Deployment):
        assert name.startswith("BUSYLINE_")
        assert sentence.endswith("."), name


def test_a_deployments_addresses_do_not_print() -> None:
    found = load(Deployment, {"BUSYLINE_DATABASE_URL": "postgresql://u:canary@h/d"})
    assert "canary" not in repr(found)
