"""Which URLs a webhook may have."""

import pytest

from services.publisher.webhooks.urls import fault_of
from shared.addresses import networks_of

INNER = networks_of("10.0.0.0/8,127.0.0.0/8")


@pytest.mark.parametrize(
    "url",
    ["http://consumer.example/", "https://user@consumer.example/", "https://u:p@consumer.example/",
     "https://@consumer.example/", "https://consumer.example/#part", "https://consumer.example/#",
     "ftp://consumer.example/", "consumer.example", "https://", "https:///path", "https://127.0.0.1/", "https://[::1]/",
     "https://10.0.0.1:8443/", "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/latest",
     "https://consumer.example:0/", "https://consumer.example:99999/", "https://consumer.example:x/",
     "https://consumer.example/a b", "https://b\u00fccher.example/", "https://consumer.example\\@127.0.0.1/",
     "https://consumer.example/\n", "https://consumer.example/" + "a" * 2048, "javascript:alert(1)",
     "https://[fe80::1%25eth0]/", "https://[::1", "//consumer.example/", "", "https:consumer.example"],
)  # fmt: skip
def test_a_url_that_may_not_be_used_has_a_fault(url: str) -> None:
    assert fault_of(url, ())


@pytest.mark.parametrize(
    "url",
    ["https://consumer.example/", "https://consumer.example", "HTTPS://Consumer.Example:8443/a?b=c&d=%20",
     "https://52.96.0.1/hook", "https://[2a01:111::1]:9/", "https://xn--bcher-kva.example/"],
)  # fmt: skip
def test_an_https_url_of_a_name_or_a_public_address_may_be_used(url: str) -> None:
    assert fault_of(url, ()) is None


@pytest.mark.parametrize(
    ("url", "fits"),
    [("http://10.1.2.3/", True), ("https://10.1.2.3/", True), ("http://consumer.internal/", True),
     ("http://52.96.0.1/", False), ("https://192.168.1.1/", False), ("http://127.0.0.1:8000/", True)],
)  # fmt: skip
def test_an_operator_opens_networks_and_plain_http_within_them(url: str, fits: bool) -> None:
    assert (fault_of(url, INNER) is None) is fits
