"""Advice: every word that the fetcher can give of a mailbox or a search has a sentence; its code tells the words."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.authorizer import exchange_sentences, sentences
from services.authorizer.console import texts_advice
from services.authorizer.console.advice import advise, outcome
from services.authorizer.console.texts import CATALOGUE
from services.fetcher import exchange_fate, exchange_trouble, failure, plans
from services.fetcher.directory import BY_POLICY, ERASED
from services.fetcher.due import LEFT
from services.fetcher.exchange_details import MEANWHILE
from services.fetcher.exchange_people import ELSEWHERE
from services.fetcher.failure import word
from services.fetcher.runs import HELD
from shared import aadsts
from shared.contracts.values import Bucket
from shared.ews.errors import OURS
from shared.ldap_line import REASONS

ROOT = Path(__file__).parents[4]
FETCHER = sorted((ROOT / "services" / "fetcher").glob("*.py"))
SHARED = [ROOT / "shared" / name for name in ("graph.py", "graph_answers.py", "identity.py", "token_http.py")]
# reasons of subscriptions: they stand in a table of their own, which no page shows
SUBSCRIPTIONS = {"reauthorization_required", "subscription_removed", "subscription_gone", "subscription_conflict",
                 "subscriptions_forbidden", "notify_url_unreachable", "mailbox_not_found", "unexpected_answer",
                 plans.GAP}  # fmt: skip
OTHERS = {"errorsubscriptionnotfound"}  # what a stream of notifications ends with: no mailbox's reason
CODES = ("ErrorInternalServerError", "ErrorMailboxMoveInProgress", "ErrorItemCorrupt", "ErrorNotInAnySchema")


def literals(path: Path) -> Iterator[str]:
    """Give the fixed words that a module hands over as a reason or as a code of its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.keyword(arg="reason" | "code", value=ast.Constant(value=str(found))):
                yield found
            case ast.Assign(targets=[ast.Name(id="reason" | "code")], value=ast.Constant(value=str(found))):
                yield found
            case ast.Call(func=ast.Name(id="EwsError" | "IdentityError"), args=[ast.Constant(value=str(found)), *_]):
                yield found
            case ast.Tuple(elts=[ast.Attribute(value=ast.Name(id="Bucket")), ast.Constant(value=str(found))]):
                yield found
            case ast.Tuple(elts=[ast.Constant(value=str(found)), ast.Attribute(value=ast.Name(id="Bucket"))]):
                yield found
            case ast.Dict(keys=keys, values=values):
                told: list[tuple[Any, Any]] = list(zip(keys, values, strict=True))
                yield from (each.value for key, each in told if _is_reason(key, each))
            case _:
                pass


def _is_reason(key: Any, told: Any) -> bool:
    named = isinstance(key, ast.Constant) and key.value == "reason"
    return named and isinstance(told, ast.Constant) and isinstance(told.value, str)


def words() -> set[str]:
    """Return every word that a mailbox or a search can get."""
    found = {word(text) for path in (*FETCHER, *SHARED) for text in literals(path) if text and len(text) < 64}
    found |= {failure.TOO_LARGE, failure.PAUSED, exchange_fate.SHARED, ERASED, LEFT, MEANWHILE, ELSEWHERE, HELD}
    found |= set(exchange_fate._DENIED.values()) | set(exchange_fate._ABSENT.values()) | set(BY_POLICY)
    found |= {word(code) for code in OURS} | {f"ldap_{reason}" for reason in REASONS} | exchange_trouble.ADMINS
    found |= set(aadsts._REASONS.values()) | {aadsts.REFUSED}
    return found - SUBSCRIPTIONS - OTHERS


def fits(text: str) -> bool:
    return text[0].isupper() and text.endswith((".", ")"))


def test_the_words_are_found_in_the_code() -> None:
    assert {"throttled", "no_address", "rooms_forbidden", "link_loop", "not_enumerated", "server_busy"} <= words()


@pytest.mark.parametrize("reason", sorted(words()))
def test_every_word_of_the_fetchers_has_advice_of_its_own(reason: str) -> None:
    key = advise(Bucket.FAILING, reason).advice
    assert key in {f"advice.{reason}", "advice.ldap"}
    assert fits(CATALOGUE[key])


@pytest.mark.parametrize("code", CODES)
def test_exchanges_own_codes_are_told_as_what_they_are(code: str) -> None:
    told = advise(Bucket.FAILING, word(code))
    assert (told.advice, told.word) == ("advice.exchange", True)


@given(bucket=st.sampled_from(Bucket), reason=st.from_regex(r"\A[a-z][a-z0-9_]{0,63}\Z"))
def test_there_is_advice_for_whatever_word(bucket: Bucket, reason: str) -> None:
    told = advise(bucket, reason)
    assert told.title in CATALOGUE
    assert told.advice in CATALOGUE


@pytest.mark.parametrize("bucket", list(Bucket))
def test_a_bucket_without_a_reason_is_explained_by_itself(bucket: Bucket) -> None:
    told = advise(bucket, "")
    assert CATALOGUE[told.title]
    assert fits(CATALOGUE[told.advice])


@pytest.mark.parametrize(
    "reason",
    sorted({*sentences.REFUSALS, *sentences.DELAYS, *exchange_sentences.REFUSALS, *exchange_sentences.DELAYS}),
)
def test_every_outcome_of_a_test_has_its_sentence(reason: str) -> None:
    assert outcome(reason) == f"tried.{reason}"
    assert fits(CATALOGUE[f"tried.{reason}"])


def test_an_outcome_that_is_not_known_is_said_so() -> None:
    assert "not known" in CATALOGUE[outcome("something_new")]


def test_no_title_is_longer_than_a_line() -> None:
    assert max(len(title) for title, _ in texts_advice.OWN.values()) < 40
