"""That the search for what must have vanished finds it in every form, and nothing that only looks like it."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.command import searching
from deploy.command.searching import Matcher, Wanted

ADDRESS = "person0001@contoso.com"
CANARY = Wanted("canary", "Projekt Öltanker/Süd")


def found(data: bytes, *wanted: Wanted, org_id: str = "") -> dict[str, int]:
    return Matcher(org_id, wanted).found(data)


def texts(least: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs")), min_size=least, max_size=40)


@given(texts(1), st.binary(max_size=40), st.binary(max_size=40))
def test_a_text_is_found_wherever_it_stands(text: str, before: bytes, after: bytes) -> None:
    assert found(before + text.encode() + after, Wanted("canary", text)) == {"canary": 1}


@given(texts(8), st.binary(max_size=5), st.binary(max_size=5))
def test_a_text_is_found_in_base64_at_any_place(text: str, before: bytes, after: bytes) -> None:
    whole = before + text.encode() + after
    for encoded in (base64.b64encode(whole), base64.urlsafe_b64encode(whole)):
        assert found(b"x " + encoded, Wanted("canary", text)) == {"canary": 1}


@given(texts(1))
def test_a_text_is_found_in_utf_16_and_escaped(text: str) -> None:
    for form in (
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        json.dumps(text).encode(),
        json.dumps(text, ensure_ascii=False).encode(),
        quote(text, safe="").encode(),
    ):
        assert found(b"<" + form + b">", Wanted("canary", text)) == {"canary": 1}


@pytest.mark.parametrize(
    "written",
    ["PERSON0001@Contoso.Com", "person0001@contoso.com", "person0001%40contoso.com", "PERSON0001%40CONTOSO.COM"],
)
def test_an_address_is_found_in_any_case(written: str) -> None:
    assert found(f"mailto:{written};".encode(), Wanted("address", ADDRESS)) == {"address": 1}


def test_an_address_is_found_in_utf_16_in_any_case() -> None:
    assert found("PERSON0001@CONTOSO.COM".encode("utf-16-le"), Wanted("address", ADDRESS))


def test_letters_beyond_ascii_are_found_in_capitals() -> None:
    assert found("PROJEKT ÖLTANKER/SÜD".encode(), CANARY)
    assert found(b'"Projekt \\u00d6ltanker\\/S\\u00fcd"', CANARY)


def test_another_address_is_not_found() -> None:
    assert not found(b"person0002@contoso.com person0001@contoso.org", Wanted("address", ADDRESS))


@pytest.mark.parametrize(
    "data", [b"acme", b'{"org_id":"acme"}', b"orgs/acme/status", b"acme-0a1b2c3d", b"a\0c\0m\0e\0"]
)
def test_an_org_is_found_as_a_word(data: bytes) -> None:
    assert found(data, org_id="acme") == {"org": 1}


@pytest.mark.parametrize(
    "data", [b"acme2", b"Acme", b"acme-eu", b"_acme", b"pacme", b"acme-0a1b2c3d4", b"a\0c\0m\0e\0x\0"]
)
def test_another_org_is_not_taken_for_it(data: bytes) -> None:
    assert not found(data, org_id="acme")


def test_many_texts_are_counted_by_kind() -> None:
    people = [Wanted("address", f"person{number:04}@contoso.com") for number in range(3000)]
    matcher = Matcher("acme", [*people, CANARY])
    data = b" ".join(person.text.upper().encode() for person in people[10:2010]) + CANARY.text.encode()
    assert matcher.found(data) == {"address": 2000, "canary": 1}
    assert matcher.found(base64.b64encode(b"?" + people[7].text.encode())) == {"address": 1}
    assert not matcher.found(b"person9999@contoso.com" * 100)


def test_a_text_cut_in_two_by_the_pieces_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PIECE", 16)
    matcher = Matcher("", [Wanted("address", ADDRESS)])
    for before in range(40):
        assert matcher.found(b"." * before + ADDRESS.encode() + b"." * 40) == {"address": 1}


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(ValueError, match="everywhere"):
        Matcher("acme", [Wanted("canary", " ")])
