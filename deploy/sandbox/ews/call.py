"""The plain values of one EWS request inside the sandbox, and the two forms in which Exchange refuses one."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from lxml import etree
from msgspec import Struct

from deploy.sandbox.answers import Answer
from deploy.sandbox.directory import Person, Tenant
from deploy.sandbox.state import State

T_NS = "http://schemas.microsoft.com/exchange/services/2006/types"
M_NS = "http://schemas.microsoft.com/exchange/services/2006/messages"
NO_VALUES: Mapping[str, str] = MappingProxyType({})


class Account(Struct, frozen=True, kw_only=True):
    """Who signed in: a service account, or an app with full_access_as_app.

    `scope` is the address of the group whose members it may impersonate, "*" for everybody, "" for nobody. `mailbox` is
    its own address, "" where it has none.
    """

    name: str
    tenant_id: str
    scope: str = ""
    mailbox: str = ""


class EwsCall(Struct, frozen=True, kw_only=True):
    """A request that was let in: for which organisation, by whom, as whom (None: not impersonated), what it asks."""

    state: State
    tenant: Tenant
    account: Account
    acting: Person | None
    request: etree._Element  # the operation's element, as <m:FindItem>
    headers: Mapping[str, str]

    @property
    def operation(self) -> str:
        """Return the operation's name."""
        return str(etree.QName(self.request).localname).removesuffix("Request")


class SoapFault(Exception):  # noqa: N818 -- SOAP's own word
    """The whole request is refused with a SOAP fault: HTTP 500 as Exchange does, unless told otherwise."""

    def __init__(self, code: str, message: str, *, values: Mapping[str, str] = NO_VALUES, status: int = 500) -> None:
        """Take Exchange's ResponseCode, its sentence, and the Values of MessageXml (BackOffMilliseconds)."""
        super().__init__(code)
        self.code = code
        self.message = message
        self.values = values
        self.status = status


class Failed(Exception):  # noqa: N818 -- a response class, not a fault
    """One response message of class Error; the operation goes on with the others."""

    def __init__(self, code: str, message: str, *, values: Mapping[str, str] = NO_VALUES) -> None:
        """Take Exchange's ResponseCode, its sentence, and the Values of MessageXml."""
        super().__init__(code)
        self.code = code
        self.message = message
        self.values = values


# gives the response element (<m:FindItemResponse>...) as UTF-8 XML, or an answer of HTTP of its own making
Operation = Callable[[EwsCall], bytes | Answer]
