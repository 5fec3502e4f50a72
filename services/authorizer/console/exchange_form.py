"""Decides what a form about an Exchange server means: a connection and a credential, or what is wrong with which field.

Pure. A secret is taken into the credential alone: it is among no values that are shown again.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from services.authorizer.address_lists import is_address
from services.authorizer.console.exchange_places import server_address
from services.authorizer.console.exchange_sources import lists, sources
from shared.contracts.messages import EwsConnection, GroupSource, LdapSource, ListSource, RoomListsSource, Scheme
from shared.ews.credential import EwsCredential
from shared.identity import GraphCredential

SECRETS: Final = ("password", "client_secret", "ldap_password")
FIELDS: Final = (
    "find", "url", "auth", "account", "tenant", "client_id", "resource", "cloud", "member", "outsider",
    "with_group", "groups", "with_ldap", "ldap_url", "ldap_base", "ldap_group", "ldap_user",
    "with_rooms", "with_list", "list",
)  # fmt: skip
ON: Final = "yes"  # what a ticked box sends
AUTODISCOVER: Final = "autodiscover"
_SCHEMES: Final[Mapping[str, Scheme]] = {"": "", "ntlm": "ntlm", "basic": "basic", "oauth": "oauth"}
_LONGEST: Final = 1024  # characters of one line

Problems = dict[str, str]  # a field, and the key of the text that says what is wrong with it


class Reading(Struct, frozen=True, kw_only=True):
    """What a form means. There is a connection with a credential only where there are no problems."""

    values: dict[str, str]
    problems: Problems
    connection: EwsConnection | None = None
    credential: EwsCredential | None = None


def read(given: Mapping[str, str], *, clouds: Sequence[str] = ("global",)) -> Reading:
    """Return what the fields of a form mean; `clouds` are the names of those that an app may sign in at.

    The connection names no credential yet, and nothing of what only a verification settles.
    """
    values = {name: given.get(name, "").strip() for name in FIELDS}
    values["cloud"] = values["cloud"] or clouds[0]
    secrets = {name: given.get(name, "") for name in SECRETS}
    problems = _problems(values, secrets, clouds)
    connection = None if problems else _connection(values, problems)
    if connection is None:
        return Reading(values=values, problems=problems)
    return Reading(values=values, problems={}, connection=connection, credential=_credential(values, secrets))


def _problems(values: Mapping[str, str], secrets: Mapping[str, str], clouds: Sequence[str]) -> Problems:
    found = _of_server(values)
    found |= _of_app(values, secrets, clouds) if values["auth"] == "oauth" else _of_account(values, secrets)
    found |= _of_mailboxes(values)
    found |= sources(values)[1]
    found |= _of_ldap(values, secrets)
    long = {name: "exchange.wrong.long" for name in FIELDS if name not in ("list", "groups") and _is_odd(values[name])}
    return found | long | {name: "exchange.wrong.secret" for name, text in secrets.items() if _is_odd(text)}


def _is_odd(text: str) -> bool:
    """Say whether a text is none that fits into one line."""
    return len(text) > _LONGEST or any(character < " " or character == "\x7f" for character in text)


def _of_server(values: Mapping[str, str]) -> Problems:
    found: Problems = {}
    if values["find"] != AUTODISCOVER and not server_address(values["url"]):
        found["url"] = "exchange.wrong.url" if values["url"] else "exchange.missing.url"
    if values["auth"] not in _SCHEMES:
        found["auth"] = "exchange.wrong.auth"
    return found


def _of_account(values: Mapping[str, str], secrets: Mapping[str, str]) -> Problems:
    return _missing({"account": values["account"], "password": secrets["password"]})


def _of_app(values: Mapping[str, str], secrets: Mapping[str, str], clouds: Sequence[str]) -> Problems:
    given = {"tenant": values["tenant"], "client_id": values["client_id"], "client_secret": secrets["client_secret"]}
    unknown = {} if values["cloud"] in clouds else {"cloud": "exchange.wrong.cloud"}
    return _missing(given) | unknown


def _missing(given: Mapping[str, str]) -> Problems:
    return {name: f"exchange.missing.{name}" for name, text in given.items() if not text}


def _of_mailboxes(values: Mapping[str, str]) -> Problems:
    found: Problems = {}
    if not is_address(values["member"]):
        found["member"] = "exchange.wrong.address" if values["member"] else "exchange.missing.member"
    if values["outsider"] and not is_address(values["outsider"]):
        found["outsider"] = "exchange.wrong.address"
    elif values["outsider"] and values["outsider"].lower() == values["member"].lower():
        found["outsider"] = "exchange.wrong.outsider"
    return found


def _of_ldap(values: Mapping[str, str], secrets: Mapping[str, str]) -> Problems:
    """Say what is wrong with who reads the directory: an app cannot; another name has a password too."""
    if values["with_ldap"] != ON:
        return {}
    if values["auth"] == "oauth" and not values["ldap_user"]:
        return _missing({"ldap_user": ""})
    if values["ldap_user"] and not secrets["ldap_password"]:
        return _missing({"ldap_password": ""})
    return {}


def _connection(values: Mapping[str, str], problems: Problems) -> EwsConnection | None:
    """Build the connection as the contract has it; a field that it refuses is put among the problems."""
    with_app = values["auth"] == "oauth"
    wanted = EwsConnection(
        url="" if values["find"] == AUTODISCOVER else server_address(values["url"]),
        auth=_SCHEMES[values["auth"]],
        member=values["member"].lower(),
        outsider=values["outsider"].lower(),
        directory=sources(values)[0],
        tenant_id=values["tenant"].lower() if with_app else "",
        cloud=values["cloud"] if with_app else "global",
        resource=values["resource"] if with_app else "",
    )
    try:
        return msgspec.json.decode(msgspec.json.encode(wanted), type=EwsConnection)
    except msgspec.ValidationError as error:
        field = str(error).partition("`$.")[2].rstrip("`").partition("[")[0].partition(".")[0]
        problems[_FIELD_OF.get(field, field)] = "exchange.wrong.form"
        return None


_FIELD_OF: Final = {"tenant_id": "tenant", "directory": "with_list"}


def _credential(values: Mapping[str, str], secrets: Mapping[str, str]) -> EwsCredential:
    reads = values["with_ldap"] == ON and bool(values["ldap_user"])
    user, own = (values["ldap_user"], secrets["ldap_password"]) if reads else ("", "")
    if values["auth"] == "oauth":
        app = GraphCredential(client_id=values["client_id"], client_secret=secrets["client_secret"])
        return EwsCredential(app=app, ldap_user=user, ldap_password=own)
    return EwsCredential(username=values["account"], password=secrets["password"], ldap_user=user, ldap_password=own)


def values_of(connection: EwsConnection, credential: EwsCredential | None = None) -> dict[str, str]:
    """Return the values of a form that means a connection; the credential's names, and never a secret."""
    values = dict.fromkeys(FIELDS, "") | {
        "find": "address" if connection.url else AUTODISCOVER,
        "url": connection.url,
        "auth": connection.auth or ("oauth" if connection.tenant_id else ""),
        "tenant": connection.tenant_id,
        "resource": connection.resource,
        "cloud": connection.cloud,
        "member": connection.member,
        "outsider": connection.outsider,
    }
    for source in connection.directory:
        values |= _of_source(source, values)
    return values if credential is None else values | _names(credential)


def _names(credential: EwsCredential) -> dict[str, str]:
    client_id = credential.app.client_id if credential.app is not None else ""
    return {"account": credential.username, "client_id": client_id, "ldap_user": credential.ldap_user}


def _of_source(
    source: LdapSource | GroupSource | RoomListsSource | ListSource, values: Mapping[str, str]
) -> dict[str, str]:
    match source:
        case LdapSource(url=url, base=base, group=group):
            return {"with_ldap": ON, "ldap_url": url, "ldap_base": base, "ldap_group": group}
        case GroupSource(address=address):
            return {"with_group": ON, "groups": f"{values['groups']}\n{address}".strip()}
        case RoomListsSource():
            return {"with_rooms": ON}
        case ListSource(addresses=addresses):
            return {"with_list": ON, "list": "\n".join([*lists(values["list"]), *addresses])}
