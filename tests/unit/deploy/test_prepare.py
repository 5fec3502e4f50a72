"""Preparing a database: passwords are demanded, never told, and kept as PostgreSQL keeps them."""

from pathlib import Path

import pytest

from deploy import prepare

PASSWORDS = {f"PASSWORD_{name.upper()}": f"told-to-nobody-{name}" for name in prepare.SERVICES}


def test_a_verifier_is_the_one_postgresql_computes() -> None:
    # RFC 7677, section 3: the password "pencil" with this salt and 4096 rounds.
    salt = bytes.fromhex("5b6d99689d12358e ec a04b141236fa81".replace(" ", ""))
    assert prepare.verifier("pencil", salt) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_a_missing_password_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(dict.fromkeys(list(PASSWORDS)[1:], "secret")) == 2
    assert "PASSWORD_AUTHORIZER" in capsys.readouterr().err


def test_a_wrong_setting_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main({**PASSWORDS, "BUSYLINE_LOG_LEVEL": "loud"}) == 2
    assert "BUSYLINE_LOG_LEVEL" in capsys.readouterr().err


def test_an_embedded_database_needs_no_roles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = {
        "BUSYLINE_DATABASE_URL": f"sqlite:///{tmp_path / 'busyline.db'}",
        "BUSYLINE_KEYS_FILE": str(tmp_path / "keys"),
    }
    assert prepare.main(PASSWORDS | places) == 0
    assert (tmp_path / "busyline.db").exists()
    assert (tmp_path / "keys").exists()
    assert "told-to-nobody" not in "".join(capsys.readouterr())
