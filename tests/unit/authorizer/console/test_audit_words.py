"""What stands in the audit log is told in words."""

import re
from pathlib import Path

import services.authorizer
from services.authorizer.console.audit import act_of, told

# acts written down as {"action": "…"}, action="…", action = "…" if … else "…", noted(request, "…")
ACT = re.compile(
    r"""(?:"action":|\baction ?=|\b(?:noted|_note)\([\w.]+,)\s*"([a-z_]+\.[a-z_]+)"(?: if .* else "([a-z_.]+)")?"""
)
ELSEWHERE = ("mailbox.erased", "org.resynced")  # by the operator's command line


def acts() -> set[str]:
    folder = Path(services.authorizer.__file__).parent
    text = "\n".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.py"))
    return {word for pair in ACT.findall(text) for word in pair if word}


def test_every_act_of_an_org_is_told_in_words() -> None:
    found = acts()
    assert {"org.attention", "org.refused", "policy.changed", "mailbox.tested", "microsoft.signed_in"} <= found
    assert not [word for word in (*found, *ELSEWHERE) if not act_of(word)]


def test_an_act_that_is_not_known_has_no_words() -> None:
    assert act_of("other.act") == ""


def test_what_an_entry_tells_is_named_in_words_and_what_is_empty_is_left_out() -> None:
    entry: dict[str, str | int | bool] = {
        "passed": True,
        "stricter": False,
        "reason": "",
        "code": 0,
        "generation": 0,
        "mailboxes_": 3,
    }
    assert told(entry) == (("Passed", "yes"), ("Shows less", "no"), ("Version", "0"), ("mailboxes_", "3"))
