"""Signatures are those of Standard Webhooks: its library takes them, and so do the lines that the docs give."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from services.publisher.webhooks.signing import Keys, fresh, opened, sealed, signed
from shared import clock
from shared.config import Secret
from shared.vault import VaultError, load_vault

DOCS = Path(__file__).parents[3] / "docs" / "webhooks.md"
BODY = b'{"specversion":"1.0","subject":"B\xc3\xbcro"}'


@pytest.fixture(scope="module")
def verified() -> Callable[..., bool]:
    """Return the function that the docs print."""
    (source,) = re.findall(r"```python\n(import base64.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(source.split("def ")[1].splitlines()) <= 11
    names: dict[str, Any] = {}
    exec(source, names)
    return names["verified"]  # type: ignore[no-any-return]


def test_the_library_and_the_lines_of_the_docs_take_a_delivery(verified: Callable[..., bool]) -> None:
    secret = fresh()
    headers = signed(BODY, "evt_1", [secret], now=clock.now())
    assert Webhook(secret.reveal()).verify(BODY, headers) == {"specversion": "1.0", "subject": "B\u00fcro"}
    assert verified(secret.reveal(), headers, BODY)


def test_after_a_rotation_either_secret_will_do(verified: Callable[..., bool]) -> None:
    before, after = fresh(), fresh()
    headers = signed(BODY, "evt_1", [after, before], now=clock.now())
    for secret in (before, after):
        Webhook(secret.reveal()).verify(BODY, headers)
        assert verified(secret.reveal(), headers, BODY)


def test_another_secret_body_id_or_time_is_refused(verified: Callable[..., bool]) -> None:
    secret, now = fresh(), clock.now()
    headers = signed(BODY, "evt_1", [secret], now=now)
    wrong: list[tuple[Secret, dict[str, str], bytes]] = [
        (fresh(), headers, BODY),
        (secret, headers, BODY + b" "),
        (secret, headers | {"webhook-id": "evt_2"}, BODY),
        (secret, headers | {"webhook-timestamp": str(now - 1)}, BODY),
        (secret, signed(BODY, "evt_1", [secret], now=now - 400), BODY),
    ]
    for key, said, body in wrong:
        assert not verified(key.reveal(), said, body)
        with pytest.raises(WebhookVerificationError):
            Webhook(key.reveal()).verify(body, said)


@given(st.text(max_size=200), st.integers(1_700_000_000, 4_000_000_000))
def test_any_body_at_any_time_is_signed_as_the_docs_check_it(
    verified: Callable[..., bool], text: str, now: int
) -> None:
    secret, body = Secret("whsec_" + "QUJD" * 8), text.encode("utf-8", "surrogatepass")
    if "\ud800" <= max(text, default="") <= "\udfff":
        return
    headers = signed(body, "evt_1", [secret], now=now)
    assert verified(secret.reveal(), headers, body, now=now + 299)
    assert not verified(secret.reveal(), headers, body, now=now + 301)


def test_a_secret_is_opened_for_its_webhook_alone_and_does_not_print(tmp_path: Path) -> None:
    vault, secret = load_vault(tmp_path / "keys", create=True), fresh()
    blob = sealed(vault, secret, "wh_1")
    assert opened(vault, blob, "wh_1").reveal() == secret.reveal()
    with pytest.raises(VaultError):
        opened(vault, blob, "wh_2")
    assert secret.reveal() not in f"{secret!r} {vault!r}"
    assert secret.reveal().encode() not in blob


def test_a_key_file_is_looked_for_when_it_is_needed_and_again_until_it_is_there(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys")
    assert not keys.ready()
    load_vault(tmp_path / "keys", create=True)
    assert keys.ready()
