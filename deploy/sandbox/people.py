"""Serves the directory: users, groups' members, rooms and the organisation, selected, filtered and paged.

It refuses what the directory refuses: $skip on users, mailboxSettings in a listing, advanced filters without a header.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from deploy.sandbox import filters, odata
from deploy.sandbox.answers import Answer, Ask, Refusal, json
from deploy.sandbox.calls import Call
from deploy.sandbox.directory import Group, Person, Reach
from shared.contracts.values import Kind

Row = dict[str, Any]
SKU = "3b555118-da6a-4418-894f-7df1e2096870"
EXCHANGE_PLAN = "9aaf7827-d63c-4b61-89c3-182f06f82e5c"
_ASSIGNED = "2026-01-05T09:00:00Z"
DEFAULT = (
    "businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation",
    "preferredLanguage", "surname", "userPrincipalName", "id",
)  # fmt: skip
_ELSEWHERE = frozenset({"mailboxsettings", "skills", "aboutme", "interests", "pastprojects", "schools", "mysite"})
_NEVER = frozenset({"$skip", "$expand", "$search"})
MOST_USERS = 999


def row(person: Person) -> Row:
    """Return every property the sandbox knows of a user."""
    given, _, surname = person.name.partition(" ")
    cloud = person.licensed
    plan = {
        "assignedDateTime": _ASSIGNED,
        "capabilityStatus": "Enabled",
        "service": "exchange",
        "servicePlanId": EXCHANGE_PLAN,
    }
    return {
        "businessPhones": [],
        "displayName": person.name,
        "givenName": given if person.kind is Kind.USER else None,
        "jobTitle": None,
        "mail": person.mail,
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": None,
        "surname": surname if person.kind is Kind.USER else None,
        "userPrincipalName": person.upn,
        "id": person.user_id,
        "accountEnabled": person.enabled,
        "assignedLicenses": [{"disabledPlans": [], "skuId": SKU}] if cloud else [],
        "assignedPlans": [plan] if cloud else [],
        "companyName": None,
        "createdDateTime": _ASSIGNED,
        "creationType": "Invitation" if person.guest else None,
        "deletedDateTime": None,
        "department": None,
        "externalUserState": "Accepted" if person.guest else None,
        "mailNickname": person.upn.partition("@")[0],
        "onPremisesSyncEnabled": True if person.reach is Reach.ON_PREMISES else None,
        "proxyAddresses": [f"SMTP:{person.mail}"] if person.mail else [],
        "showInAddressList": None,
        "usageLocation": "DE",
        "userType": "Guest" if person.guest else "Member",
    }


def users(call: Call) -> Answer:
    """Answer GET /users. Raises Refusal."""
    ask = call.ask
    given = ask.parameters()
    call.state.counts.select("users", given.get("$select", ""))
    for name in given:
        if name in _NEVER:
            raise Refusal(400, "Request_BadRequest", f"'{name}' is not supported by the service.")
    found: Sequence[Person] = list(call.tenant.people.values())
    if "$filter" in given:
        test = filters.reading(given["$filter"], advanced=_advanced(ask))
        found = [person for person in found if test(row(person))]
    found = _ordered(found, given.get("$orderby", ""))
    return listing(ask, found, _row_of(_selected(given)), context=f"users{_chosen(given)}")


def user(call: Call, who: str) -> Answer:
    """Answer GET /users/{id}. Raises Refusal for an unknown user or property."""
    person = call.tenant.person(who)
    if person is None:
        raise missing(who)
    given = call.ask.parameters()
    call.state.counts.select("user", given.get("$select", ""))
    context = f"{call.ask.base}/v1.0/$metadata#users{_chosen(given)}/$entity"
    return json({"@odata.context": context} | _row_of(_selected(given))(person))


def members(call: Call, group_id: str, *, only_users: bool) -> Answer:
    """Answer GET /groups/{id}/transitiveMembers, cast to users or mixed. Raises Refusal."""
    ask, tenant = call.ask, call.tenant
    if group_id not in tenant.groups:
        raise missing(group_id)
    given = ask.parameters()
    if only_users and not _advanced(ask):
        raise filters.unsupported("The cast needs the header ConsistencyLevel: eventual and $count=true.")
    typed = _row_of(_selected(given))
    people = [
        {**({} if only_users else {"@odata.type": "#microsoft.graph.user"}), **typed(person)}
        for person in tenant.members(group_id)
    ]
    nested = [] if only_users else [_group_row(group) for group in tenant.nested(group_id)[1:]]
    context = f"users{_chosen(given)}" if only_users else "directoryObjects"
    return listing(ask, people + nested, lambda made: made, context=context)


def rooms(call: Call) -> Answer:
    """Answer GET /places/microsoft.graph.room; the id of a place is not the id of a user."""
    found = [person for person in call.tenant.people.values() if person.kind is Kind.ROOM]
    asked = odata.names(call.ask.parameters().get("$select", ""))

    def shown(person: Person) -> Row:
        made = _room(person)
        return {name: made[name] for name in dict.fromkeys(("id", *asked)) if name in made} if asked else made

    return listing(call.ask, found, shown, context="places/microsoft.graph.room", default=100)


def organization(call: Call) -> Answer:
    """Answer GET /organization."""
    ask, tenant = call.ask, call.tenant
    domain = {"capabilities": "Email", "isDefault": True, "isInitial": True, "name": tenant.domain, "type": "Managed"}
    made: Row = {
        "id": tenant.tenant_id,
        "displayName": f"Organisation {tenant.number:04d}",
        "tenantType": "AAD",
        "countryLetterCode": "DE",
        "createdDateTime": _ASSIGNED,
        "verifiedDomains": [domain],
    }
    asked = odata.names(ask.parameters().get("$select", ""))
    shown = {name: made.get(name) for name in dict.fromkeys(("id", *asked))} if asked else made
    return json({"@odata.context": f"{ask.base}/v1.0/$metadata#organization", "value": [shown]})


def missing(name: str) -> Refusal:
    """Return the directory's refusal of a name it does not know."""
    message = f"Resource '{name}' does not exist or one of its queried reference-property objects are not present."
    return Refusal(404, "Request_ResourceNotFound", message)


