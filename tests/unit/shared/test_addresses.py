"""Which addresses an outsider may have us dial where private networks are not meant."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.addresses import allowed, networks_of, public, within

EVERYWHERE = networks_of("0.0.0.0/0, ::/0")


@pytest.mark.parametrize(
    "printed",
    ["127.0.0.1", "127.8.9.10", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
     "100.64.0.1", "100.100.100.200", "169.254.169.254", "168.63.129.16", "192.0.0.192", "198.18.0.1", "192.0.2.1",
     "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fc00::1",
     "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1", "fd00:ec2::254", "::ffff:127.0.0.1",
     "::ffff:10.1.2.3", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::1",
     "3fff::1", "192.0.0.8", "192.88.99.1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:80ff:fffe"],
)  # fmt: skip
def test_no_inner_address_is_public_in_any_disguise(printed: str) -> None:
    assert not public(ip_address(printed), ())


@pytest.mark.parametrize(
    "printed",
    ["52.96.0.1", "1.1.1.1", "2a01:111::1", "::ffff:52.96.0.1", "64:ff9b::52.96.0.1", "2002:3460:1::"],
)
def test_an_address_of_the_open_internet_is_public(printed: str) -> None:
    assert public(ip_address(printed), ())


def test_an_operator_may_open_a_private_network_and_it_alone() -> None:
    near = networks_of("10.1.0.0/16, fd12::/16")
    assert all(public(ip_address(printed), near) for printed in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::9"))
    assert not any(public(ip_address(printed), near) for printed in ("10.2.0.1", "fd13::1", "127.0.0.1"))


@pytest.mark.parametrize("wrong", ["localhost", "10.0.0.0/33", "127.0.0.1/8", "10.0.0.0/8;::1/128"])
def test_a_network_that_is_none_is_an_error(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"network|host bits"):
        networks_of(wrong)


addresses = st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address))


@given(addresses)
def test_what_is_public_is_allowed_where_private_ranges_are_and_an_operator_may_allow_anything(
    address: IPv4Address | IPv6Address,
) -> None:
    assert allowed(address, ()) or not public(address, ())
    assert public(address, EVERYWHERE)
    assert within(address, EVERYWHERE)


@given(st.integers(0, 2**32 - 1))
def test_an_address_is_judged_alike_plain_and_mapped_and_translated(number: int) -> None:
    plain = IPv4Address(number)
    for base in ("::ffff:0:0", "64:ff9b::"):
        assert public(IPv6Address(int(IPv6Address(base)) + number), ()) is public(plain, ())
    assert public(plain, (ip_network("0.0.0.0/0"),))
