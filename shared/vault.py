"""Seals credentials with AES-256-GCM under a key from a file, bound to the row they belong to.

A blob is opened only with the key that sealed it and for the row it was sealed for; an error never holds contents.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORMAT: Final = 1
_NONCE: Final = 12  # 96 random bits a seal: safe for 2**32 seals under one key (NIST SP 800-38D, 8.3)
_KEY: Final = 32
_TAG: Final = 16
_ROOT: Final = b"busyline derived keys v1"  # apart from what the keys themselves seal (NIST SP 800-108)
_KEY_ID: Final = re.compile(r"^[A-Za-z0-9_-]{1,32}$")


class VaultError(Exception):
    """Something cannot be sealed or opened; `reason` is a fixed word and nothing else is told."""

    def __init__(self, reason: str) -> None:
        """Take the reason."""
        super().__init__(reason)
        self.reason = reason


class Vault:
    """Several keys, the newest first: it seals with the first and opens with any."""

    def __init__(self, keys: Mapping[str, bytes], *, file: Path | None = None) -> None:
        """Take keys of 32 bytes by id, and the file to look into for a key not known. Raises VaultError("no_key")."""
        self._file = file
        self._seen: object = None  # what the file looked like when it was last read anew
        self._take(keys)

    def _take(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise VaultError("no_key")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._newest = next(iter(keys))
        self._roots = tuple(hmac.digest(key, _ROOT, hashlib.sha256) for key in keys.values())

    def __repr__(self) -> str:
        return f"Vault({len(self._ciphers)} keys)"

    def seal(self, plain: bytes, *, about: str) -> bytes:
        """Seal `plain` for the row that `about` names: format, key id, nonce, ciphertext and tag in one blob."""
        header = bytes([_FORMAT, len(self._newest)]) + self._newest.encode()
        nonce = secrets.token_bytes(_NONCE)
        return header + nonce + self._ciphers[self._newest].encrypt(nonce, plain, _bound(header, about))

    def open(self, sealed: bytes, *, about: str) -> bytes:
        """Open what was sealed for the same row. Raises VaultError: sealed_malformed, key_unknown, seal_broken."""
        key_id, header = _header(sealed)
        if key_id not in self._ciphers and self._file is not None:
            self._take(_read(self._file))  # keys were rotated while this process ran
        if key_id not in self._ciphers:
            raise VaultError("key_unknown")
        start = len(header) + _NONCE
        try:
            return self._ciphers[key_id].decrypt(sealed[len(header) : start], sealed[start:], _bound(header, about))
        except InvalidTag:
            raise VaultError("seal_broken") from None

    def is_newest(self, sealed: bytes) -> bool:
        """Say whether a blob is under the newest key already. Raises VaultError("sealed_malformed")."""
        return _header(sealed)[0] == self._newest

    def rotate(self, sealed: bytes, *, about: str) -> bytes:
        """Open a blob and seal it under the newest key. Raises VaultError as `open` does."""
        return self.seal(self.open(sealed, about=about), about=about)

    def derived(self, label: str) -> tuple[bytes, ...]:
        """Return a key of 32 bytes for a purpose of its own from each key, the newest first.

        What proves itself by a derived key is made with the first and taken from any; no derived key tells of another.
        """
        return tuple(hmac.digest(root, label.encode(), hashlib.sha256) for root in self._roots)

    def look_again(self) -> bool:
        """Read the key file again if it changed since the last look, and say so; one unreadable changes nothing.

        For whoever meets what none of the keys made: they may have been rotated while this process ran.
        """
        try:
            found = self._file.stat() if self._file is not None else None
            look = None if found is None else (found.st_mtime_ns, found.st_ino, found.st_size)
            if self._file is None or look == self._seen:
                return False
            self._seen = look
            self._take(_read(self._file))
        except (OSError, VaultError):
            return False
        return True


def _bound(header: bytes, about: str) -> bytes:
    """Return the associated data: the header has its own length in it, so no two pairs come out alike."""
    return header + about.encode()


def _header(sealed: bytes) -> tuple[str, bytes]:
    """Return the key id and the header of a blob that could be one of ours."""
    if len(sealed) < 2 or sealed[0] != _FORMAT or len(sealed) < 2 + sealed[1] + _NONCE + _TAG:
        raise VaultError("sealed_malformed")
    header = sealed[: 2 + sealed[1]]
    try:
        return header[2:].decode("ascii"), header
    except UnicodeDecodeError:
        raise VaultError("sealed_malformed") from None


def load_vault(path: str | Path, *, create: bool = False, rotate: bool = False) -> Vault:
    """Read a file of `id:base64key` lines, the newest first.

    `create` writes a fresh one (mode 0600) where none is; `rotate` puts a fresh key before the others, which seals from
    now on while the others still open. Raises VaultError: keys_missing (no readable file), keys_malformed, no_key.
    """
    file = Path(path)
    if create and not file.exists():
        _write_first(file)
    keys = _read(file)
    if rotate:
        _draft(file, [_fresh(keys), *(_line(key_id, key) for key_id, key in keys.items())]).replace(file)
        keys = _read(file)
    return Vault(keys, file=file)


def _read(file: Path) -> dict[str, bytes]:
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        raise VaultError("keys_missing") from None
    keys: dict[str, bytes] = {}
    for line in lines:
        if line.strip():
            key_id, key = _parse(line.strip())
            if key_id in keys:
                raise VaultError("keys_malformed")
            keys[key_id] = key
    return keys


def _parse(line: str) -> tuple[str, bytes]:
    key_id, _, encoded = line.partition(":")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise VaultError("keys_malformed") from None
    if not _KEY_ID.match(key_id) or len(key) != _KEY:
        raise VaultError("keys_malformed")
    return key_id, key


def _fresh(known: Mapping[str, bytes]) -> str:
    key_id = f"k{len(known) + 1}-{secrets.token_hex(4)}"
    return _line(key_id, secrets.token_bytes(_KEY))


def _line(key_id: str, key: bytes) -> str:
    return f"{key_id}:{base64.b64encode(key).decode()}"


def _write_first(file: Path) -> None:
    """Write a first key; whoever else does so at the same moment, all end with the same file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(file, [_fresh({})])
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _draft(file: Path, lines: Sequence[str]) -> Path:
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write("\n".join(lines) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    return draft
