"""That what the sandbox answers fits Microsoft's own schemas, property by property."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from deploy.sandbox import MISSED, REAUTHORIZE, REMOVED, Fault, FaultKind
from deploy.sandbox.answers import Answer
from deploy.sandbox.calendar import Item
from deploy.sandbox.directory import GROUP_ALL
from deploy.sandbox.posting import Letter, Reply
from tests.unit.sandbox.asking import BASE, NOW, WINDOW, Caller, caller, decoded
from tests.unit.sandbox.listening import ONE, URL, Listener, create, subscribed, wish

CHECK = Path(__file__).parents[2] / ".." / "shared" / "data" / "graph" / "check.py"
pytestmark = pytest.mark.skipif(not CHECK.exists(), reason="needs ../shared/data/graph")

USER = "/users/person.0001@sandbox.example"
CAST = f"/groups/{GROUP_ALL}/transitiveMembers/microsoft.graph.user?$select=id,mail&$count=true"
ALL_OF_A_USER = "accountEnabled,userType,assignedLicenses,assignedPlans,proxyAddresses,onPremisesSyncEnabled,id,mail"
FREE_BUSY = "$select=start,end,showAs,isAllDay,isCancelled,sensitivity,type,seriesMasterId,responseStatus"


@pytest.fixture(scope="module")
def check() -> ModuleType:
    """Microsoft's schemas and the functions that judge by them."""
    spec = importlib.util.spec_from_file_location("graph_check", CHECK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # that folder is only read
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


@pytest.fixture(params=[False, True], ids=["plain", "canaries"])
def asking(tmp_path: Path, request: pytest.FixtureRequest) -> Caller:
    return caller(tmp_path, mailboxes=20, events=60, canaries=request.param)


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/users", "/users"),
        ("/users", f"/users?$select={ALL_OF_A_USER}&$top=999"),
        ("/users", "/users?$filter=userType eq 'Guest'&$top=1"),
        ("/users/{user-id}", USER),
        ("/users/{user-id}", f"{USER}?$select={ALL_OF_A_USER}"),
        ("/users/{user-id}/mailboxSettings", f"{USER}/mailboxSettings"),
        ("/users/{user-id}/mailboxSettings", f"{USER}/mailboxSettings?$select=timeZone,userPurpose,workingHours"),
        ("/users/{user-id}/calendarView", f"{USER}/calendarView?{WINDOW}&$top=60"),
        ("/users/{user-id}/calendarView", f"{USER}/calendarView?{WINDOW}&{FREE_BUSY}&$count=true"),
        ("/places/microsoft.graph.room", "/places/microsoft.graph.room"),
        ("/groups/{group-id}/transitiveMembers", f"/groups/{GROUP_ALL}/transitiveMembers"),
        ("/groups/{group-id}/transitiveMembers/microsoft.graph.user", CAST),
        ("/organization", "/organization"),
    ],
)
async def test_an_answer_fits_the_schema_of_its_path(check: ModuleType, asking: Caller, path: str, url: str) -> None:
    answer = await asking.ask("GET", url, consistencylevel="eventual")
    schema = check.op_schema(path, "get", answer.status)
    body = decoded(answer)
    assert (answer.status, check.check(body, schema, check.API, "api:")) == (200, ([], []))
    assert body["@odata.context"].startswith(f"{BASE}/v1.0/$metadata#")
    assert body.get("value") != []


async def test_an_event_fits_the_schema(check: ModuleType, asking: Caller) -> None:
    rows = await asking.all(f"{USER}/calendarView?{WINDOW}&$top=60&$select=start")
    for row in rows[:10]:
        body = await asking.get(f"{USER}/events/{row['id']}")
        schema = check.op_schema("/users/{user-id}/events/{event-id}", "get", 200)
        assert check.check(body, schema, check.API, "api:") == ([], [])


