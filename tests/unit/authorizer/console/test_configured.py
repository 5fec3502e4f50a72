"""What an operator sets of the setup page, and the sentence for each mistake."""

from pathlib import Path

import msgspec
import pytest

from services.authorizer.console.configured import listed, setup_settings
from services.authorizer.settings import Settings
from shared import config
from shared.config import Secret, SettingsError

KEY = "k" * 32
GOOD = Settings(setup_url="https://setup.example", setup_link_keys=Secret(KEY))


def changed(**values: object) -> Settings:
    return msgspec.structs.replace(GOOD, **values)


def test_what_is_set_is_what_pages_are_given(tmp_path: Path) -> None:
    terms = tmp_path / "terms.txt"
    terms.write_text("Be kind.\n", encoding="utf-8")
    told = setup_settings(
        changed(
            setup_link_keys=Secret(f"{KEY}\n{'n' * 40},\n"),
            setup_return_to="https://a.example/x/, https://b.example",
            setup_terms_file=str(terms),
            setup_terms_version="2026-11",
            setup_egress="198.51.100.7,2001:db8::7",
            setup_product="Example Calendars",
        )
    )
    assert told.public_url == "https://setup.example"
    assert told.link_keys == (KEY, "n" * 40)
    assert told.return_to == ("https://a.example/x/", "https://b.example")
    assert (told.terms, told.terms_version) == ("Be kind.", "2026-11")
    assert told.egress == ("198.51.100.7", "2001:db8::7")
    assert told.product == "Example Calendars"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"setup_link_keys": Secret()}, "needs BUSYLINE_AUTHORIZER_SETUP_LINK_KEYS"),
        ({"setup_link_keys": Secret(f"{KEY},short-canary")}, "shorter than 32 bytes"),
        ({"setup_return_to": "http://a.example/"}, "SETUP_RETURN_TO"),
        ({"setup_return_to": "https://a.example/ https://b.example/"}, "SETUP_RETURN_TO"),
        ({"setup_terms_file": "/nowhere/terms"}, "SETUP_TERMS_FILE cannot be read"),
    ],
)
def test_each_mistake_has_a_sentence_that_names_the_setting(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        setup_settings(changed(**values))
    assert "canary" not in str(caught.value)


def test_terms_need_a_version_and_some_text(tmp_path: Path) -> None:
    terms = tmp_path / "terms.txt"
    terms.write_text("Be kind.", encoding="utf-8")
    with pytest.raises(ValueError, match="SETUP_TERMS_VERSION"):
        setup_settings(changed(setup_terms_file=str(terms)))
    terms.write_text(" \n", encoding="utf-8")
    with pytest.raises(ValueError, match="empty or too large"):
        setup_settings(changed(setup_terms_file=str(terms), setup_terms_version="1"))


@pytest.mark.parametrize("url", ["", "https://setup.example", "https://s.example:8443", "http://127.0.0.1:8090"])
def test_an_address_of_the_setup_page(url: str) -> None:
    assert config.load(Settings, {"BUSYLINE_AUTHORIZER_SETUP_URL": url}, "authorizer").setup_url == url


@pytest.mark.parametrize(
    "url",
    ["http://setup.example", "https://setup.example/", "https://setup.example/x", "https://u@setup.example", "setup"],
)
def test_no_address_of_a_setup_page(url: str) -> None:
    with pytest.raises(SettingsError, match="BUSYLINE_AUTHORIZER_SETUP_URL"):
        config.load(Settings, {"BUSYLINE_AUTHORIZER_SETUP_URL": url}, "authorizer")


def test_a_list_is_separated_by_commas_or_lines() -> None:
    assert listed(" a ,\n b,,c\n") == ["a", "b", "c"]
