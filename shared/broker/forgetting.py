"""Forgetting an org: which waiting messages go, and where they may wait.

What is in hand meanwhile is not its business: the handler finds the org gone.
"""

from collections.abc import Callable, Mapping
from typing import Any

from shared.broker import topology, wire

Unwanted = Callable[[Mapping[str, Any]], bool]


def queues_of(service: str, *, with_parked: bool) -> tuple[str, ...]:
    """Return where a service's messages wait: what rests first, since it moves into the queues when its time has come.

    Raises ValueError for a service that has no queue.
    """
    rungs = tuple(rung.name for rung in topology.DELAYED if rung.name.partition(".")[0] == service)
    work = tuple(queue.name for queue in topology.QUEUES.values() if queue.service == service)
    if not work:
        raise ValueError("no such service")
    return (*rungs, *work, *((topology.PARKED,) if with_parked else ()))


def is_of(headers: Mapping[str, Any], *, org_id: str, generation: int | None) -> bool:
    """Say whether a message is an org's, of a generation up to the given one; one that bears none is of the oldest."""
    if wire.word(headers.get("org_id")) != org_id:
        return False
    return generation is None or wire.whole(headers.get("generation")) <= generation
