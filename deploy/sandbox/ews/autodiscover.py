"""Autodiscover: tells who signed in where EWS is for an address, by SOAP (GetUserSettings) and in the older POX form.

It names this sandbox for those who have a mailbox here, another address where control says so, else an error.
"""

from typing import Any

from lxml import etree

from deploy.sandbox.answers import Answer, Ask
from deploy.sandbox.directory import Reach, Tenant
from deploy.sandbox.ews import affinity, scopes, sign_in, soap
from deploy.sandbox.ews.call import Account
from deploy.sandbox.state import State

PREFIX = "/autodiscover/autodiscover."
A_NS = "http://schemas.microsoft.com/exchange/2010/Autodiscover"
ASKED_NS = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
POX_NS = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
OUTLOOK_NS = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
_A = f"{{{A_NS}}}"
_I_NS = "http://www.w3.org/2001/XMLSchema-instance"
_MOST = 100  # users of one request


def answer(state: State, ask: Ask, channel: dict[str, Any]) -> Answer:
    """Answer one request: 401 to strangers, 405 to what is no POST, 400 to what is not XML. Never raises."""
    state.counts.total += 1
    state.counts.kinds["autodiscover"] += 1
    account = sign_in.signed_in(state, ask, channel)
    if isinstance(account, Answer):
        return account
    if ask.method != "POST":
        return Answer(status=405, content_type=sign_in.HTML)
    root = _read(ask.body)
    if root is None:
        return Answer(status=400, content_type=sign_in.HTML)
    pox = ask.path.lower().endswith(".xml")
    body = _outlook(state, ask, account, root) if pox else _settings(state, ask, account, root)
    return Answer(body=body, content_type=soap.XML)


def _read(body: bytes) -> etree._Element | None:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    return None if root.getroottree().docinfo.doctype else root


def _settings(state: State, ask: Ask, account: Account, root: etree._Element) -> bytes:
    """Answer GetUserSettings: one response for each user, in the order asked."""
    users = [(each.text or "").strip() for each in root.iterfind(f".//{_A}User/{_A}Mailbox")]
    names = [(each.text or "").strip() for each in root.iterfind(f".//{_A}RequestedSettings/{_A}Setting")]
    if not users or not names or len(users) > _MOST:
        return _enveloped(state, _error("InvalidRequest", "The request is invalid."))
    tenant = state.tenants[account.tenant_id]
    responses = "".join(_user(state, ask, tenant, address=user, names=names) for user in users)
    return _enveloped(state, f"{_error('NoError', '')}<UserResponses>{responses}</UserResponses>")


def _error(code: str, words: str) -> str:
    return f"<ErrorCode>{code}</ErrorCode><ErrorMessage>{words}</ErrorMessage>"


def _user(state: State, ask: Ask, tenant: Tenant, *, address: str, names: list[str]) -> str:
    target = state.ews.redirects.get(address.lower())
    if target:
        url = target.startswith("https://")
        said = _error("RedirectUrl" if url else "RedirectAddress", "Redirection.")
        there = f"<RedirectTarget>{soap.text(target)}</RedirectTarget>"
        return f"<UserResponse>{said}{there}{_found({}, [])}</UserResponse>"
    known = _known(state, ask, tenant, address)
    said = _error("NoError", "No error.") if known else _error("InvalidUser", "The user is not known here.")
    return f'<UserResponse>{said}<RedirectTarget i:nil="true"/>{_found(known, names if known else [])}</UserResponse>'


def _found(known: dict[str, str], names: list[str]) -> str:
    """Return the settings that are known, and errors for those that are not."""
    missing = [name for name in names if known and name not in known]
    errors = "".join(
        f"<UserSettingError>{_error('SettingIsNotAvailable', 'The setting is not available.')}"
        f"<SettingName>{soap.text(name)}</SettingName></UserSettingError>"
        for name in missing
    )
    settings = "".join(
        f'<UserSetting i:type="StringSetting"><Name>{name}</Name><Value>{soap.text(known[name])}</Value></UserSetting>'
        for name in names
        if name in known
    )
    return f"<UserSettingErrors>{errors}</UserSettingErrors><UserSettings>{settings}</UserSettings>"


