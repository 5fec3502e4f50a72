"""Which addresses may be dialled, and that those alone are, whatever they are called or dressed as."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ews.dialling import Surroundings, Wire, allowed, dial, resolve, surroundings, tls_refusal
from shared.ews.errors import EwsError

NOWHERE = Surroundings()
HERE = surroundings("", "127.0.0.0/8")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as made:
        yield made


@pytest.mark.parametrize(
    "printed",
    ["127.0.0.1", "127.8.9.10", "0.0.0.0", "0.1.2.3", "169.254.1.1", "169.254.169.254", "100.100.100.200",
     "168.63.129.16", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0",
     "ff02::1", "fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "192.0.0.192",
     "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "2002:7f00:1::",
     "2002:a9fe:a9fe::1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "2001:0:4136:e378:8000:63bf:80ff:fffe"],
)  # fmt: skip
def test_an_address_of_our_own_machines_is_refused_in_every_disguise(printed: str) -> None:
    assert not allowed(ip_address(printed), ())


@pytest.mark.parametrize(
    "printed",
    ["10.1.2.3", "172.16.0.9", "192.168.1.20", "100.64.0.1", "198.51.100.7", "52.96.0.1", "fd12:3456::1", "fc00::1",
     "2a01:111::1", "::ffff:10.1.2.3", "64:ff9b::52.96.0.1", "2002:3460:1::"],
)  # fmt: skip
def test_an_address_where_an_exchange_server_may_live_is_allowed(printed: str) -> None:
    assert allowed(ip_address(printed), ())


def test_an_operator_may_allow_a_network_and_it_alone() -> None:
    near = surroundings("", " 127.0.0.0/8 , fe80::/10,")
    for printed in ("127.0.0.1", "::ffff:127.0.0.1", "fe80::1%eth0"):
        assert allowed(ip_address(printed), near.networks)
    for printed in ("169.254.169.254", "::1"):
        assert not allowed(ip_address(printed), near.networks)


@pytest.mark.parametrize("wrong", ["localhost", "10.0.0.0/33", "127.0.0.1/8", "10.0.0.0/8;::1/128"])
def test_a_network_that_is_none_is_an_error(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"network|host bits"):
        surroundings("", wrong)


def test_a_private_ca_that_cannot_be_read_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for wrong in ("empty.pem", "missing.pem"):
        with pytest.raises(ValueError, match="private CA"):
            surroundings(str(tmp_path / wrong), "")


@given(st.integers(0, 2**32 - 1))
def test_an_address_is_judged_alike_plain_and_mapped_and_translated(number: int) -> None:
    plain = IPv4Address(number)
    for base in ("::ffff:0:0", "64:ff9b::"):
        assert allowed(IPv6Address(int(IPv6Address(base)) + number), ()) is allowed(plain, ())
    assert allowed(plain, (ip_network("0.0.0.0/0"),))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::1]", "0"])
def test_no_spelling_of_this_machine_is_resolved(host: str) -> None:
    with pytest.raises(EwsError, match=r"address_refused|name_unknown"):
        resolve(host, 443, NOWHERE)


def test_this_machine_is_dialled_where_the_operator_allows_it(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert resolve("localhost", port, HERE) == [(socket.AF_INET, ("127.0.0.1", port))]
    with closing(dial("localhost", port, HERE)) as reached:
        assert reached.getpeername() == ("127.0.0.1", port)
    with pytest.raises(EwsError, match="address_refused"):
        dial("localhost", port, NOWHERE)


def test_without_tls_only_the_operators_networks_will_do() -> None:
    assert resolve("10.1.2.3", 80, NOWHERE)
    with pytest.raises(EwsError, match="address_refused"):
        resolve("10.1.2.3", 80, NOWHERE, plain=True)
    assert resolve("10.1.2.3", 80, surroundings("", "10.0.0.0/8"), plain=True)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70 + ".example", "", "ex ample", "b\u00fccher\u2024"])
def test_a_name_that_means_nothing_is_unknown(host: str) -> None:
    with pytest.raises(EwsError, match=r"name_unknown|address_refused"):
        resolve(host, 443, NOWHERE)


def test_where_nobody_listens_nothing_is_reached(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    with pytest.raises(EwsError, match="unreachable"):
        dial("127.0.0.1", port, HERE)


def test_a_wire_is_ended_from_outside_and_stays_so(listener: socket.socket) -> None:
    wire = Wire()
    port = listener.getsockname()[1]
    with closing(dial("127.0.0.1", port, HERE)) as reached, closing(dial("127.0.0.1", port, HERE)) as later:
        wire.hold(reached)
        wire.end()
        assert reached.recv(1) == b""
        wire.hold(later)
        assert later.recv(1) == b""
        wire.let_go()


def test_what_goes_wrong_with_tls_has_its_word() -> None:
    words = [
        tls_refusal(error).code
        for error in (ssl.SSLCertVerificationError(), ssl.SSLError(), TimeoutError(), ConnectionResetError())
    ]
    assert words == ["not_trusted", "not_tls", "timeout", "not_tls"]
