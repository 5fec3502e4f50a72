"""One admitted Graph request: the world it is asked of, what was asked, and whom the token speaks for."""

from msgspec import Struct

from deploy.sandbox.answers import Ask
from deploy.sandbox.directory import Tenant
from deploy.sandbox.state import Grant, State
from deploy.sandbox.tokens import Issued


class Call(Struct, frozen=True, kw_only=True):
    """A request that passed the token check."""

    state: State
    ask: Ask
    issued: Issued

    @property
    def tenant(self) -> Tenant:
        """The tenant the token was issued for."""
        return self.state.tenants[self.issued.tenant_id]

    @property
    def grant(self) -> Grant:
        """What the app may do in the tenant now; nothing where consent was revoked."""
        return self.state.grants.get((self.issued.client_id, self.issued.tenant_id)) or Grant()
