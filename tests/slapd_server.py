"""A throwaway OpenLDAP that shows what Active Directory shows: ports and folder of its own, on loopback, under TLS."""

import base64
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from msgspec import Struct

from deploy.sandbox import tls
from shared import clock
from tests.processes import Group, Unavailable, found, free_port, listens, of_its_own, until_it

PLACES = ("/usr/sbin", "/usr/local/libexec", "/usr/lib/openldap")
MODULES = ("/usr/lib/ldap", "/usr/lib/openldap", "/usr/local/libexec/openldap")
SCHEMAS = ("/etc/ldap/schema", "/etc/openldap/schema", "/usr/local/etc/openldap/schema")
BASE = "dc=example,dc=org"
ACCOUNT, PASSWORD = f"cn=calendars,{BASE}", "a service's secret"
CLEAR_LIMIT = 500  # entries that a search without pages is given

_OID = "1.3.6.1.4.1.4203.666.11.1"  # OpenLDAP's arc for experiments
_TEXT, _WHOLE, _YES = "1.15", "1.27", "1.7"  # syntaxes of RFC 4517, below 1.3.6.1.4.1.1466.115.121
_BYTES, _NAME = "1.40", "1.12"
ATTRIBUTES = {
    "objectGUID": (_BYTES, "octetStringMatch"),
    "msExchMailboxGuid": (_BYTES, "octetStringMatch"),
    "msExchRecipientTypeDetails": (_WHOLE, "integerMatch"),
    "msExchHideFromAddressLists": (_YES, "booleanMatch"),
    "proxyAddresses": (_TEXT, "caseIgnoreMatch"),
    "userPrincipalName": (_TEXT, "caseIgnoreMatch"),
    "objectCategory": (_TEXT, "caseIgnoreMatch"),
    "supportedCapabilities": (_TEXT, "caseIgnoreMatch"),
    "memberOf": (_NAME, "distinguishedNameMatch"),
}
_CONFIG = """
include {schemas}/core.schema
include {schemas}/cosine.schema
include {folder}/directory.schema
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
loglevel stats
TLSCACertificateFile {papers}/ca.pem
TLSCertificateFile {papers}/server.pem
TLSCertificateKeyFile {papers}/server.key
TLSVerifyClient never
{modules}
database mdb
maxsize 268435456
suffix "{base}"
rootdn "cn=admin,{base}"
directory {folder}/data
sizelimit size.soft={limit} size.hard=soft size.prtotal=unlimited
access to attrs=userPassword by anonymous auth by * none
access to * by users read by anonymous auth
index objectClass,objectCategory,msExchRecipientTypeDetails eq
"""


class Person(Struct, frozen=True, kw_only=True):
    """A mailbox as Active Directory shows it; `sort` is its msExchRecipientTypeDetails."""

    name: str
    number: int
    sort: int = 1
    unit: str = "people"
    mailbox: bool = True
    more: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return f"{self.name}@example.org"

    @property
    def dn(self) -> str:
        return f"cn={self.name},ou={self.unit},{BASE}"

    @property
    def guid(self) -> UUID:
        return UUID(int=self.number + (0x0123456789ABCDEF << 64))

    def ldif(self) -> str:
        guid = base64.b64encode(self.guid.bytes_le).decode()
        lines = [
            f"dn: {self.dn}", "objectClass: user", f"cn: {self.name}", "objectCategory: person",
            f"objectGUID:: {guid}", f"mail: {self.name}@old.example.org",
            f"proxyAddresses: SMTP:{self.name}@Example.org", f"proxyAddresses: smtp:{self.name}@old.example.org",
            f"proxyAddresses: X400:c=de;s={self.number}", f"userPrincipalName: {self.name}@ad.example.org",
            f"msExchRecipientTypeDetails: {self.sort}",
        ]  # fmt: skip
        lines += [f"msExchMailboxGuid:: {guid}"] if self.mailbox else []
        return "\n".join([*lines, *self.more, ""])


def tree(units: Iterable[str] = ("people", "rooms", "remote", "groups")) -> str:
    """Return the LDIF of the base, the account and the units."""
    account = f"dn: {ACCOUNT}\nobjectClass: user\ncn: calendars\nuserPassword: {PASSWORD}\n"
    base = f"dn: {BASE}\nobjectClass: domain\ndc: example\n"
    return "\n".join(
        [base, account, *(f"dn: ou={unit},{BASE}\nobjectClass: organizationalUnit\nou: {unit}\n" for unit in units)]
    )


