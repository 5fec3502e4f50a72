"""Decides as whom a request acts: the mailbox it impersonates, where the account's scope allows that, or its own.

It refuses in Exchange's order and words: first whom the address names, then whether the account may act as them.
"""

from deploy.sandbox.directory import Person, Reach, Tenant
from deploy.sandbox.ews.call import Account, EwsCall, SoapFault
from deploy.sandbox.state import State

_DENIED = "The account does not have permission to impersonate the requested user."
_NOBODY = "The SMTP address has no mailbox associated with it."
_OTHER = "The primary SMTP address must be specified when referencing a mailbox."
_ELSEWHERE = (Reach.MISSING, Reach.ON_PREMISES)


def acting(
    state: State, tenant: Tenant, account: Account, impersonated: str | None, kind: str = "PrimarySmtpAddress"
) -> Person | None:
    """Return the person a request acts as: the impersonated one, the account's own mailbox, or None where it has none.

    `kind` is how the header names its person (PrimarySmtpAddress, SmtpAddress, PrincipalName, SID); None means no
    header. Raises SoapFault.
    """
    if impersonated is None:
        return tenant.person(account.mailbox) if account.mailbox else None
    if not impersonated.strip():
        message = "The ExchangeImpersonation header does not name a user."
        raise SoapFault("ErrorInvalidExchangeImpersonationHeaderData", message)
    person = _named(state, tenant, impersonated.strip(), kind)
    if person.reach in _ELSEWHERE:
        raise SoapFault("ErrorNonExistentMailbox", _NOBODY)
    if person.reach is Reach.DENIED or not within(state, tenant, account.scope, person):
        raise SoapFault("ErrorImpersonateUserDenied", _DENIED)
    return person


def owner(call: EwsCall) -> Person:
    """Return the person whose mailbox an operation works in.

    Raises SoapFault where the request impersonates nobody and the account has no mailbox: ErrorNonExistentMailbox, as
    Exchange 2016 and later answer it.
    """
    if call.acting is None:
        raise SoapFault("ErrorNonExistentMailbox", "No mailbox with such guid.")
    return call.acting


def within(state: State, tenant: Tenant, scope: str, person: Person) -> bool:
    """Say whether a person is in a scope: a group's address, "*" for everybody, "" for nobody."""
    if scope == "*":
        return True
    group = tenant.group(scope) if scope else None
    if group is None:
        return False
    groups = tenant.nested(group.group_id) if state.ews.manners.nested else [group]
    return any(person.user_id in each.members for each in groups)


def _named(state: State, tenant: Tenant, name: str, kind: str) -> Person:
    match kind:
        case "SID":
            raise SoapFault("ErrorInvalidUserSid", "The user SID is not valid or is not found in the directory.")
        case "PrincipalName":
            found = next((each for each in tenant.people.values() if each.upn.lower() == name.lower()), None)
            if found is None:
                raise SoapFault("ErrorInvalidUserPrincipalName", "The user principal name is not valid.")
            return found
        case _:
            return _addressed(state, tenant, name, secondary=kind == "SmtpAddress")


def _addressed(state: State, tenant: Tenant, address: str, *, secondary: bool) -> Person:
    """Return who has an address; a secondary one only where the header allows it."""
    primary = address_holder(state, tenant, address)
    if primary is None:
        raise SoapFault("ErrorNonExistentMailbox", _NOBODY)
    if primary.address != address.lower() and not secondary:
        raise SoapFault("ErrorNonPrimarySmtpAddress", _OTHER, values={"Primary": primary.mail or primary.upn})
    return primary


def address_holder(state: State, tenant: Tenant, address: str) -> Person | None:
    """Return the person whose address this is, primary, principal name or secondary."""
    wanted = address.lower()
    alias = state.ews.aliases.get((tenant.tenant_id, wanted))
    if alias is not None:
        return tenant.person(alias)
    return tenant.by_name.get(wanted) if "@" in wanted else None
