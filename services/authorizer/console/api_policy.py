"""The JSON API about what an org allows: the policy in force, what another would change, and putting it in force.

It refuses what the page's form refuses.
"""

from services.authorizer import orgs
from services.authorizer.console import policy_form
from services.authorizer.console.api_answers import ChangeTold, FigureTold, PolicyInForce, PolicyPreviewed
from services.authorizer.console.api_calls import Call
from services.authorizer.console.api_problems import Problem, invalid
from services.authorizer.console.texts import text
from services.authorizer.orgs import OrgState
from services.authorizer.policy_previewing import figured
from shared import clock
from shared.connections import DISCONNECTING
from shared.contracts.messages import EwsConnection
from shared.contracts.policy import Policy, Scope


async def policy(call: Call) -> PolicyInForce:
    """Return the policy of the org. Raises Problem."""
    state = await _known(call)
    return PolicyInForce(generation=state.generation, policy=state.policy)


async def preview(call: Call) -> PolicyPreviewed:
    """Return what the policy in the body would change. Raises Problem."""
    state = await _known(call)
    found = await figured(call.place.store, state, meant(call.body, state), now=clock.now())
    changes = (ChangeTold(field=name, before=old, after=new) for name, (old, new) in found.changes.items())
    figures = (FigureTold(kind=kind, word=word, count=count) for (kind, word), count in sorted(found.figures.items()))
    return PolicyPreviewed(changes=tuple(changes), stricter=found.stricter, figures=tuple(figures), unread=found.unread)


async def put_policy(call: Call) -> PolicyInForce:
    """Put the policy in the body in force, and return what is in force then. Raises Problem."""
    wanted = meant(call.body, await _known(call))
    place, visit = call.place, call.visit
    if not await orgs.change_policy(place.store, visit.org_id, wanted, actor=visit.actor, now=clock.now()):
        raise Problem(409, "overtaken", detail="A later word about the policy counts already: read it, and try again.")
    place.wakes.verify.set()
    place.wakes.enumerate.set()
    return await policy(call)


def meant(asked: Policy, state: OrgState) -> Policy:
    """Return a policy as the page's form would put it: within its bounds, addresses in lower case. Raises Problem.

    Join links are never shown under free/busy only, whatever is asked for.
    """
    by_address, values = isinstance(state.connection, EwsConnection), policy_form.values_of(asked)
    for name, key in policy_form.read(values, state.policy, by_address=by_address).problems.items():
        raise invalid(f"scope.{name}" if name in Scope.__struct_fields__ else name, text(key))
    return policy_form.read(values, asked, by_address=by_address).policy or asked


async def _known(call: Call) -> OrgState:
    state = await orgs.org(call.place.store, call.visit.org_id)
    if state is None or state.state == DISCONNECTING:
        raise Problem(409, "not_connected", detail="This organisation is not connected: connect it first.")
    return state
