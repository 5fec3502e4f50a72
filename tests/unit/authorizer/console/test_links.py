"""A platform's link: what a good one says, and the one word for each way of being bad."""

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.authorizer.console.links import LONGEST, SKEW, Link, LinkRefused, address, checked, signed

NOW = 1_800_000_000
KEY = "a key of the platform, 32 bytes or more"
FORMER = "the key that was used before, long enough"
PUBLIC = "https://setup.example"
BACK = "https://platform.example/admin/"
CLAIMS = {
    "org_id": "acme",
    "sub": "user-7",
    "role": "it_admin",
    "jti": "0123456789abcdef",
    "iat": NOW,
    "exp": NOW + 300,
    "aud": PUBLIC + "/setup",
}


def opened(token: str, *, now: int = NOW, keys: tuple[str, ...] = (KEY, FORMER)) -> Link:
    return checked(token, keys=keys, public_url=PUBLIC, return_to=(BACK,), now=now)


def refusal(token: str, **rest: Any) -> str:
    with pytest.raises(LinkRefused) as caught:
        opened(token, **rest)
    return str(caught.value.reason)


def made(key: str = KEY, headers: dict[str, Any] | None = None, **changed: Any) -> str:
    claims = {name: value for name, value in {**CLAIMS, **changed}.items() if value is not None}
    return jwt.encode(claims, key, algorithm="HS256", headers=headers)


def test_a_good_link_says_who_comes_for_which_org_and_where_they_return_to() -> None:
    link = opened(made(return_to=BACK + "calendars"))
    assert (link.org_id, link.actor, link.return_to) == ("acme", "user-7", BACK + "calendars")
    assert (link.issued_at, link.expires_at) == (NOW, NOW + 300)


def test_a_link_of_ours_is_one_that_a_platform_could_have_made() -> None:
    token = signed("acme", "user-7", key=KEY, public_url=PUBLIC, now=NOW, seconds=60, return_to=BACK)
    assert opened(token) == opened(token, now=NOW + 59)
    assert address(token, PUBLIC) == f"https://setup.example/setup/enter?link={token}"


def test_two_links_are_never_the_same_one() -> None:
    first, second = (opened(signed("a", "b", key=KEY, public_url=PUBLIC, now=NOW)) for _ in range(2))
    assert first.link_hash != second.link_hash


def test_a_link_signed_with_a_former_key_still_opens() -> None:
    assert opened(made(FORMER)).org_id == "acme"


def test_the_key_that_a_link_names_makes_no_difference() -> None:
    assert opened(made(headers={"kid": "../../dev/null"})).org_id == "acme"


@pytest.mark.parametrize("now", [NOW + 300, NOW + 301, NOW + 10_000])
def test_a_link_expires_at_the_second_it_says(now: int) -> None:
    assert refusal(made(), now=now) == "expired"


def test_the_platforms_clock_may_be_a_little_ahead() -> None:
    assert opened(made(iat=NOW + SKEW, exp=NOW + SKEW + LONGEST)).org_id == "acme"
    assert refusal(made(iat=NOW + SKEW + 1, exp=NOW + SKEW + 2)) == "malformed"


def test_a_link_that_lives_longer_than_ten_minutes_is_refused() -> None:
    assert opened(made(exp=NOW + LONGEST)).org_id == "acme"
    assert refusal(made(exp=NOW + LONGEST + 1)) == "malformed"


@pytest.mark.parametrize("role", ["member", "IT_ADMIN", "it_admin ", "", "owner"])
def test_another_role_is_refused_by_its_own_word(role: str) -> None:
    assert refusal(made(role=role)) == "role"


def test_an_address_to_return_to_that_is_not_listed_is_refused_by_its_own_word() -> None:
    assert refusal(made(return_to="https://evil.example/admin/")) == "return_to"


@pytest.mark.parametrize(
    "changed",
    [
        *({name: None} for name in CLAIMS),
        *({name: []} for name in CLAIMS),
        *({name: True} for name in CLAIMS),
        *({name: 7.5} for name in CLAIMS if name not in {"iat", "exp"}),
        {"iat": "soon"},
        {"exp": "late"},
        {"org_id": "../etc"},
        {"org_id": "acme\n"},
        {"org_id": "a" * 65},
        {"sub": ""},
        {"sub": "a" * 321},
        {"sub": "two\nlines"},
        {"sub": "turned\u202eround"},
        {"jti": "short"},
        {"jti": "x" * 129},
        {"jti": "ä" * 20},
        {"aud": "https://setup.example"},
        {"aud": "https://other.example/setup"},
        {"aud": ["https://setup.example/setup"]},
        {"iat": NOW + 1, "exp": NOW},
        {"exp": -5},
        {"exp": 1e300},
        {"return_to": 5},
    ],
    ids=str,
)
def test_a_link_with_a_claim_missing_or_wrong_cannot_be_read(changed: dict[str, Any]) -> None:
    assert refusal(made(**changed)) == "malformed"


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def test_an_unsigned_link_is_not_trusted() -> None:
    for algorithm in ("none", "None", "NONE"):
        token = f"{encoded({'alg': algorithm, 'typ': 'JWT'})}.{encoded(CLAIMS)}."
        assert refusal(token) in {"signature", "malformed"}


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_is_not_taken_even_with_the_key(algorithm: str) -> None:
    key = KEY * 2
    assert refusal(jwt.encode(CLAIMS, key, algorithm=algorithm), keys=(key,)) == "signature"


def test_a_link_signed_by_somebody_else_is_not_trusted() -> None:
    assert refusal(made("a key that nobody here has ever heard of")) == "signature"


def test_claims_changed_after_signing_are_not_trusted() -> None:
    header, _, signature = made().split(".")
    assert refusal(f"{header}.{encoded({**CLAIMS, 'org_id': 'globex'})}.{signature}") == "signature"


def test_without_keys_nothing_opens() -> None:
    assert refusal(made(), keys=()) == "signature"


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_no_text_whatever_opens_anything_or_fails_otherwise(token: str) -> None:
    assert refusal(token) in {"malformed", "signature"}


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from([*CLAIMS, "return_to", "crit", "nbf"]),
        st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | st.lists(st.integers()),
    )
)
def test_whatever_a_signed_link_claims_it_opens_for_an_admin_only_or_is_refused(changed: dict[str, Any]) -> None:
    try:
        link = opened(made(**changed))
    except LinkRefused:
        return
    claims = {**CLAIMS, **changed}
    assert claims["role"] == "it_admin"
    assert link.org_id == claims["org_id"]
    assert NOW < link.expires_at <= NOW + SKEW + LONGEST


@given(st.integers(0, LONGEST), st.integers(-LONGEST, 2 * LONGEST))
def test_a_link_opens_exactly_while_it_lives(lifetime: int, later: int) -> None:
    token = signed("acme", "user-7", key=KEY, public_url=PUBLIC, now=NOW, seconds=lifetime)
    if lifetime > 0 and -SKEW <= later < lifetime:
        assert opened(token, now=NOW + later).org_id == "acme"
    else:
        assert refusal(token, now=NOW + later) in {"expired", "malformed"}


def test_a_link_too_long_to_be_one_is_not_even_opened() -> None:
    assert refusal(made(return_to=BACK + "x" * 9000)) == "malformed"
