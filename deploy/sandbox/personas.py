"""Who may sign in as a person: for each tenant one persona of every role that matters to consent, and one of none.

They are in no directory listing and have no mailbox, so that they change nothing of what an enumeration finds.
"""

from typing import Final
from uuid import uuid5

from msgspec import Struct

from deploy.sandbox.directory import SPACE, Tenant

# Role templates, the same in every tenant (Entra built-in roles); `wids` of an ID token lists them.
GLOBAL: Final = "62e90394-69f5-4237-9190-012177145e10"
PRIVILEGED_ROLE: Final = "e8611ab8-c189-46e8-94e1-60213ab1f814"
APPLICATION: Final = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
CLOUD_APPLICATION: Final = "158c047a-c907-4556-b7ef-446551a6b5f7"
EVERYBODY: Final = "b79fbf4d-3ef9-4689-8143-76b194e85509"  # in every token, and no administrator's
CONSENTING: Final = frozenset({GLOBAL, PRIVILEGED_ROLE})  # to application permissions of Graph

_ROLES: Final = (
    ("Global Administrator", GLOBAL),
    ("Privileged Role Administrator", PRIVILEGED_ROLE),
    ("Application Administrator", APPLICATION),
    ("Cloud Application Administrator", CLOUD_APPLICATION),
    ("Ordinary user", ""),
)


class Persona(Struct, frozen=True, kw_only=True):
    """Somebody who can sign in. `role` is a role template's id, empty for an ordinary user."""

    oid: str
    tenant_id: str
    title: str
    upn: str
    role: str

    @property
    def wids(self) -> tuple[str, ...]:
        """The roles that an ID token names."""
        return (*([self.role] if self.role else []), EVERYBODY)

    @property
    def may_consent(self) -> bool:
        """Whether Entra would let them consent to application permissions of Graph for everybody."""
        return self.role in CONSENTING


def personas(tenant: Tenant) -> tuple[Persona, ...]:
    """Return a tenant's personas, the same for ever."""
    made = []
    for title, role in _ROLES:
        upn = f"{title.lower().replace(' ', '.')}@{tenant.domain}"
        oid = str(uuid5(SPACE, f"persona/{upn}"))
        made.append(Persona(oid=oid, tenant_id=tenant.tenant_id, title=title, upn=upn, role=role))
    return tuple(made)
