"""Each service killed by itself at each step of its loop, while everything is read anew and calendars change."""

from itertools import count

import pytest

from shared.contracts.policy import Policy
from tests.pipeline.conftest import POLL, Apart
from tests.pipeline.dying import STEPS
from tests.pipeline.fleet import SERVICES, entry
from tests.pipeline.scene import said

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

_windows = count(60)
COUNTS = {"authorizer": 1, "fetcher": 20, "normalizer": 20, "publisher": 20}  # of the message it dies at


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_that_dies_at_any_step_changes_nothing_in_the_end(
    apart: Apart, service: str, step: str
) -> None:
    fleet, scene = apart.fleet, apart.scene
    fleet.kill(service)
    fleet.start(service, module="tests.pipeline.dying", arguments=(service, step, str(COUNTS[service])))
    scene.policy = Policy(poll_seconds=POLL, days_ahead=next(_windows))  # a generation of its own: all is read anew
    await fleet.connect(scene.org_id, entry(scene.sandbox), scene.policy)
    scene.stir(20)
    assert await fleet.died(service) == -9
    scene.stir(20)
    fleet.start(service)
    await scene.agrees()
    assert said(await apart.broker.parked()) == []
    assert fleet.dead() == []
