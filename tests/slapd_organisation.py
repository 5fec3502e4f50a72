"""A hybrid organisation as its Active Directory shows it: thousands of people, rooms, groups in groups, a referral."""

from shared.contracts.messages import LdapSource
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings, surroundings
from tests.slapd_server import ACCOUNT, BASE, PASSWORD, Person, SlapdServer, group, group_dn, tree

MANY = 2500
PEOPLE = [Person(name=f"person{number}", number=number) for number in range(MANY)]
SMALL_BASE = f"ou=rooms,{BASE}"
SMALL = [
    Person(name="linked", number=5001, sort=2, unit="rooms"),
    Person(name="shared", number=5002, sort=4, unit="rooms"),
    Person(name="room", number=5003, sort=16, unit="rooms"),
    Person(name="projector", number=5004, sort=32, unit="rooms"),
    Person(name="hidden", number=5005, unit="rooms", more=("msExchHideFromAddressLists: TRUE",)),
    Person(name="bare", number=5006, unit="rooms", mailbox=False),  # has the type, and never had a mailbox
    Person(name="mailuser", number=5007, sort=128, unit="rooms"),
    Person(name="health", number=5008, sort=549_755_813_888, unit="rooms"),
    Person(name="cloud", number=5009, sort=2_147_483_648, unit="rooms", mailbox=False),
    Person(name="cloudroom", number=5010, sort=8_589_934_592, unit="rooms"),
]
CIRCLE = "Calendars (all) *, \\ and others"  # every sign that means something somewhere
INNER = "inner"
DEEPEST = "deepest"
EMPTY = "nobody"


def slapd_server(more: str = "") -> SlapdServer:
    """Return an OpenLDAP with the organisation in it, not started. Raises Unavailable."""
    circle = group(CIRCLE, [PEOPLE[0].dn, group_dn(INNER), SMALL[2].dn])
    inner = group(INNER, [PEOPLE[1].dn, group_dn(DEEPEST), group_dn(CIRCLE), f"cn=gone,ou=people,{BASE}"])
    deepest = group(DEEPEST, [PEOPLE[2].dn.replace("person2", "PERSON2").replace(",ou=", ", ou=")])
    groups = [circle, inner, deepest, group(EMPTY, [])]
    return SlapdServer("\n".join([tree(), *(person.ldif() for person in [*PEOPLE, *SMALL]), *groups, more]))


def source(server: SlapdServer, *, plain: bool = False, base: str = BASE, group: str = "") -> LdapSource:
    """Return the organisation's directory as a connection names it."""
    return LdapSource(url=server.plain_url if plain else server.url, base=base, group=group)


def credential(password: str = PASSWORD) -> EwsCredential:
    """Return what binds; the account at Exchange is another one."""
    return EwsCredential(username="EXAMPLE\\exchange", password="not asked", ldap_user=ACCOUNT, ldap_password=password)


def around(server: SlapdServer) -> Surroundings:
    """Return surroundings in which the server may be reached, and is trusted."""
    return surroundings(server.ca_file, "127.0.0.0/8, ::1/128")
