from pathlib import Path

from shared.vault import Vault, load_vault

KEYS = {"new": b"n" * 32, "old": b"o" * 32}


def test_each_key_gives_a_key_of_its_own_for_each_purpose_the_newest_first() -> None:
    vault = Vault(KEYS)
    first, second = vault.derived("a"), vault.derived("b")
    assert len({*first, *second}) == 4
    assert {len(key) for key in first} == {32}
    assert first[1:] == Vault({"old": KEYS["old"]}).derived("a")
    assert first == vault.derived("a")
    assert not {*first, *second} & set(KEYS.values())


def test_a_rotation_is_seen_once_by_whoever_looks_again(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    vault = load_vault(file, create=True)
    before = vault.derived("a")
    vault.look_again()
    assert vault.derived("a") == before
    assert not vault.look_again()
    load_vault(file, rotate=True)
    assert vault.look_again()
    assert vault.derived("a")[1:] == before
    assert not vault.look_again()


def test_a_file_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    vault = load_vault(file, create=True)
    before = vault.derived("a")
    file.write_text("nonsense")
    assert not vault.look_again()
    file.unlink()
    assert not vault.look_again()
    assert vault.derived("a") == before
    assert not Vault(KEYS).look_again()