def refusals(asking: Caller) -> list[tuple[str, dict[str, str], int]]:
    """Return requests that must fail, with their headers and statuses."""
    asking.changes.order(Fault(kind=FaultKind.THROTTLE, match="places"))
    asking.changes.order(Fault(kind=FaultKind.ERROR, match="organization", status=504))
    return [
        ("/users", {"authorization": "Bearer none"}, 401),
        ("/users?$skip=3", {}, 400),
        ("/users?$select=mailboxSettings", {}, 501),
        ("/users/nobody", {}, 404),
        ("/users/nobody/mailboxSettings", {}, 404),
        ("/users/denied.0001@sandbox.example/mailboxSettings", {}, 403),
        ("/users/unlicensed.0001@sandbox.example/mailboxSettings", {}, 404),
        (f"{USER}/calendarView", {}, 400),
        (f"{USER}/events/none", {}, 404),
        ("/somewhere/else", {}, 400),
        ("/places/microsoft.graph.room", {}, 429),
        ("/organization", {}, 504),
    ]


async def test_errors_fit_the_schema_but_for_the_date(check: ModuleType, asking: Caller) -> None:
    schema = {"$ref": "#/components/schemas/microsoft.graph.ODataErrors.ODataError"}
    for url, headers, status in refusals(asking):
        answer = await asking.ask("GET", url, **headers)
        assert answer.status == status
        body = decoded(answer)
        date = body["error"]["innerError"]["date"]
        body["error"]["innerError"]["date"] = f"{date}Z"  # the schema demands a Z that the wire does not have
        wrong, unknown = check.check(body, schema, check.API, "api:")
        # Graph's 429 nests three more properties; they are recorded among the examples
        extra = [".error.innerError.code", ".error.innerError.message", ".error.innerError.status"]
        assert (wrong, sorted(unknown)) == ([], extra if status == 429 else [])


async def test_a_batch_fits_its_schema(check: ModuleType, asking: Caller) -> None:
    requests = [
        {"id": str(number), "method": "GET", "url": url}
        for number, url in enumerate((f"{USER}/mailboxSettings", "/users/nobody", "/organization"))
    ]
    sent = {"requests": requests}
    answer = await asking.ask("POST", "/$batch", body=json.dumps(sent).encode())
    fits(check, sent, "batchRequest")
    fits(check, decoded(answer), "batchResponse")
    settings = next(made for made in decoded(answer)["responses"] if made["id"] == "0")
    schema = check.op_schema("/users/{user-id}/mailboxSettings", "get", settings["status"])
    assert check.check(settings["body"], schema, check.API, "api:") == ([], [])


def fits(check: ModuleType, body: Any, name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name}"}
    assert check.check(body, schema, check.EXTRA, "extra:") == ([], [])


async def test_tokens_and_refused_sign_ins_fit_their_schemas(check: ModuleType, asking: Caller) -> None:
    def form(secret: str) -> str:
        said = f"client_id={next(iter(asking.state.apps))}&client_secret={secret}&grant_type=client_credentials"
        return f"{said}&scope=https://graph.microsoft.com/.default"

    path = "/sandbox.example/oauth2/v2.0/token"
    good: Answer = await asking.entra(path, form=form("a secret of the test"))
    bad: Answer = await asking.entra(path, form=form("another"))
    fits(check, decoded(good), "tokenResponse")
    fits(check, decoded(bad), "tokenError")
    assert (good.status, bad.status) == (200, 401)


@pytest.mark.parametrize("tenant", ["common", "organizations", "sandbox.example"])
async def test_metadata_fits_its_schema(check: ModuleType, asking: Caller, tenant: str) -> None:
    answer = await asking.entra(f"/{tenant}/v2.0/.well-known/openid-configuration")
    schema = {"$ref": "#/components/schemas/openidConfiguration"}
    wrong, unknown = check.check(decoded(answer), schema, check.EXTRA, "extra:")
    assert wrong == []
    assert set(unknown) <= {".response_types_supported", ".id_token_signing_alg_values_supported"}


async def listening(asking: Caller) -> Listener:
    listener = Listener(asking)
    await subscribed(asking, lifecycleNotificationUrl=f"{URL}/life", prefer='IdType="ImmutableId"')
    return listener


