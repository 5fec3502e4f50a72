"""Autodiscover: where EWS is for an address, elsewhere, or nowhere; in both forms."""

from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from deploy.sandbox.answers import Answer, Ask
from deploy.sandbox.ews import autodiscover
from deploy.sandbox.ews.autodiscover import A_NS, ASKED_NS, OUTLOOK_NS, POX_NS
from tests.unit.sandbox.asking import BASE
from tests.unit.sandbox.asking_ews import PERSON, EwsCaller, basic, ews_caller

SOAP, POX = "/autodiscover/autodiscover.svc", "/Autodiscover/Autodiscover.xml"
NAMES = {"a": A_NS, "o": OUTLOOK_NS, "p": POX_NS}
ALL = ("ExternalEwsUrl", "InternalEwsUrl", "GroupingInformation")


@pytest.fixture
def asking(tmp_path: Path) -> EwsCaller:
    return ews_caller(tmp_path, events=1)


def ask(asking: EwsCaller, path: str, body: str, **changes: Any) -> Answer:
    headers = {"authorization": basic(), "host": "127.0.0.1:8443"} | changes.pop("headers", {})
    said = {"method": "POST", "path": path, "headers": headers, "body": body.encode(), "base": BASE} | changes
    return autodiscover.answer(asking.state, Ask(**said), {})


def settings(*users: str, names: tuple[str, ...] = ALL) -> str:
    asked = "".join(f"<a:User><a:Mailbox>{user}</a:Mailbox></a:User>" for user in users)
    wanted = "".join(f"<a:Setting>{name}</a:Setting>" for name in names)
    return (
        f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:a="{A_NS}"><s:Body>'
        f"<a:GetUserSettingsRequestMessage><a:Request><a:Users>{asked}</a:Users>"
        f"<a:RequestedSettings>{wanted}</a:RequestedSettings></a:Request></a:GetUserSettingsRequestMessage>"
        "</s:Body></s:Envelope>"
    )


def outlook(address: str) -> str:
    return (
        f'<Autodiscover xmlns="{ASKED_NS}"><Request><EMailAddress>{address}</EMailAddress>'
        f"<AcceptableResponseSchema>{OUTLOOK_NS}</AcceptableResponseSchema></Request></Autodiscover>"
    )


def responses(asking: EwsCaller, *users: str, names: tuple[str, ...] = ALL) -> list[etree._Element]:
    answer = ask(asking, SOAP, settings(*users, names=names))
    assert (answer.status, answer.content_type) == (200, "text/xml; charset=utf-8")
    return list(etree.fromstring(answer.body).iterfind(".//a:UserResponse", NAMES))


def found(response: etree._Element) -> dict[str, str]:
    pairs = response.iterfind("a:UserSettings/a:UserSetting", NAMES)
    return {str(each.findtext("a:Name", None, NAMES)): str(each.findtext("a:Value", None, NAMES)) for each in pairs}


def test_who_has_a_mailbox_here_learns_where_ews_is(asking: EwsCaller) -> None:
    (response,) = responses(asking, PERSON.upper())
    assert response.findtext("a:ErrorCode", None, NAMES) == "NoError"
    said = found(response)
    assert said["ExternalEwsUrl"] == said["InternalEwsUrl"] == f"{BASE}/EWS/Exchange.asmx"
    assert said["GroupingInformation"].startswith("mailbox-")


def test_mailboxes_are_spread_over_groups(asking: EwsCaller) -> None:
    people = [person.address for person in asking.changes.mailboxes()]
    groups = {found(each)["GroupingInformation"] for each in responses(asking, *people)}
    assert len(groups) > 1


@pytest.mark.parametrize("address", ["no.body@sandbox.example", "premises.0001@sandbox.example"])
def test_each_user_has_an_error_of_its_own(asking: EwsCaller, address: str) -> None:
    first, second = responses(asking, address, PERSON)
    assert first.findtext("a:ErrorCode", None, NAMES) == "InvalidUser"
    assert second.findtext("a:ErrorCode", None, NAMES) == "NoError"


def test_a_setting_that_is_not_known_is_named(asking: EwsCaller) -> None:
    (response,) = responses(asking, PERSON, names=("ExternalEwsUrl", "MailboxDN"))
    assert response.findtext(".//a:SettingName", None, NAMES) == "MailboxDN"
    assert set(found(response)) == {"ExternalEwsUrl"}


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("other@sandbox.example", "RedirectAddress"),
        ("https://other.example/autodiscover/autodiscover.svc", "RedirectUrl"),
    ],
)
def test_a_user_can_be_sent_elsewhere(asking: EwsCaller, target: str, code: str) -> None:
    asking.orders.redirect(PERSON, target)
    (response,) = responses(asking, PERSON)
    assert response.findtext("a:ErrorCode", None, NAMES) == code
    assert response.findtext("a:RedirectTarget", None, NAMES) == target
    asking.orders.redirect(PERSON, "")
    assert found(responses(asking, PERSON)[0])


def test_a_request_without_users_is_invalid(asking: EwsCaller) -> None:
    answer = ask(asking, SOAP, settings())
    assert b"InvalidRequest" in answer.body


def test_the_older_form_names_the_same_address(asking: EwsCaller) -> None:
    root = etree.fromstring(ask(asking, POX, outlook(PERSON)).body)
    assert root.findtext(".//o:Account/o:Action", None, NAMES) == "settings"
    urls = [each.text for each in root.iterfind(".//o:Protocol/o:EwsUrl", NAMES)]
    assert set(urls) == {f"{BASE}/EWS/Exchange.asmx"}
    assert root.findtext(".//o:AutoDiscoverSMTPAddress", None, NAMES) == PERSON


def test_the_older_form_redirects_and_refuses(asking: EwsCaller) -> None:
    asking.orders.redirect(PERSON, "other@sandbox.example")
    root = etree.fromstring(ask(asking, POX, outlook(PERSON)).body)
    assert root.findtext(".//o:RedirectAddr", None, NAMES) == "other@sandbox.example"
    asking.orders.redirect(PERSON, "https://other.example/x.xml")
    root = etree.fromstring(ask(asking, POX, outlook(PERSON)).body)
    assert root.findtext(".//o:RedirectUrl", None, NAMES) == "https://other.example/x.xml"
    root = etree.fromstring(ask(asking, POX, outlook("no.body@sandbox.example")).body)
    assert root.findtext(".//p:ErrorCode", None, NAMES) == "500"


@pytest.mark.parametrize("path", [SOAP, POX])
def test_strangers_are_asked_to_sign_in(asking: EwsCaller, path: str) -> None:
    answer = ask(asking, path, settings(PERSON), headers={"authorization": ""})
    assert answer.status == 401
    wrong = ask(asking, path, settings(PERSON), headers={"authorization": basic(password="wrong")})
    assert wrong.status == 401
    assert sum(asking.state.ews.failed_sign_ins.values()) == 1


@pytest.mark.parametrize("body", ["", "no xml", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><x>&e;</x>'])
def test_what_is_not_plain_xml_is_refused(asking: EwsCaller, body: str) -> None:
    assert ask(asking, SOAP, body).status == 400


def test_only_posts_are_answered(asking: EwsCaller) -> None:
    assert ask(asking, SOAP, "", method="GET").status == 405
