"""What happens between two requests, or in the middle of one, spoils no page."""

import pytest
from aiohttp import ClientConnectionResetError, web
from aiohttp.test_utils import make_mocked_request

from services.authorizer import orgs
from services.authorizer.console import guards
from services.authorizer.orgs import OrgState
from shared import clock
from shared.store import Store
from tests.unit.authorizer.acting import connect
from tests.unit.authorizer.console.visiting import Console

LATER = "Connect your organisation first"


async def test_a_script_that_fetches_a_page_uses_no_notice_up(console: Console) -> None:
    way = await console.get("/setup/settings")
    fetched = await console.get(way.location, headers={"Sec-Fetch-Dest": "empty"})
    assert LATER not in fetched.text
    assert LATER in (await console.get(way.location)).text
    assert LATER not in (await console.get(way.location)).text


@pytest.mark.parametrize("path", ["/setup/mailboxes", "/setup/connect/microsoft", "/setup/settings"])
async def test_a_page_shows_the_org_as_it_decided_by_it(
    console: Console, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    await connect(console.store, at=clock.now())
    looked = []

    async def org(store: Store, org_id: str, found: object = orgs.org) -> OrgState | None:
        looked.append(org_id)
        assert callable(found)
        state: OrgState | None = await found(store, org_id)
        return state

    monkeypatch.setattr(orgs, "org", org)
    assert (await console.get(path)).status == 200
    assert looked == ["acme"]


async def test_somebody_who_is_gone_is_no_failure(capfd: pytest.CaptureFixture[str]) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        raise ClientConnectionResetError

    answer = await guards.errors(make_mocked_request("GET", "/setup/status/events"), handler)
    assert answer.status == 503
    assert "".join(capfd.readouterr()) == ""