def _advanced(ask: Ask) -> bool:
    eventual = ask.headers.get("consistencylevel", "").lower() == "eventual"
    return eventual and ask.parameters().get("$count", "").lower() == "true"


def _selected(given: Mapping[str, str]) -> tuple[str, ...] | None:
    asked = odata.names(given.get("$select", ""))
    known = {name.lower(): name for name in _KNOWN}
    for name in asked:
        if name.lower() in _ELSEWHERE:
            raise Refusal(501, "NotImplemented", "This operation target is not yet supported.")
        if name.lower() not in known:
            message = f"Could not find a property named '{name}' on type 'microsoft.graph.user'."
            raise Refusal(400, "BadRequest", message)
    return tuple(known[name.lower()] for name in asked) or None


def _row_of(selected: tuple[str, ...] | None) -> Callable[[Person], Row]:
    names = selected or DEFAULT

    def shown(person: Person) -> Row:
        made = row(person)
        return {name: made[name] for name in names}

    return shown


def _chosen(given: Mapping[str, str]) -> str:
    return f"({given['$select']})" if given.get("$select") else ""


def _ordered(found: Sequence[Person], order: str) -> Sequence[Person]:
    if not order:
        return found
    name, _, way = order.partition(" ")
    keys: dict[str, Callable[[Person], str]] = {
        "displayname": lambda person: person.name.lower(),
        "userprincipalname": lambda person: person.upn.lower(),
    }
    if name.lower() not in keys:
        raise filters.unsupported(f"Sorting by '{name}' is not supported for the resource 'User'.")
    return sorted(found, key=keys[name.lower()], reverse=way.strip().lower() == "desc")


def listing(ask: Ask, found: Sequence[Any], shown: Callable[[Any], Row], *, context: str, default: int = 100) -> Answer:
    """Return one page of a collection; the next is named by a $skiptoken, and only the first carries the count."""
    given = ask.parameters()
    size = odata.number(given["$top"], least=1, most=MOST_USERS, name="$top") if "$top" in given else default
    start = _place(given.get("$skiptoken", ""))
    body: Row = {"@odata.context": f"{ask.base}/v1.0/$metadata#{context}"}
    if given.get("$count", "").lower() == "true" and not start:
        body["@odata.count"] = len(found)
    if start + size < len(found):
        rest = [part for part in ask.query.split("&") if part and not _is_token(part)]
        link = "&".join([*rest, f"$skiptoken=RFNwdAIAAQ{start + size:08d}"])
        body["@odata.nextLink"] = f"{ask.base}{quote(ask.path, safe='/%$')}?{link}"
    body["value"] = [shown(each) for each in found[start : start + size]]
    return json(body)


def _place(token: str) -> int:
    if not token:
        return 0
    if len(token) != 18 or not token[10:].isdecimal():
        raise Refusal(400, "Directory_ExpiredPageToken", "The specified page token value has expired.")
    return int(token[10:])


def _is_token(part: str) -> bool:
    return part.partition("=")[0].lower().replace("%24", "$") == "$skiptoken"


def _group_row(group: Group) -> Row:
    return {"@odata.type": "#microsoft.graph.group", "id": group.group_id, "displayName": group.name}


def _room(person: Person) -> Row:
    return {
        "id": person.user_id[::-1].replace("-", "")[:8] + person.user_id[8:],
        "emailAddress": person.mail,
        "displayName": person.name,
        "nickname": person.name,
        "label": None,
        "capacity": 4 + person.number % 12,
        "building": "Building 0001",
        "floorNumber": 1,
        "isWheelChairAccessible": True,
        "bookingType": "standard",
        "tags": [],
    }


_KNOWN: Iterable[str] = tuple(row(Person(user_id="", upn="", mail=None, name="", number=0)))
