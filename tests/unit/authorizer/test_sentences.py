"""An admin is told what happened, what to do and where, for everything that can go wrong."""

import re
from pathlib import Path

import pytest

from services.authorizer.sentences import DELAYS, REFUSALS, sentence
from shared.aadsts import REASONS, code_of, meaning

ROOT = Path(__file__).parents[3]
WORD = re.compile(r'(?:Refusal|denied=|IdentityError|Refused|reason = |return|empty = )\(?"([a-z]+(?:_[a-z]+)+)"')


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_refusal_of_entra_has_a_sentence(reason: str) -> None:
    assert reason in REFUSALS


@pytest.mark.parametrize("code", [90055, 90006, 90012, 90024, 90033])
def test_every_delay_of_entra_has_a_sentence(code: int) -> None:
    reason, transient = meaning(code)
    assert transient
    assert reason in DELAYS


@pytest.mark.parametrize("name", ["verify", "candidates", "refusals", "desk"])
def test_every_reason_named_in_the_code_has_a_sentence(name: str) -> None:
    text = (ROOT / "services" / "authorizer" / f"{name}.py").read_text()
    for reason in WORD.findall(text):
        assert sentence(reason), reason


def test_every_reason_of_the_sign_ins_http_has_a_sentence() -> None:
    for name in ("identity", "token_http"):
        for reason in re.findall(r'"(identity_[a-z_]+|certificate_[a-z_]+)"', (ROOT / f"shared/{name}.py").read_text()):
            if reason != "certificate_parts":
                assert sentence(reason), reason


def test_waiting_for_a_purge_has_a_sentence() -> None:
    source = (ROOT / "services" / "authorizer" / "requests.py").read_text()
    assert '"purge_under_way"' in source
    assert "receipt" in sentence("purge_under_way")


@pytest.mark.parametrize(("reason", "told"), REFUSALS.items())
def test_a_refusal_says_what_to_do_and_where(reason: str, told: str) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", reason)
    assert "Entra admin center >" in told
    assert told.endswith(".")
    assert "  " not in told
    assert len(told) < 500


@pytest.mark.parametrize("told", DELAYS.values())
def test_a_delay_says_that_it_is_tried_again(told: str) -> None:
    assert "tried again by itself" in told
    assert "  " not in told


def test_microsofts_code_is_added_where_there_is_one() -> None:
    assert sentence("secret_expired", code=7000222).endswith("Microsoft's code is AADSTS7000222.")
    assert "AADSTS" not in sentence("directory_empty")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"error_codes": [700016, 1]}, 700016),
        ({"error_description": "AADSTS90002: Tenant 'x' not found."}, 90002),
        ({"error_codes": [], "error_description": "AADSTS65001: ..."}, 65001),
        ({"error_codes": "700016"}, 0),
        ({"error": "invalid_client"}, 0),
        ({"error_description": None}, 0),
    ],
)
def test_a_code_is_found_in_either_place(answer: dict[str, object], code: int) -> None:
    assert code_of(answer) == code