def group(name: str, members: Iterable[str], *, more: str = "") -> str:
    """Return the LDIF of a group; members are DNs."""
    lines = [f"dn: {group_dn(name)}", "objectClass: group", f"cn: {name}", *(f"member: {each}" for each in members)]
    return "\n".join([*lines, *([more] if more else []), ""])


def group_dn(name: str) -> str:
    """Return the DN of a group, whatever signs its name has."""
    value = name.replace("\\", "\\\\").replace(",", "\\,")
    return f"cn={value},ou=groups,{BASE}"


class SlapdServer:
    """One OpenLDAP; `url` is LDAPS, `plain_url` LDAP with StartTLS, `ca_file` what vouches for both."""

    def __init__(self, ldif: str, folder: Path | None = None) -> None:
        """Fill the directory, not started yet. Raises Unavailable without the programs."""
        program = found("slapd", PLACES)
        schemas = _first(SCHEMAS, "core.schema")
        self._folder = of_its_own(folder, "busyline-slapd-")
        # a copy: AppArmor lets the installed one write nowhere but in its own places
        self._program = Path(shutil.copy(program, self._folder))
        self.port, self.plain_port = free_port(), free_port()
        self.url = f"ldaps://localhost:{self.port}"
        self.plain_url = f"ldap://localhost:{self.plain_port}"
        self._server: Group | None = None
        papers = tls.papers(self._folder / "tls", [], now=clock.now())
        self.ca_file = str(papers.ca_file)
        (self._folder / "data").mkdir()
        (self._folder / "directory.schema").write_text(_schema())
        self._config = self._folder / "slapd.conf"
        self._config.write_text(
            _CONFIG.format(
                schemas=schemas, folder=self._folder, papers=self._folder / "tls", modules=_modules(), base=BASE,
                limit=CLEAR_LIMIT,
            )
        )  # fmt: skip
        self._fill(ldif)

    def start(self) -> None:
        """Start, unless it runs, and wait until it answers."""
        if self._server is not None:
            return
        where = f"ldaps://127.0.0.1:{self.port} ldap://127.0.0.1:{self.plain_port}"
        self._server = Group([self._program, "-f", self._config, "-h", where, "-d", "stats"], self._folder)
        until_it(self._answers, 60, "slapd")

    def kill(self) -> None:
        """Kill it where it stands."""
        if self._server is not None:
            self._server.kill()
            until_it(lambda: not listens(self.port), 60, "slapd's end")
            self._server = None

    def stop(self) -> None:
        """End it and delete everything."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def said(self, word: str) -> int:
        """Count the lines of its log that hold a word."""
        return sum(word in line for line in (self._folder / "output").read_text(errors="replace").splitlines())

    def _fill(self, ldif: str) -> None:
        content = self._folder / "content.ldif"
        content.write_text(ldif, encoding="utf-8")
        command: list[str | Path] = [self._program, "-T", "add", "-q", "-f", self._config, "-l", content]
        told = subprocess.run(command, capture_output=True, check=False)
        if told.returncode != 0:
            raise RuntimeError(told.stderr.decode(errors="replace")[-2000:])

    def _answers(self) -> bool:
        if self._server is not None and not self._server.alive:
            raise RuntimeError("slapd ended while starting")
        return listens(self.port) and listens(self.plain_port)


def _first(places: tuple[str, ...], name: str) -> Path:
    for place in places:
        if (Path(place) / name).exists():
            return Path(place)
    raise Unavailable(f"no {name} on this machine")


def _modules() -> str:
    """Return how the database's module is loaded; where there is none it is built in."""
    for place in MODULES:
        if list(Path(place).glob("back_mdb*")):
            return f"modulepath {place}\nmoduleload back_mdb"
    return ""


def _schema() -> str:
    lines = []
    for number, (name, (syntax, match)) in enumerate(ATTRIBUTES.items()):
        single = "" if name in ("proxyAddresses", "memberOf", "supportedCapabilities") else " SINGLE-VALUE"
        kind = f"EQUALITY {match} SYNTAX 1.3.6.1.4.1.1466.115.121.{syntax}{single}"
        lines.append(f"attributetype ( {_OID}.1.{number} NAME '{name}' {kind} )")
    own = " $ ".join([*ATTRIBUTES, "mail", "userPassword"])
    lines.append(f"objectclass ( {_OID}.2.1 NAME 'user' SUP top STRUCTURAL MUST cn MAY ( {own} ) )")
    lines.append(f"objectclass ( {_OID}.2.2 NAME 'group' SUP top STRUCTURAL MUST cn MAY ( member $ mail ) )")
    return "\n".join(lines) + "\n"
