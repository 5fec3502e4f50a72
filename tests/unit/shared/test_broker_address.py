"""Broker URLs: read once, quoted never."""

import pytest

from shared.broker import address, open_broker


def test_a_short_url_means_the_defaults() -> None:
    parsed = address.parse("amqp://broker")
    assert (parsed.host, parsed.port, parsed.user, parsed.vhost, parsed.tls) == ("broker", 5672, "guest", "/", None)


@pytest.mark.parametrize(
    ("path", "vhost"), [("", "/"), ("/", "/"), ("/%2F", "/"), ("//", "/"), ("/busyline", "busyline")]
)
def test_the_vhost_is_read_as_either_library_reads_it(path: str, vhost: str) -> None:
    assert address.parse(f"amqp://broker{path}").vhost == vhost


def test_user_and_password_may_hold_any_character() -> None:
    parsed = address.parse("amqp://us%40er:p%2Fw%3A@broker:5673/x")
    assert (parsed.user, parsed.password, parsed.port) == ("us@er", "p/w:", 5673)


def test_an_encrypted_connection_has_its_own_port_and_checks_the_servers_name() -> None:
    parsed = address.parse("amqps://broker")
    assert parsed.port == 5671
    assert parsed.tls is not None
    assert parsed.tls.context().check_hostname


def test_an_address_does_not_print_its_password() -> None:
    assert "geheim" not in repr(address.parse("amqp://user:geheim@broker"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "redis://:geheim@x",
        "amqp://",
        "amqp://user:geheim@[broker",
        "amqp://user:geheim@broker:port",
        "amqps://user:geheim@broker?cacertfile=/geheim/absent.pem",
    ],
)
def test_a_wrong_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r"broker URL") as refused:
        open_broker(url)
    assert "geheim" not in str(refused.value)
