"""EWS changed over the control API: each call does what its method does, and refuses what it does not know."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from deploy.sandbox import control
from deploy.sandbox.answers import Ask
from deploy.sandbox.ews.listeners import Happening, Listeners, Listening
from tests.unit.sandbox.asking_ews import PASSWORD, PERSON, UPN, EwsCaller, basic, ews_caller

ALL = "all.calendars@sandbox.example"
LISTS = "<m:GetRoomLists/>"


@pytest.fixture
def asking(tmp_path: Path) -> EwsCaller:
    return ews_caller(tmp_path, events=2)


def call(asking: EwsCaller, method: str, path: str, body: Any = None, query: str = "") -> tuple[int, Any]:
    raw = b"" if body is None else msgspec.json.encode(body)
    headers = {"authorization": f"Bearer {asking.state.control_token}"}
    asked = Ask(method=method, path=f"/control/{quote(path)}", query=query, headers=headers, body=raw)
    answer = control.answer(asking.state, asked)
    return answer.status, msgspec.json.decode(answer.body)


async def test_what_is_known_of_ews_is_shown_without_passwords(asking: EwsCaller) -> None:
    await asking.ask(LISTS)
    await asking.ask(LISTS, authorization=basic(password="wrong"))
    status, shown = call(asking, "GET", "ews")
    assert status == 200
    assert (shown["sign_ins"], shown["failed_sign_ins"]) == ({"basic": 1}, {UPN: 1})
    assert [account["upn"] for account in shown["accounts"]] == [UPN]
    assert PASSWORD not in msgspec.json.encode(shown).decode()
    assert call(asking, "DELETE", "ews/sign-ins")[0] == 200
    assert call(asking, "GET", "ews")[1]["sign_ins"] == {}


async def test_manners_can_be_changed(asking: EwsCaller) -> None:
    said = {"without": ["GetRoomLists"], "fault_status": 200, "schemes": ["basic"]}
    assert call(asking, "PATCH", "ews", said)[1]["fault_status"] == 200
    assert (await asking.fault(LISTS))[0] == 200
    assert (await asking.ask(LISTS, authorization="")).headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize("wrong", [{"rude": True}, {"minute": "long"}, {"schemes": "basic"}])
def test_unknown_manners_are_refused(asking: EwsCaller, wrong: dict[str, Any]) -> None:
    assert call(asking, "PATCH", "ews", wrong)[0] == 400


async def test_an_account_can_be_changed_and_another_added(asking: EwsCaller) -> None:
    assert call(asking, "PATCH", f"ews/accounts/{UPN}", {"password": "another", "scope": "*"})[0] == 200
    assert (await asking.ask(LISTS)).status == 401
    assert (await asking.ask(LISTS, authorization=basic(password="another"))).status == 200
    other = {
        "domain": "SANDBOX", "user": "two", "upn": "two@sandbox.example", "password": "p",
        "tenant_id": asking.tenant.tenant_id,
    }  # fmt: skip
    assert call(asking, "POST", "ews/accounts", other)[0] == 200
    assert (await asking.ask(LISTS, authorization=basic("two", "p"))).status == 200


def test_an_unknown_account_and_a_password_of_two_lines_are_refused(asking: EwsCaller) -> None:
    assert call(asking, "PATCH", "ews/accounts/nobody", {"locked": True})[0] == 404
    assert call(asking, "PATCH", f"ews/accounts/{UPN}", {"password": "a\nb"})[0] == 400
    assert call(asking, "PATCH", f"ews/accounts/{UPN}", {"colour": "red"})[0] == 400


async def test_a_group_gains_and_loses_members(asking: EwsCaller) -> None:
    asking.changes.add_user("new@sandbox.example")
    assert (await asking.fault(LISTS, impersonated="new@sandbox.example"))[1] == "ErrorImpersonateUserDenied"
    said = {"add": ["new@sandbox.example"], "remove": [PERSON], "hidden": True}
    assert call(asking, "PATCH", f"ews/groups/{ALL}", said)[0] == 200
    assert (await asking.ask(LISTS, impersonated="new@sandbox.example")).status == 200
    assert (await asking.fault(LISTS, impersonated=PERSON))[1] == "ErrorImpersonateUserDenied"
    assert asking.state.ews.hidden == {(asking.tenant.tenant_id, ALL)}
    assert call(asking, "PATCH", "ews/groups/none@sandbox.example", said)[0] == 404


async def test_a_secondary_address_and_a_redirect_can_be_given(asking: EwsCaller) -> None:
    first = "first@sandbox.example"
    assert call(asking, "POST", "ews/aliases", {"mailbox": PERSON, "address": first})[0] == 200
    assert (await asking.fault(LISTS, impersonated=first))[1] == "ErrorNonPrimarySmtpAddress"
    assert call(asking, "POST", "ews/redirects", {"address": PERSON, "target": first})[0] == 200
    assert asking.state.ews.redirects == {PERSON: first}
    assert call(asking, "POST", "ews/redirects", {"address": PERSON})[0] == 400


def test_an_event_is_deleted_as_people_do(asking: EwsCaller) -> None:
    listening = heard(asking)
    event = call(asking, "GET", f"mailboxes/{PERSON}/events")[1]["events"][0]["item_id"]
    assert call(asking, "DELETE", f"mailboxes/{PERSON}/events/{event}", query="moved=true")[0] == 200
    assert [each.kind for each in listening.waiting] == ["moved"]


def test_subscriptions_can_vanish(asking: EwsCaller) -> None:
    listeners: Listeners = asking.state.ews.listeners
    listening = heard(asking)
    assert call(asking, "DELETE", "ews/subscriptions/another")[0] == 200
    assert listeners.living(0.0) == [listening]
    assert call(asking, "DELETE", "ews/subscriptions")[0] == 200
    assert listeners.living(0.0) == []


def heard(asking: EwsCaller) -> Listening:
    made = Listening(
        id="one",
        tenant_id=asking.tenant.tenant_id,
        user_id=str(getattr(asking.tenant.person(PERSON), "user_id", "")),
        kinds=frozenset({"created", "updated", "deleted", "moved"}),
        server="",
        bound=False,
        ends=60.0,
    )
    asking.state.ews.listeners.add(made)
    return made


def test_a_subscription_nobody_listens_to_keeps_the_newest_events_only() -> None:
    listeners = Listeners()
    made = Listening(id="one", tenant_id="t", user_id="u", kinds=frozenset({"created"}), server="", bound=False, ends=9)
    listeners.add(made)
    for number in range(1500):
        listeners.tell(("t", "u"), Happening(kind="created", item_id=str(number), at=number))
    assert [each.item_id for each in made.waiting] == [str(number) for number in range(500, 1500)]
    assert listeners.find("one", 9.0) is None
