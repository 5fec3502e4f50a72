"""That control changes what Graph answers next, and lets nobody in without its token."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.sandbox import control, worlds
from deploy.sandbox.answers import Ask
from shared.contracts.values import DAY
from tests.unit.sandbox.asking import NOW, WINDOW, Caller, caller, decoded

ONE = "person.0001@sandbox.example"
EVENTS = f"mailboxes/{ONE}/events"


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=10, events=12)


def order(asking: Caller, method: str, path: str, body: Any = None, *, token: str | None = None) -> tuple[int, Any]:
    sent = asking.state.control_token if token is None else token
    path, _, query = path.partition("?")
    ask = Ask(
        method=method,
        path=f"/control/{path}",
        query=query,
        headers={"authorization": f"Bearer {sent}"},
        body=b"" if body is None else msgspec.json.encode(body),
    )
    answer = control.answer(asking.state, ask)
    return answer.status, decoded(answer)


async def shown(asking: Caller) -> dict[str, dict[str, Any]]:
    rows = await asking.all(f"/users/{ONE}/calendarView?{WINDOW}&$top=100")
    return {row["id"]: row for row in rows}


def test_without_its_token_nothing_is_told(asking: Caller) -> None:
    assert order(asking, "GET", "requests", token="guess")[0] == 401
    assert order(asking, "GET", "requests", token="")[0] == 401


async def test_an_event_is_added_changed_moved_and_deleted(asking: Caller) -> None:
    before = await shown(asking)
    start = NOW + DAY
    said = order(asking, "POST", EVENTS, {"start": start, "end": start + 3600, "show_as": "oof"})[1]
    item_id = said["item_id"]
    (added,) = [row for name, row in (await shown(asking)).items() if name not in before]
    assert (added["showAs"], added["start"]["dateTime"]) == ("oof", "2026-11-19T11:06:40.0000000")
    assert order(asking, "PATCH", f"{EVENTS}/{item_id}", {"show_as": "free", "sensitivity": "private"})[0] == 200
    assert order(asking, "PATCH", f"{EVENTS}/{added['id']}", {"seconds": 60})[1]["start"] == start + 60
    changed = (await shown(asking))[added["id"]]
    assert (changed["showAs"], changed["sensitivity"]) == ("free", "private")
    assert changed["@odata.etag"] != added["@odata.etag"]
    assert order(asking, "DELETE", f"{EVENTS}/{item_id}")[0] == 200
    assert (await shown(asking)).keys() == before.keys()


async def test_a_generated_event_can_be_changed_and_deleted(asking: Caller) -> None:
    first, second = list(await shown(asking))[:2]
    order(asking, "PATCH", f"{EVENTS}/{first}", {"show_as": "workingElsewhere"})
    order(asking, "DELETE", f"{EVENTS}/{second}")
    rows = await shown(asking)
    assert rows[first]["showAs"] == "workingElsewhere"
    assert second not in rows
    assert len(order(asking, "GET", EVENTS)[1]["events"]) == 11


async def test_people_come_change_and_go(asking: Caller) -> None:
    fields = {"address": "new@sandbox.example", "kind": "shared", "time_zone": "Asia/Tokyo"}
    assert order(asking, "POST", "users", fields)[0] == 200
    settings = await asking.get("/users/new@sandbox.example/mailboxSettings")
    assert (settings["timeZone"], settings["userPurpose"]) == ("Tokyo Standard Time", "shared")
    hours = {"days": ["monday"], "start": 540, "end": 0, "time_zone": "America/New_York"}
    assert order(asking, "PATCH", "users/new@sandbox.example", {"working_hours": hours})[0] == 200
    assert (await asking.get("/users/new@sandbox.example/mailboxSettings"))["workingHours"] == {
        "daysOfWeek": ["monday"], "startTime": "09:00:00.0000000", "endTime": "00:00:00.0000000",
        "timeZone": {"name": "Eastern Standard Time"},
    }  # fmt: skip
    assert order(asking, "PATCH", "users/new@sandbox.example", {"working_hours": {"start": 1440}})[0] == 400
    assert order(asking, "PATCH", "users/new@sandbox.example", {"working_hours": None})[0] == 200
    assert (await asking.get("/users/new@sandbox.example/mailboxSettings"))["workingHours"] is None
    assert order(asking, "PATCH", "users/new@sandbox.example", {"reach": "denied"})[0] == 200
    assert await asking.refused(f"/users/new@sandbox.example/calendarView?{WINDOW}") == (403, "ErrorAccessDenied")
    assert order(asking, "DELETE", "users/new@sandbox.example")[0] == 200
    assert await asking.refused("/users/new@sandbox.example") == (404, "Request_ResourceNotFound")


async def test_permissions_are_taken_and_given(asking: Caller) -> None:
    app = f"apps/{worlds.CLIENT_ID}"
    assert order(asking, "PATCH", app, {"roles": ["User.Read.All"], "mailboxes": [ONE]})[0] == 200
    assert await asking.refused("/users") == (401, "InvalidAuthenticationToken")
    asking.sign_in()
    assert len(await shown(asking)) == 12
    assert order(asking, "PATCH", app, {"consented": False})[0] == 200
    assert (worlds.CLIENT_ID, asking.tenant.tenant_id) not in asking.state.grants
    assert order(asking, "PATCH", app, {"consented": True})[0] == 200
    assert order(asking, "PATCH", app, {"enabled": False})[0] == 200


async def test_faults_are_ordered_shown_and_cleared(asking: Caller) -> None:
    number = order(asking, "POST", "faults", {"kind": "error", "status": 500, "times": 1})[1]["number"]
    assert await asking.refused("/users") == (500, "generalException")
    (fault,) = order(asking, "GET", "faults")[1]["faults"]
    assert (fault["struck"], fault["fault"]["kind"]) == (1, "error")
    order(asking, "DELETE", f"faults/{number}")
    assert order(asking, "GET", "faults")[1] == {"faults": []}


async def test_requests_are_told_and_forgotten(asking: Caller) -> None:
    await asking.all(f"/users/{ONE}/calendarView?{WINDOW}&$select=start,end&$top=5")
    said = order(asking, "GET", "requests")[1]
    assert said["views"] == {ONE: 3}
    assert said["selects"]["calendarView"] == {"start,end": 3}
    assert said["peaks"] == {ONE: 1}
    order(asking, "DELETE", "requests")
    assert order(asking, "GET", "requests")[1]["total"] == 0


def test_mailboxes_are_listed_with_their_addresses(asking: Caller) -> None:
    readable = order(asking, "GET", "mailboxes?readable=true")[1]["mailboxes"]
    everybody = order(asking, "GET", "mailboxes")[1]["mailboxes"]
    assert len(readable) == 10 < len(everybody)
    assert {"user_id", "address", "kind", "reach", "time_zone"} <= readable[0].keys()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", EVENTS, {"start": "soon"}, 400),
        ("PATCH", f"{EVENTS}/none", {"show_as": "oof"}, 404),
        ("PATCH", "users/nobody", {}, 404),
        ("PATCH", f"users/{ONE}", {"shoe_size": 42}, 400),
        ("PATCH", f"users/{ONE}", {"reach": "sometimes"}, 400),
        ("POST", "faults", {"kind": "earthquake"}, 400),
        ("POST", "faults", {"kind": "drop", "match": "("}, 400),
        ("POST", "users", {}, 400),
        ("GET", "mailboxes?tenant=nowhere.example", None, 404),
        ("GET", "weather", None, 404),
    ],
)
def test_a_wrong_order_is_refused(asking: Caller, method: str, path: str, body: Any, status: int) -> None:
    assert order(asking, method, path, body)[0] == status


async def test_another_app_can_be_registered(asking: Caller) -> None:
    body = {"client_id": "11111111-2222-3333-4444-555555555555", "secrets": ["s"], "roles": ["User.Read.All"]}
    assert order(asking, "POST", "apps", body)[0] == 200
    assert order(asking, "PATCH", f"apps/{body['client_id']}", {"consented": True})[0] == 200
    form = f"client_id={body['client_id']}&client_secret=s&grant_type=client_credentials"
    answer = await asking.entra(
        "/sandbox.example/oauth2/v2.0/token", form=f"{form}&scope=https://graph.microsoft.com/.default"
    )
    assert answer.status == 200
