"""What may be changed about EWS while a sandbox runs: manners, accounts, scopes, addresses, who is listening.

It refuses names nobody bears (Unknown) and passwords that cannot be written into NTLM's file (ValueError).
"""

from typing import Any

from msgspec.structs import fields, replace

from deploy.sandbox.directory import Group, Person, Tenant, Unknown
from deploy.sandbox.ews import ntlm
from deploy.sandbox.ews.world import EwsWorld, Manners, ServiceAccount
from deploy.sandbox.state import State


class Orders:
    """The changes one can make to a sandbox's EWS; a tenant that is not named is the first one."""

    def __init__(self, state: State) -> None:
        """Take the world to change."""
        self._state = state

    @property
    def world(self) -> EwsWorld:
        """Everything that only EWS knows: counts of sign-ins, accounts, subscriptions."""
        return self._state.ews

    def behave(self, **manners: Any) -> Manners:
        """Change how the server behaves (fields of Manners) and return it. Raises Unknown."""
        known = {field.name for field in fields(Manners)}
        if not manners.keys() <= known:
            raise Unknown("manners")
        self.world.manners = replace(self.world.manners, **manners)
        return self.world.manners

    def change_account(self, name: str = "", **changes: Any) -> ServiceAccount:
        """Change an account (password, scope, mailbox, locked, disabled); the first one where none is named.

        Raises Unknown, and ValueError for a password with a colon or a line's end in it.
        """
        account = self.world.account(name) if name else next(iter(self.world.accounts.values()))
        if account is None:
            raise Unknown("account")
        if not set(str(changes.get("password", ""))).isdisjoint(":\r\n"):
            raise ValueError("password")
        for field, value in changes.items():
            setattr(account, field, value)
        ntlm.write_users(self.world)
        return account

    def add_account(self, account: ServiceAccount) -> None:
        """Let another account sign in."""
        self.world.admit(account)
        ntlm.write_users(self.world)

    def forget_sign_ins(self) -> None:
        """Count sign-ins from zero again."""
        self.world.sign_ins.clear()
        self.world.failed_sign_ins.clear()

    def add_alias(self, mailbox: str, address: str, *, tenant: str = "") -> None:
        """Give a mailbox a secondary address. Raises Unknown."""
        where = self._tenant(tenant)
        self.world.aliases[where.tenant_id, address.lower()] = self._person(where, mailbox).user_id

    def redirect(self, address: str, target: str) -> None:
        """Let autodiscover name another address, or an https address, for an address; nothing: no longer."""
        self.world.redirects.pop(address.lower(), None)
        if target:
            self.world.redirects[address.lower()] = target

    def change_members(
        self, group: str = "", *, add: tuple[str, ...] = (), remove: tuple[str, ...] = (), tenant: str = ""
    ) -> Group:
        """Put mailboxes into a group, or take them out of it and of those nested in it. Raises Unknown.

        No group named: the scope of the first account.
        """
        where = self._tenant(tenant)
        found = self._group(where, group)
        leaving = {self._person(where, each).user_id for each in remove}
        for nested in where.nested(found.group_id):
            kept = tuple(member for member in nested.members if member not in leaving)
            where.groups[nested.group_id] = replace(nested, members=kept)
        joining = tuple(self._person(where, each).user_id for each in add)
        changed = where.groups[found.group_id]
        members = tuple(dict.fromkeys((*changed.members, *joining)))
        where.groups[found.group_id] = replace(changed, members=members)
        return where.groups[found.group_id]

    def hide_members(self, group: str = "", *, hidden: bool = True, tenant: str = "") -> None:
        """Hide a group's members from ExpandDL, or show them again. Raises Unknown."""
        where = self._tenant(tenant)
        key = (where.tenant_id, where.address_of(self._group(where, group)))
        (self.world.hidden.add if hidden else self.world.hidden.discard)(key)

    def _group(self, where: Tenant, address: str) -> Group:
        found = where.group(address or next(iter(self.world.accounts.values())).scope)
        if found is None:
            raise Unknown("group")
        return found

    def _tenant(self, name: str) -> Tenant:
        found = self._state.tenant(name) if name else next(iter(self._state.tenants.values()))
        if found is None:
            raise Unknown("tenant")
        return found

    @staticmethod
    def _person(where: Tenant, mailbox: str) -> Person:
        found = where.person(mailbox)
        if found is None:
            raise Unknown("mailbox")
        return found
