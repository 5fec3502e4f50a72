"""Which addresses a tenant's secrets may be sent to."""

import pytest

from shared.clouds import NAMES, cloud
from shared.errors import Reject


@pytest.mark.parametrize(
    ("name", "login", "scope"),
    [
        ("global", "https://login.microsoftonline.com", "https://graph.microsoft.com/.default"),
        ("us_government", "https://login.microsoftonline.us", "https://graph.microsoft.us/.default"),
        ("us_dod", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us/.default"),
        ("china", "https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn/.default"),
        ("france", "https://login.sovcloud-identity.fr", "https://graph.svc.sovcloud.fr/.default"),
    ],
)
def test_each_cloud_has_its_own_sign_in_and_scope(name: str, login: str, scope: str) -> None:
    found = cloud(name)
    assert (found.name, found.login, found.scope) == (name, login, scope)
    assert found.graph.endswith("/v1.0")


def test_the_sandbox_is_a_cloud_where_an_operator_says_so() -> None:
    found = cloud("sandbox", sandbox_url="https://127.0.0.1:8443/")
    assert found.login == "https://127.0.0.1:8443"
    assert found.graph == "https://127.0.0.1:8443/v1.0"
    assert found.scope == "https://127.0.0.1:8443/.default"


@pytest.mark.parametrize(
    ("name", "url"),
    [("", ""), ("Global", ""), ("moon", ""), ("sandbox", ""), ("sandbox", "http://127.0.0.1:80"), ("germany ", "")],
)
def test_any_other_name_is_rejected(name: str, url: str) -> None:
    with pytest.raises(Reject) as caught:
        cloud(name, sandbox_url=url)
    assert caught.value.reason == "cloud_unknown"


def test_a_sandbox_does_not_move_the_other_clouds() -> None:
    moved = {cloud(name, sandbox_url="https://127.0.0.1:1").login for name in NAMES if name != "sandbox"}
    assert not any("127.0.0.1" in login for login in moved)
