"""The JSON API that disconnects an org. It refuses another name than the org's own, and a word that is not fresh."""

from services.authorizer import orgs
from services.authorizer.console.api_answers import DisconnectAsked, Disconnected
from services.authorizer.console.api_calls import Call
from services.authorizer.console.api_problems import Problem, invalid
from services.authorizer.console.leaving import is_fresh
from services.authorizer.console.texts import text
from shared import clock


async def disconnect(call: Call) -> Disconnected:
    """Begin to disconnect the org; where that is under way, say so once more. Raises Problem."""
    asked: DisconnectAsked = call.body
    place, visit, now = call.place, call.visit, clock.now()
    if asked.org_id != visit.org_id:
        raise invalid("org_id", text("leaving.name.wrong"))
    if not is_fresh(visit, now):
        raise Problem(403, "not_fresh", detail=text("notice.warn.not_fresh"))
    purge_id = await orgs.disconnect(place.store, visit.org_id, actor=visit.actor, now=now)
    if purge_id is None:
        raise Problem(409, "not_connected", detail="This organisation is not connected.")
    place.wakes.purge.set()
    return Disconnected(purge_id=purge_id)
