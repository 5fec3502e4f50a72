"""Pure: where autodiscover is asked, in which words, what an answer says, and where a password may be sent for it.

A password goes to hosts of the mailbox's own domain, over verified TLS, and to what such a host names in an answer
that a sign-in brought about. What plain http or DNS names proves nothing: outside the domain it is not followed.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from lxml import etree
from msgspec import Struct

from shared.ews.elements import child, text
from shared.ews.errors import EwsError
from shared.ews.trouble import told

SOAP_PATH: Final = "/autodiscover/autodiscover.svc"
POX_PATH: Final = "/autodiscover/autodiscover.xml"
ACTION: Final = "http://schemas.microsoft.com/exchange/2010/Autodiscover/Autodiscover/GetUserSettings"
MOST: Final = 1 << 20  # bytes of an answer in the older form
_NS: Final = "http://schemas.microsoft.com/exchange/2010/Autodiscover"
_ASKED: Final = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
_ANSWERED: Final = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
_WANTED: Final = ("ExternalEwsUrl", "InternalEwsUrl")  # in this order: we are as often outside as inside
_PROTOCOLS: Final = ("EXPR", "EXCH")


class Told(Struct, frozen=True, kw_only=True):
    """What an answer says: where EWS is, or whom or where to ask instead; all empty where the address is not known."""

    url: str = ""
    address: str = ""
    place: str = ""


def places(domain: str) -> tuple[str, ...]:
    """Return where to ask for a domain, in order.

    The name made for it comes before the bare domain, where most keep a web site at somebody else's: the fewer see the
    password, the better.
    """
    return f"https://autodiscover.{domain}{SOAP_PATH}", f"https://{domain}{SOAP_PATH}"


def domain_of(address: str) -> str:
    """Return an address's domain, lower case."""
    return address.rpartition("@")[2].lower().rstrip(".")


def is_of(url: str, domain: str) -> bool:
    """Say whether an address is https and its host belongs to the domain."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower().rstrip(".")
    return parts.scheme == "https" and (host == domain or host.endswith(f".{domain}"))


def asked_at(url: str) -> str:
    """Return where the newer form is asked at a host that a redirect names: it may name the older one's path."""
    parts = urlsplit(url)
    return f"https://{parts.netloc}{SOAP_PATH}"


def older(url: str) -> str:
    """Return where the older form is asked at the same host."""
    return f"https://{urlsplit(url).netloc}{POX_PATH}"


def soap_question(address: str, place: str) -> bytes:
    """Return the newer form's question: where is EWS for this address."""
    settings = "".join(f"<a:Setting>{name}</a:Setting>" for name in _WANTED)
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:a="{_NS}"'
        ' xmlns:w="http://www.w3.org/2005/08/addressing"><s:Header>'
        "<a:RequestedServerVersion>Exchange2013</a:RequestedServerVersion>"
        f"<w:Action>{ACTION}</w:Action><w:To>{escape(place)}</w:To></s:Header><s:Body>"
        "<a:GetUserSettingsRequestMessage><a:Request>"
        f"<a:Users><a:User><a:Mailbox>{escape(address)}</a:Mailbox></a:User></a:Users>"
        f"<a:RequestedSettings>{settings}</a:RequestedSettings>"
        "</a:Request></a:GetUserSettingsRequestMessage></s:Body></s:Envelope>"
    ).encode()


def pox_question(address: str) -> bytes:
    """Return the older form's question."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="{_ASKED}"><Request>'
        f"<EMailAddress>{escape(address)}</EMailAddress>"
        f"<AcceptableResponseSchema>{_ANSWERED}</AcceptableResponseSchema></Request></Autodiscover>"
    ).encode()


def soap_answer(chunks: Iterable[bytes]) -> Told:
    """Read the newer form's answer. Raises EwsError."""
    found: dict[str, str] = {}
    code = target = ""
    for name, element in told(chunks, ("UserSetting", "UserResponse")):
        if name == "UserSetting":
            found[text(child(element, "Name"))] = text(child(element, "Value"))
        else:
            code = text(child(element, "ErrorCode"))
            target = text(child(element, "RedirectTarget"))
    if not code:
        raise EwsError("malformed")
    match code:
        case "RedirectAddress":
            return Told(address=target)
        case "RedirectUrl":
            return Told(place=target)
        case _:
            return Told(url=next((found[name] for name in _WANTED if found.get(name)), ""))


def pox_answer(chunks: Iterable[bytes]) -> Told:
    """Read the older form's answer. Raises EwsError."""
    root = _root(chunks)

    def first(path: str) -> str:
        found: str | None = root.findtext(path)
        return (found or "").strip()

    target, place = first(".//{*}RedirectAddr"), first(".//{*}RedirectUrl")
    if target or place:
        return Told(address=target, place=place)
    urls = {
        (each.findtext("{*}Type") or "").strip(): (
            each.findtext("{*}EwsUrl") or each.findtext("{*}ASUrl") or ""
        ).strip()
        for each in root.iterfind(".//{*}Protocol")
    }
    return Told(url=next((urls[kind] for kind in _PROTOCOLS if urls.get(kind)), ""))


def _root(chunks: Iterable[bytes]) -> etree._Element:
    """Parse a small answer: no entities, no DOCTYPE, nothing fetched."""
    body = b""
    for chunk in chunks:
        body += chunk
        if len(body) > MOST:
            raise EwsError("too_large")
    if b"<!DOCTYPE" in body:
        raise EwsError("not_xml")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise EwsError("not_xml") from None
    if etree.QName(root).localname != "Autodiscover" or root.getroottree().docinfo.doctype:
        raise EwsError("not_xml")
    return root