def _known(state: State, ask: Ask, tenant: Tenant, address: str) -> dict[str, str]:
    """Return the settings of an address; none where nobody has it here."""
    person = scopes.address_holder(state, tenant, address)
    if person is None or person.reach in {Reach.MISSING, Reach.ON_PREMISES}:
        return {}
    url = f"{ask.base}/EWS/Exchange.asmx"
    major, minor, build, revision = state.ews.manners.build
    return {
        "UserDisplayName": person.name,
        "AutoDiscoverSMTPAddress": person.mail or person.upn,
        "ExternalEwsUrl": url,
        "InternalEwsUrl": url,
        "GroupingInformation": affinity.server({}, person),
        "CasVersion": f"{major}.{minor}.{build}.{revision}",
        "EwsSupportedSchemas": "Exchange2007, Exchange2007_SP1, Exchange2010, Exchange2010_SP1, Exchange2010_SP2, "
        "Exchange2013, Exchange2013_SP1, Exchange2016",
    }


def _enveloped(state: State, response: str) -> bytes:
    major, minor, build, revision = state.ews.manners.build
    action = f"{A_NS}/Autodiscover/GetUserSettingsResponse"
    return (
        f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{soap.S_NS}" '
        'xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header>'
        f'<a:Action s:mustUnderstand="1">{action}</a:Action><h:ServerVersionInfo xmlns:h="{A_NS}">'
        f"<h:MajorVersion>{major}</h:MajorVersion><h:MinorVersion>{minor}</h:MinorVersion>"
        f"<h:MajorBuildNumber>{build}</h:MajorBuildNumber><h:MinorBuildNumber>{revision}</h:MinorBuildNumber>"
        "<h:Version>Exchange2016</h:Version></h:ServerVersionInfo></s:Header><s:Body>"
        f'<GetUserSettingsResponseMessage xmlns="{A_NS}"><Response xmlns:i="{_I_NS}">{response}</Response>'
        "</GetUserSettingsResponseMessage></s:Body></s:Envelope>"
    ).encode()


def _outlook(state: State, ask: Ask, account: Account, root: etree._Element) -> bytes:
    """Answer the POX form: the account's protocols, a redirect, or error 500 for who is not known."""
    address = (root.findtext(f".//{{{ASKED_NS}}}EMailAddress") or "").strip()
    target = state.ews.redirects.get(address.lower())
    if target:
        return _pox(f'<Response xmlns="{OUTLOOK_NS}"><Account>{_redirect(target)}</Account></Response>')
    known = _known(state, ask, state.tenants[account.tenant_id], address)
    if not known:
        inner = "<ErrorCode>500</ErrorCode><Message>The email address can't be found.</Message><DebugData/>"
        return _pox(f'<Response><Error Time="00:00:00.0000000" Id="1">{inner}</Error></Response>')
    name, mail = soap.text(known["UserDisplayName"]), soap.text(known["AutoDiscoverSMTPAddress"])
    user = f"<User><DisplayName>{name}</DisplayName><AutoDiscoverSMTPAddress>{mail}</AutoDiscoverSMTPAddress></User>"
    url = soap.text(known["ExternalEwsUrl"])
    protocols = "".join(
        f"<Protocol><Type>{kind}</Type><ASUrl>{url}</ASUrl><EwsUrl>{url}</EwsUrl></Protocol>"
        for kind in ("EXCH", "EXPR")
    )
    found = f"<AccountType>email</AccountType><Action>settings</Action>{protocols}"
    return _pox(f'<Response xmlns="{OUTLOOK_NS}">{user}<Account>{found}</Account></Response>')


def _redirect(target: str) -> str:
    if target.startswith("https://"):
        return f"<Action>redirectUrl</Action><RedirectUrl>{soap.text(target)}</RedirectUrl>"
    return f"<Action>redirectAddr</Action><RedirectAddr>{soap.text(target)}</RedirectAddr>"


def _pox(inner: str) -> bytes:
    return f'<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="{POX_NS}">{inner}</Autodiscover>'.encode()
