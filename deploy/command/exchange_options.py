"""Options of the command line that describe an Exchange server, and the connection and credential they make."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from deploy.command.failures import Wrong
from deploy.command.secret_files import app, password
from services.authorizer.address_lists import addresses, decoded, is_address
from shared import clouds
from shared.contracts.messages import EwsConnection, GroupSource, LdapSource, ListSource, RoomListsSource, Source
from shared.ews.credential import EwsCredential

T = TypeVar("T")

FIND: Final = "autodiscover"  # --ews without an address
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS: Final = (
    click.option("--ews", is_flag=False, flag_value=FIND, metavar="[URL]",
                 help="An Exchange server: where its EWS is; without URL autodiscover finds it."),
    click.option("--account", help="Its service account: DOMAIN\\name or name@domain."),
    click.option("--password-file", type=_FILE, help="File with the account's password; without it, it is asked for."),
    click.option("--auth", type=click.Choice(["basic", "ntlm", "oauth"]),
                 help="How to sign in; without it, the best that the server offers."),
    click.option("--resource", help="With OAuth at a server of your own: its address, which tokens are for."),
    click.option("--member", help="An ordinary mailbox that the account may impersonate; it is read to verify."),
    click.option("--outsider", help="A mailbox that the account must not be able to read."),
    click.option("--from-group", multiple=True, help="Read the members of this distribution group; repeatable."),
    click.option("--from-list", type=_FILE, multiple=True,
                 help="Read the addresses in this file: one a line, or a CSV with PrimarySmtpAddress; repeatable."),
    click.option("--from-rooms", is_flag=True, help="Read the rooms of all room lists."),
    click.option("--ldap", help="Read the mailboxes in Active Directory at ldaps://HOST (or ldap://HOST, StartTLS)."),
    click.option("--ldap-base", help="Where the search begins: a DN."),
    click.option("--ldap-group", help="Only members of this group: its DN."),
    click.option("--ldap-user", help="Who reads the directory, where it is not the account."),
    click.option("--ldap-password-file", type=_FILE, help="File with the password of --ldap-user."),
)  # fmt: skip
_OURS: Final = (
    "account", "password_file", "auth", "resource", "member", "outsider", "from_group", "from_list", "from_rooms",
    "ldap", "ldap_base", "ldap_group", "ldap_user", "ldap_password_file",
)  # fmt: skip
_APP: Final = ("client_id", "client_secret_file", "certificate_file", "tenant")
_FORMS: Final = {
    "url": "--ews is an address such as https://MAIL.DOMAIN/EWS/Exchange.asmx, without a name or password in it",
    "member": "--member is one mailbox's address",
    "outsider": "--outsider is one mailbox's address",
    "tenant_id": "--tenant is a GUID or a domain name",
    "resource": "--resource is https:// and a host's name, such as https://MAIL.DOMAIN",
    "directory": "--ldap is an address such as ldaps://HOST or ldap://HOST, --ldap-base and --ldap-group are DNs",
}


def exchange_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe an Exchange server."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def is_exchange(options: dict[str, object]) -> bool:
    """Say whether an Exchange server is meant; a usage error where its options are given without --ews."""
    if options["ews"] is not None:
        return True
    for name in _OURS:
        if options[name]:
            raise Wrong(f"{_option(name)} belongs to an Exchange server: give --ews too")
    return False


def exchange_connection(name: str, options: dict[str, object]) -> EwsConnection:
    """Build the connection, checked before anything is stored or asked; a usage error says what is wrong."""
    cloud = str(options["cloud"])
    if cloud not in clouds.NAMES:
        raise Wrong(f"--cloud is one of {', '.join(clouds.NAMES)}")
    url = str(options["ews"])
    member, outsider = _tried(options)
    wanted = EwsConnection(
        url="" if url == FIND else url,
        auth=options["auth"] or "",  # type: ignore[arg-type]  # a click.Choice of just these words
        member=member,
        outsider=outsider,
        directory=_sources(options),
        credential=name,
        tenant_id=str(options["tenant"] or "").lower(),
        cloud=cloud,
        resource=str(options["resource"] or ""),
    )
    return _checked(wanted)


def exchange_credential(options: dict[str, object]) -> EwsCredential:
    """Build the credential: an account with its password, or an app; never both."""
    with_app = [_option(name) for name in _APP if options[name]]
    if with_app and options["account"]:
        raise Wrong(f"--account signs in with a password, {with_app[0]} an app with OAuth: give one of them")
    if options["auth"] == "oauth" or with_app:
        return _with_app(options)
    if not options["account"]:
        raise Wrong("--ews needs --account, or for OAuth --tenant and --client-id")
    account = str(options["account"])
    secret = password(options["password_file"], of=account)
    user, own = _ldap(options)
    return EwsCredential(username=account, password=secret, ldap_user=user, ldap_password=own)


def _with_app(options: dict[str, object]) -> EwsCredential:
    if options["auth"] not in (None, "oauth"):
        raise Wrong(f"--auth {options['auth']} signs in with a password: give --account")
    if not (options["tenant"] and options["client_id"]):
        raise Wrong("OAuth needs --tenant and --client-id")
    if options["ldap"] and not options["ldap_user"]:
        raise Wrong("--ldap needs --ldap-user: an app cannot sign in to a directory")
    user, own = _ldap(options)
    return EwsCredential(app=app(options), ldap_user=user, ldap_password=own)


def _ldap(options: dict[str, object]) -> tuple[str, str]:
    """Return who reads the directory and with which password, where it is not the account."""
    user = str(options["ldap_user"] or "")
    return user, password(options["ldap_password_file"], of=user) if user else ""


def _tried(options: dict[str, object]) -> tuple[str, str]:
    """Return the mailbox that is read to verify, and the one that must be refused, "" where none is named."""
    if not options["member"]:
        raise Wrong("--ews needs --member: an ordinary mailbox that the account may impersonate")
    member, outsider = (str(options[name] or "").lower() for name in ("member", "outsider"))
    if not is_address(member):
        raise Wrong(_FORMS["member"])
    if outsider and not is_address(outsider):
        raise Wrong(_FORMS["outsider"])
    if member == outsider:
        raise Wrong("--outsider is a mailbox that the account must not read: another one than --member")
    return member, outsider


def _sources(options: dict[str, object]) -> tuple[Source, ...]:
    found: list[Source] = []
    if options["ldap"]:
        if not options["ldap_base"]:
            raise Wrong("--ldap needs --ldap-base: the DN where the search begins")
        group = str(options["ldap_group"] or "")
        found.append(LdapSource(url=str(options["ldap"]), base=str(options["ldap_base"]), group=group))
    groups = _many(options, "from_group", str)
    if not all(map(is_address, groups)):
        raise Wrong("--from-group is a distribution group's address; a group of the directory's is --ldap-group DN")
    found += [GroupSource(address=address.lower()) for address in groups]
    found += [ListSource(addresses=_listed(file)) for file in _many(options, "from_list", Path)]
    if options["from_rooms"]:
        found.append(RoomListsSource())
    if not found:
        raise Wrong("say whose calendars are read: --from-group, --from-list, --from-rooms or --ldap")
    return tuple(found)


def _many(options: dict[str, object], name: str, kind: type[T]) -> list[T]:
    given = options[name]
    return [each for each in given if isinstance(each, kind)] if isinstance(given, tuple) else []


def _listed(file: Path) -> tuple[str, ...]:
    try:
        return addresses(decoded(file.read_bytes()))
    except ValueError as error:
        raise Wrong(f"{file}: {error}") from None


def _checked(wanted: EwsConnection) -> EwsConnection:
    try:
        return msgspec.json.decode(msgspec.json.encode(wanted), type=EwsConnection)
    except msgspec.ValidationError as error:
        field = str(error).partition("`$.")[2].rstrip("`").partition("[")[0].partition(".")[0]
        raise Wrong(_FORMS.get(field, f"--{field} is not in the form that is needed")) from None


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
