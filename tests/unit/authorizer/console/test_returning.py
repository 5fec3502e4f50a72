"""Where a browser may be sent back to: below a listed address and nowhere else, whoever reads the address."""

from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.authorizer.console.returning import LONGEST, is_listable, may_return, origin

LISTED = ("https://platform.example/admin/", "https://other.example:8443")
GOOD = (
    "https://platform.example/admin",
    "https://platform.example/admin/",
    "https://platform.example/admin/calendars?org=acme#top",
    "https://PLATFORM.example/admin/x",
    "https://platform.example:443/admin/x",
    "https://other.example:8443/anything",
)
BAD = (
    "",
    "/admin/",
    "//platform.example/admin/",
    "http://platform.example/admin/",
    "https://platform.example/",
    "https://platform.example/administrators",
    "https://platform.example/admin/../evil",
    "https://platform.example/admin/%2e%2e/evil",
    "https://platform.example/admin/%252e%252e/evil",
    "https://platform.example/admin/..%2fevil",
    "https://platform.example/admin/%5c..%5cevil",
    "https://platform.example/admin//evil.example",
    "https://platform.example.evil.example/admin/",
    "https://platform.example@evil.example/admin/",
    "https://evil.example/admin/?https://platform.example/admin/",
    "https://evil.example\\@platform.example/admin/",
    "https:\\\\platform.example/admin/",
    "https:/platform.example/admin/",
    "https:platform.example/admin/",
    "https://platform.example:8443/admin/",
    "https://platform.example:port/admin/",
    "https://other.example/anything",
    "https://platform.example/admin/\r\nSet-Cookie: a=b",
    "https://platform.example/admin/\tx",
    " https://platform.example/admin/",
    "javascript:alert(1)",
    "data:text/html,x",
    "https://platform.ex\u0430mple/admin/",
    "https://[::1/admin/",
    "https://platform.example/admin/" + "x" * LONGEST,
)


@pytest.mark.parametrize("address", GOOD)
def test_below_a_listed_address_is_fine(address: str) -> None:
    assert may_return(address, LISTED)


@pytest.mark.parametrize("address", BAD)
def test_every_other_address_is_refused(address: str) -> None:
    assert not may_return(address, LISTED)


@given(st.text(max_size=60))
def test_whatever_may_be_returned_to_has_a_listed_origin_and_climbs_nowhere(tail: str) -> None:
    for start in ("https://platform.example/admin/", "https://platform.example", "https://", ""):
        address = start + tail
        if may_return(address, LISTED[:1]):
            parts = urlsplit(address)
            assert (parts.scheme, parts.hostname, parts.port or 443) == ("https", "platform.example", 443)
            assert "/admin" in parts.path
            assert ".." not in parts.path.split("/")


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text_escaped_once_may_follow_a_listed_address_unless_it_climbs(text: str) -> None:
    climbs = any(part in {".", ".."} for part in text.split("/")) or "\\" in text or "//" in text or "%" in text
    if not climbs and not text.startswith("/"):
        assert may_return("https://platform.example/admin/" + quote(text, safe=""), LISTED)


@pytest.mark.parametrize("address", ["https://a.example", "https://a.example:8443/x/", "http://127.0.0.1:9000/"])
def test_an_operator_lists_https_or_this_machine(address: str) -> None:
    assert is_listable(address)


@pytest.mark.parametrize(
    "address", ["http://a.example/", "https://a.example/?x", "https://a.example/#x", "a.example", "https://u@a.example"]
)
def test_an_operator_lists_nothing_else(address: str) -> None:
    assert not is_listable(address)


def test_an_origin_is_an_address_without_its_path() -> None:
    assert origin("https://other.example:8443/x/") == "https://other.example:8443"
