import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import graph_answers

NOW = 1_790_000_000  # 2026-09-21T14:13:20Z


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("10", 10.0),
        ("2.128", 2.128),
        ("-4", 0.0),
        ("1e99", 86_400.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Mon, 21 Sep 2026 14:13:50 GMT", 30.0),
        ("Mon, 21 Sep 2026 14:13:00 GMT", 0.0),
        ("Mon, 99 Sep 2026 14:13:00 GMT", None),
    ],
)
def test_a_pause_is_read_as_integer_fraction_or_date(header: str | None, seconds: float | None) -> None:
    assert graph_answers.pause(header, NOW) == seconds


@given(st.text(max_size=40))
def test_any_header_gives_a_sensible_pause_or_none(header: str) -> None:
    seconds = graph_answers.pause(header, NOW)
    assert seconds is None or 0.0 <= seconds <= graph_answers.LONGEST_PAUSE


def code(error: object) -> str:
    return graph_answers.error_code(msgspec.json.encode({"error": error}))


def test_the_deepest_known_code_counts() -> None:
    inner = {"code": "MailboxNotEnabledForRESTAPI", "innererror": {"code": "SomethingElse"}}
    assert code({"code": "ResourceNotFound", "innerError": inner}) == "MailboxNotEnabledForRESTAPI"


def test_an_inner_number_is_not_a_code() -> None:
    assert code({"code": "TooManyRequests", "innerError": {"code": "429"}}) == "TooManyRequests"


def test_an_unknown_outer_code_stays() -> None:
    assert code({"code": "NewTrouble", "innerError": {"code": "Deeper"}}) == "NewTrouble"


@pytest.mark.parametrize(
    "error", [None, "text", [], {}, {"code": 7}, {"code": ""}, {"code": "a person@example.org"}, {"innerError": "x"}]
)
def test_what_is_not_a_code_is_no_code(error: object) -> None:
    assert code(error) == ""


@given(st.binary(max_size=200))
def test_any_body_gives_a_loggable_code(body: bytes) -> None:
    found = graph_answers.error_code(body)
    assert found == "" or found.replace("_", "").replace(".", "").replace("-", "").isalnum()


def test_a_path_shows_only_its_fixed_words() -> None:
    assert graph_answers.shape("/v1.0/users/someone@example.org/calendarView") == "/v1.0/users/*/calendarView"


def test_half_a_surrogate_pair_does_not_spoil_the_page() -> None:
    assert graph_answers.decode(b'{"preview":"see \\ud83d"}', dict) == {"preview": "see ?"}


def test_a_cut_page_is_refused_even_with_a_surrogate_in_it() -> None:
    with pytest.raises(msgspec.DecodeError):
        graph_answers.decode(b'{"preview":"see \\ud83d', dict)
