"""Reads SOAP requests and writes SOAP answers: the operation and whom it is for in, envelopes, errors and faults out.

Refuses what is not plain XML of a bearable size: no document type, no entities, nothing nested beyond reason.
"""

import re
from collections.abc import Iterable

from lxml import etree
from msgspec import Struct

from deploy.sandbox.answers import Answer
from deploy.sandbox.ews.call import M_NS, T_NS, Failed, SoapFault
from deploy.sandbox.state import State

S_NS = "http://schemas.xmlsoap.org/soap/envelope/"
E_NS = "http://schemas.microsoft.com/exchange/services/2006/errors"
XML = "text/xml; charset=utf-8"
LARGEST = 4 * 2**20  # bytes of a request
T, M = f"{{{T_NS}}}", f"{{{M_NS}}}"
KINDS = ("PrincipalName", "SID", "PrimarySmtpAddress", "SmtpAddress")

_S = f"{{{S_NS}}}"
_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML 1.0, 2.2
_PLACES = frozenset({"LineNumber", "LinePosition", "Violation"})  # elements of their own in a fault's MessageXml
_VERSIONS = re.compile(r"Exchange20(07|10|13|15|16)(_SP[1-3])?|Exchange2012|V20\d\d_\d\d_\d\d")
_SCHEMAS = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
_HEAD = f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{S_NS}">'


class Request(Struct, frozen=True, kw_only=True):
    """A request, read: its operation's element, and whom it is to be carried out as (None: nobody is named)."""

    operation: etree._Element
    impersonated: str | None = None
    kind: str = ""  # the name of the element that names them: one of KINDS

    @property
    def name(self) -> str:
        """Return the operation's name; the one whose element bears another is put right."""
        return str(etree.QName(self.operation).localname).removesuffix("Request")


def parse(body: bytes) -> Request:
    """Read a request. Raises SoapFault, ErrorSchemaValidation for what is no such XML."""
    if len(body) > LARGEST:
        raise violation("The request is too large.")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise violation("The request is not well-formed XML.", line=getattr(error, "lineno", 0) or 0) from None
    if root.getroottree().docinfo.doctype:
        raise violation("For security reasons DTD is prohibited in this XML document.")
    return _read(root)


def _read(root: etree._Element) -> Request:
    body = root.find(f"{_S}Body") if root.tag == f"{_S}Envelope" else None
    if body is None:
        raise violation("The request is not a SOAP envelope.")
    operations = list(body)
    if len(operations) != 1 or etree.QName(operations[0]).namespace != M_NS:
        raise violation("The body of the envelope does not hold one operation.")
    kind, impersonated = "", None
    header = root.find(f"{_S}Header")
    if header is not None:
        _check_version(header.find(f"{T}RequestServerVersion"))
        kind, impersonated = _impersonated(header.find(f"{T}ExchangeImpersonation"))
    return Request(operation=operations[0], impersonated=impersonated, kind=kind)


def _check_version(asked: etree._Element | None) -> None:
    if asked is not None and not _VERSIONS.fullmatch(asked.get("Version", "")):
        raise SoapFault("ErrorInvalidServerVersion", "The specified server version is invalid.")


def _impersonated(header: etree._Element | None) -> tuple[str, str | None]:
    """Return how and by what name somebody is to be impersonated; an empty name where the header holds none."""
    if header is None:
        return "", None
    for kind in KINDS:
        found = header.find(f"{T}ConnectingSID/{T}{kind}")
        if found is not None:
            return kind, (found.text or "").strip()
    return "", ""


def violation(words: str, *, line: int = 0) -> SoapFault:
    """Return the fault of a request that the schema does not allow."""
    values = {"LineNumber": str(line), "LinePosition": "0", "Violation": words}
    return SoapFault("ErrorSchemaValidation", f"The request failed schema validation: {words}", values=values)


def text(value: str) -> str:
    """Return a text as it is written between tags; characters that XML has no way to write are left out."""
    if _SPECIAL.search(value) is None:
        return value
    said = _FORBIDDEN.sub("", value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return said.replace("\r", "&#13;")  # a bare one would be read as the end of a line


def attribute(value: str) -> str:
    """Return a text as it is written between double quotes."""
    return text(value).replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;")


def envelope(state: State, body: bytes) -> bytes:
    """Return a whole answer around a response element; its header says which server answers."""
    manners = state.ews.manners
    major, minor, build, revision = manners.build
    server = (
        f'<s:Header><h:ServerVersionInfo MajorVersion="{major}" MinorVersion="{minor}" MajorBuildNumber="{build}" '
        f'MinorBuildNumber="{revision}" Version="{manners.version}" xmlns:h="{T_NS}" {_SCHEMAS}/></s:Header>'
    )
    return b"".join((f"{_HEAD}{server}<s:Body {_SCHEMAS}>".encode(), body, b"</s:Body></s:Envelope>"))


def answer(state: State, body: bytes) -> Answer:
    """Return the answer of HTTP around a response element."""
    return Answer(body=envelope(state, body), content_type=XML)


def response(operation: str, messages: Iterable[str]) -> bytes:
    """Return the response element of an operation around its response messages."""
    inner = "".join(messages)
    names = f'xmlns:m="{M_NS}" xmlns:t="{T_NS}"'
    whole = f"<m:{operation}Response {names}><m:ResponseMessages>{inner}</m:ResponseMessages></m:{operation}Response>"
    return whole.encode()


def success(operation: str, inner: str = "") -> str:
    """Return one response message of class Success around what it gives."""
    name = f"m:{operation}ResponseMessage"
    return f'<{name} ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>{inner}</{name}>'


def failure(operation: str, failed: Failed, inner: str = "") -> str:
    """Return one response message of class Error; some operations give an empty result beside it."""
    name = f"m:{operation}ResponseMessage"
    return f'<{name} ResponseClass="Error">{error(failed)}{inner}</{name}>'


def error(failed: Failed) -> str:
    """Return what a response message of class Error holds."""
    values = "".join(
        f'<t:Value Name="{attribute(name)}">{text(said)}</t:Value>' for name, said in failed.values.items()
    )
    more = f"<m:MessageXml>{values}</m:MessageXml>" if values else ""
    words = f"<m:MessageText>{text(failed.message)}</m:MessageText><m:ResponseCode>{failed.code}</m:ResponseCode>"
    return f"{words}<m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>{more}"


def fault(state: State, refused: SoapFault) -> Answer:
    """Return the answer of HTTP that refuses a whole request; it names no server, as Exchange's does not."""
    code, words = refused.code, text(refused.message)
    status = state.ews.manners.fault_status if refused.status == 500 else refused.status
    detail = (
        f'<e:ResponseCode xmlns:e="{E_NS}">{code}</e:ResponseCode><e:Message xmlns:e="{E_NS}">{words}</e:Message>'
        f"{_message_xml(refused)}"
    )
    said = (
        f'<s:Fault><faultcode xmlns:a="{T_NS}">a:{code}</faultcode><faultstring xml:lang="en-US">{words}</faultstring>'
        f"<detail>{detail}</detail></s:Fault>"
    )
    return Answer(status=status, body=f"{_HEAD}<s:Body>{said}</s:Body></s:Envelope>".encode(), content_type=XML)


def _message_xml(refused: SoapFault) -> str:
    inner = "".join(
        f"<t:{name}>{text(said)}</t:{name}>"
        if name in _PLACES
        else f'<t:Value Name="{attribute(name)}">{text(said)}</t:Value>'
        for name, said in refused.values.items()
    )
    return f'<t:MessageXml xmlns:t="{T_NS}">{inner}</t:MessageXml>' if inner else ""
