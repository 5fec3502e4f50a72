"""Sealing and opening: only the right key, for the right row, the whole blob."""

import base64
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.vault import Vault, VaultError, load_vault

KEYS = {"k2": b"2" * 32, "k1": b"1" * 32}
VAULT = Vault(KEYS)


def refusal(work: Callable[[], object]) -> str:
    with pytest.raises(VaultError) as caught:
        work()
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


@given(plain=st.binary(max_size=4096), about=st.text(max_size=64))
def test_what_is_sealed_opens_for_its_row(plain: bytes, about: str) -> None:
    assert VAULT.open(VAULT.seal(plain, about=about), about=about) == plain


@given(plain=st.binary(max_size=64), about=st.text(max_size=16), other=st.text(max_size=16))
def test_a_blob_moved_to_another_row_does_not_open(plain: bytes, about: str, other: str) -> None:
    sealed = VAULT.seal(plain, about=about)
    if about != other:
        assert refusal(lambda: VAULT.open(sealed, about=other)) == "seal_broken"


@given(plain=st.binary(max_size=64), where=st.integers(min_value=0), change=st.integers(1, 255))
def test_a_blob_with_any_byte_changed_does_not_open(plain: bytes, where: int, change: int) -> None:
    sealed = bytearray(VAULT.seal(plain, about="row"))
    sealed[where % len(sealed)] ^= change
    assert refusal(lambda: VAULT.open(bytes(sealed), about="row")) in {
        "seal_broken",
        "key_unknown",
        "sealed_malformed",
    }


@given(plain=st.binary(max_size=64), keep=st.integers(min_value=0))
def test_a_truncated_blob_does_not_open(plain: bytes, keep: int) -> None:
    sealed = VAULT.seal(plain, about="row")
    short = sealed[: keep % len(sealed)]
    assert refusal(lambda: VAULT.open(short, about="row")) in {"seal_broken", "sealed_malformed"}


@given(garbage=st.binary(max_size=128))
def test_garbage_does_not_open(garbage: bytes) -> None:
    assert refusal(lambda: VAULT.open(garbage, about="row"))
    assert refusal(lambda: VAULT.rotate(garbage, about="row"))


def test_the_same_text_is_never_sealed_the_same_way_twice() -> None:
    assert len({VAULT.seal(b"secret", about="row") for _ in range(1000)}) == 1000


def test_a_blob_does_not_hold_its_text() -> None:
    assert b"canary" not in VAULT.seal(b"canary" * 10, about="row")


def test_the_newest_key_seals_and_every_key_opens() -> None:
    old = Vault({"k1": KEYS["k1"]}).seal(b"secret", about="row")
    assert VAULT.open(old, about="row") == b"secret"
    assert not VAULT.is_newest(old)
    assert VAULT.is_newest(VAULT.seal(b"secret", about="row"))


def test_rotating_seals_under_the_newest_key_for_the_same_row() -> None:
    old = Vault({"k1": KEYS["k1"]}).seal(b"secret", about="row")
    fresh = VAULT.rotate(old, about="row")
    assert Vault({"k2": KEYS["k2"]}).open(fresh, about="row") == b"secret"
    assert refusal(lambda: VAULT.rotate(old, about="another row")) == "seal_broken"


def test_a_key_that_is_gone_is_named_unknown() -> None:
    sealed = VAULT.seal(b"secret", about="row")
    assert refusal(lambda: Vault({"k1": KEYS["k1"]}).open(sealed, about="row")) == "key_unknown"


def test_another_key_under_the_same_id_opens_nothing() -> None:
    sealed = VAULT.seal(b"secret", about="row")
    assert refusal(lambda: Vault({"k2": b"x" * 32}).open(sealed, about="row")) == "seal_broken"


def test_a_vault_prints_no_key() -> None:
    assert repr(VAULT) == "Vault(2 keys)"


def test_a_key_file_is_created_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "var" / "keys"
    sealed = load_vault(file, create=True).seal(b"secret", about="row")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_vault(file, create=True).open(sealed, about="row") == b"secret"
    assert [left.name for left in file.parent.iterdir()] == ["keys"]


def test_two_processes_that_create_a_key_file_at_once_end_with_one_key(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    with ThreadPoolExecutor(8) as pool:
        vaults = list(pool.map(lambda _: load_vault(file, create=True), range(8)))
    sealed = vaults[0].seal(b"secret", about="row")
    assert {vault.open(sealed, about="row") for vault in vaults} == {b"secret"}


def test_rotating_the_file_puts_a_fresh_key_first_and_keeps_the_old(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    old = load_vault(file, create=True).seal(b"secret", about="row")
    vault = load_vault(file, rotate=True)
    assert not vault.is_newest(old)
    assert vault.open(old, about="row") == b"secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text().splitlines()) == 2


def test_a_running_vault_finds_a_key_that_was_added_since(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    running = load_vault(file, create=True)
    sealed = load_vault(file, rotate=True).seal(b"secret", about="row")
    assert running.open(sealed, about="row") == b"secret"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no_key"),
        ("\n\n", "no_key"),
        ("k1", "keys_malformed"),
        ("k1:not base64!", "keys_malformed"),
        ("k1:" + base64.b64encode(b"x" * 31).decode(), "keys_malformed"),
        ("bad id:" + base64.b64encode(b"x" * 32).decode(), "keys_malformed"),
        (("k1:" + base64.b64encode(b"x" * 32).decode() + "\n") * 2, "keys_malformed"),
    ],
)
def test_a_key_file_that_makes_no_sense_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    assert refusal(lambda: load_vault(file)) == reason


def test_a_missing_key_file_is_refused_unless_it_may_be_created(tmp_path: Path) -> None:
    assert refusal(lambda: load_vault(tmp_path / "none")) == "keys_missing"
    assert refusal(lambda: load_vault(tmp_path / "none", rotate=True)) == "keys_missing"