async def test_subscriptions_fit_the_schemas_of_their_paths(check: ModuleType, asking: Caller) -> None:
    listener = Listener(asking)
    renewal = b'{"expirationDateTime":"2026-11-23T18:23:45.9356913Z"}'
    sent = json.dumps(wish(lifecycleNotificationUrl=f"{URL}/life")).encode()
    made = await asking.ask("POST", "/subscriptions", body=sent)
    one = decoded(made)["id"]
    answers = [
        ("/subscriptions", "post", 201, made),
        ("/subscriptions", "get", 200, await asking.ask("GET", "/subscriptions?$top=5")),
        ("/subscriptions/{subscription-id}", "get", 200, await asking.ask("GET", f"/subscriptions/{one}")),
        (
            "/subscriptions/{subscription-id}",
            "patch",
            200,
            await asking.ask("PATCH", f"/subscriptions/{one}", body=renewal),
        ),
    ]
    for path, method, status, answer in answers:
        schema = check.op_schema(path, method, status)
        assert (answer.status, check.check(decoded(answer), schema, check.API, "api:")) == (status, ([], []))
        assert decoded(answer)["@odata.context"].startswith(f"{BASE}/v1.0/$metadata#subscriptions")
    ended = [
        ("/subscriptions/{subscription-id}/reauthorize", "post", f"/subscriptions/{one}/reauthorize"),
        ("/subscriptions/{subscription-id}", "delete", f"/subscriptions/{one}"),
    ]
    for path, method, url in ended:
        answer = await asking.ask(method.upper(), url)
        assert (answer.status, answer.body) == (204, b"")
        assert check.op_schema(path, method, 204) is None
    await listener.close()


async def test_refused_subscriptions_fit_the_schema_but_for_the_date(check: ModuleType, asking: Caller) -> None:
    schema = {"$ref": "#/components/schemas/microsoft.graph.ODataErrors.ODataError"}
    listener = await listening(asking)
    again = await create(asking)
    late = await create(asking, expirationDateTime="2027-11-20T00:00:00Z")
    nobody = await create(asking, mailbox="nobody@sandbox.example")
    listener.asking.state.post = silence
    unanswered = await create(asking, changeType="deleted")
    for status, (answered, body) in zip((409, 400, 404, 400), (again, late, nobody, unanswered), strict=True):
        assert answered == status
        body["error"]["innerError"]["date"] += "Z"  # the schema demands a Z that the wire does not have
        assert check.check(body, schema, check.API, "api:") == ([], [])
    await listener.close()


async def silence(_: Letter) -> Reply:
    return Reply()


async def test_every_notification_fits_the_schema(check: ModuleType, asking: Caller) -> None:
    listener = await listening(asking)
    event = asking.changes.add_event(ONE, Item(item_id="", start=NOW, end=NOW + 60))
    asking.changes.move_event(ONE, event, seconds=60)
    asking.changes.delete_event(ONE, event)
    asking.changes.notifications.forge(ONE, unknown=True)
    for said in (MISSED, REAUTHORIZE, REMOVED):
        await listener.settled()
        asking.changes.notifications.lifecycle(ONE, said)
    await listener.settled()
    schema = {"$ref": "#/components/schemas/microsoft.graph.changeNotificationCollection"}
    bodies = [msgspec.json.decode(letter.body) for letter in listener.letters if letter.body]
    assert sum(len(body["value"]) for body in bodies) == 7
    for body in bodies:
        assert check.check(body, schema, check.API, "api:") == ([], [])
    await listener.close()


def keys(value: Any) -> Any:
    """Return the names in a value, at every depth."""
    return {name: keys(inner) for name, inner in value.items()} if isinstance(value, dict) else None


@pytest.mark.parametrize("example", ["notification-created", "lifecycle-missed", "lifecycle-subscriptionRemoved"])
async def test_a_notification_has_the_names_of_the_example(asking: Caller, example: str) -> None:
    printed = json.loads((CHECK.parent / "examples" / f"{example}.json").read_text())["payload"]["value"][0]
    listener = await listening(asking)
    if "lifecycleEvent" in printed:
        asking.changes.notifications.lifecycle(ONE, printed["lifecycleEvent"])
    else:
        asking.changes.add_event(ONE, Item(item_id="", start=NOW, end=NOW + 60))
    await listener.settled()
    assert keys(listener.notes[0]) == keys(printed)
    await listener.close()
