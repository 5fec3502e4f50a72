"""A real directory is read: over TLS alone, page by page, all of it or an error, and nothing beside it."""

import socket
from contextlib import aclosing
from pathlib import Path

import pytest

from deploy.sandbox import tls
from shared import clock
from shared.contracts.messages import LdapSource
from shared.contracts.values import Kind
from shared.ews.dialling import Surroundings, surroundings
from shared.ldap import mailboxes, probe
from shared.ldap_entries import Entry
from shared.ldap_line import LdapError
from tests.slapd_organisation import (
    CIRCLE,
    EMPTY,
    MANY,
    PEOPLE,
    SMALL,
    SMALL_BASE,
    around,
    credential,
    slapd_server,
    source,
)
from tests.slapd_server import ACCOUNT, BASE, CLEAR_LIMIT, SlapdServer, group_dn


async def found(server: SlapdServer, where: LdapSource, *, page: int = 500) -> list[Entry]:
    pages = [each async for each in mailboxes(where, credential(), around(server), page=page)]
    return [entry for each in pages for entry in each]


async def reason(
    where: LdapSource, *, server: SlapdServer, password: str = "", near: Surroundings | None = None
) -> str:
    given = credential(password) if password else credential()
    with pytest.raises(LdapError) as refused:
        await probe(where, given, near or around(server))
    return refused.value.reason


async def test_thousands_are_read_page_by_page_though_one_search_is_given_few(slapd: SlapdServer) -> None:
    entries = await found(slapd, source(slapd, base=f"ou=people,{BASE}"))
    assert len(entries) == MANY > CLEAR_LIMIT
    assert {(each.mailbox_id, each.address) for each in entries} == {(str(each.guid), each.address) for each in PEOPLE}


@pytest.mark.parametrize("plain", [False, True], ids=["ldaps", "starttls"])
async def test_both_ways_of_tls_give_the_same_and_what_is_no_mailbox_is_left_out(
    slapd: SlapdServer, plain: bool
) -> None:
    entries = {each.address: each for each in await found(slapd, source(slapd, plain=plain, base=SMALL_BASE))}
    assert {name.partition("@")[0]: (each.kind, each.remote) for name, each in entries.items()} == {
        "linked": (Kind.USER, False),
        "shared": (Kind.SHARED, False),
        "room": (Kind.ROOM, False),
        "projector": (Kind.EQUIPMENT, False),
        "hidden": (Kind.USER, False),
        "cloud": (Kind.USER, True),
        "cloudroom": (Kind.ROOM, True),
    }
    room = entries["room@example.org"]
    assert room == Entry(
        mailbox_id=str(SMALL[2].guid),
        address="room@example.org",
        aliases=("room@old.example.org",),
        upn="room@ad.example.org",
        kind=Kind.ROOM,
    )
    assert [each.address for each in entries.values() if each.hidden] == ["hidden@example.org"]


async def test_a_groups_members_are_found_through_groups_in_circles_and_under_names_full_of_signs(
    slapd: SlapdServer,
) -> None:
    entries = await found(slapd, source(slapd, group=group_dn(CIRCLE)))
    assert sorted(each.address for each in entries) == [
        "person0@example.org",
        "person1@example.org",
        "person2@example.org",
        "room@example.org",
    ]


async def test_a_group_of_nobody_has_nobody(slapd: SlapdServer) -> None:
    assert await found(slapd, source(slapd, group=group_dn(EMPTY))) == []
    assert await probe(source(slapd, group=group_dn(EMPTY)), credential(), around(slapd)) is None


async def test_a_probe_shows_one_mailbox(slapd: SlapdServer) -> None:
    shown = await probe(source(slapd, base=f"ou=people,{BASE}"), credential(), around(slapd))
    assert shown is not None
    assert shown.address in {each.address for each in PEOPLE}


@pytest.mark.parametrize(
    ("where", "word"),
    [
        ({"base": "dc=example,dc=com"}, "base_unknown"),
        ({"base": f"ou=nowhere,{BASE}"}, "base_unknown"),
        ({"base": "no dn at all"}, "base_unknown"),
        ({"group": f"cn=nobody knows it,{BASE}"}, "group_unknown"),
        ({"group": "no dn at all"}, "group_unknown"),
        ({"group": f"cn=*)(objectClass=*,{BASE}"}, "group_unknown"),
    ],
)
async def test_a_base_or_group_that_is_not_there_is_told_and_not_empty(
    slapd: SlapdServer, where: dict[str, str], word: str
) -> None:
    assert await reason(source(slapd, **where), server=slapd) == word  # type: ignore[arg-type]  # only texts here


async def test_a_wrong_password_is_tried_once(slapd: SlapdServer) -> None:
    before = slapd.said(f'BIND dn="{ACCOUNT}" method=128')
    assert await reason(source(slapd), server=slapd, password="wrong") == "bind_refused"
    assert slapd.said(f'BIND dn="{ACCOUNT}" method=128') == before + 1


@pytest.mark.parametrize("plain", [False, True], ids=["ldaps", "starttls"])
async def test_a_directory_under_an_unknown_ca_is_told_no_password(
    slapd: SlapdServer, tmp_path: Path, plain: bool
) -> None:
    other = tls.papers(tmp_path, [], now=clock.now())
    before = slapd.said("BIND dn=")
    for ca_file in ("", str(other.ca_file)):
        near = surroundings(ca_file, "127.0.0.0/8, ::1/128")
        assert await reason(source(slapd, plain=plain), server=slapd, near=near) == "not_trusted"
    assert slapd.said("BIND dn=") == before


async def test_a_port_that_speaks_the_other_way_is_told_no_password(slapd: SlapdServer) -> None:
    before = slapd.said("BIND dn=")
    crossed = [slapd.plain_url.replace("ldap:", "ldaps:"), slapd.url.replace("ldaps:", "ldap:")]
    assert [await reason(LdapSource(url=url, base=BASE), server=slapd) for url in crossed] == ["tls_refused"] * 2
    assert slapd.said("BIND dn=") == before


async def test_loopback_is_not_reached_where_no_operator_allows_it(slapd: SlapdServer) -> None:
    before = slapd.said("ACCEPT")
    near = surroundings(slapd.ca_file, "")
    assert await reason(source(slapd), server=slapd, near=near) == "address_refused"
    assert slapd.said("ACCEPT") == before


@pytest.mark.usefixtures("slapd")  # skipped where there is none
async def test_a_referral_is_not_followed() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port = listener.getsockname()[1]
    referral = f"""dn: ou=elsewhere,{BASE}
objectClass: referral
objectClass: extensibleObject
ou: elsewhere
ref: ldap://127.0.0.1:{port}/ou=elsewhere,{BASE}
"""
    server = slapd_server(referral)
    try:
        server.start()
        assert len(await found(server, source(server))) > MANY  # it lies below the base, and the rest is read
        assert await reason(source(server, base=f"ou=elsewhere,{BASE}"), server=server) == "referred"
        with pytest.raises(BlockingIOError):
            listener.accept()
    finally:
        server.stop()
        listener.close()


async def test_a_directory_that_dies_midway_is_an_error_and_no_short_list(mortal_slapd: SlapdServer) -> None:
    pages = []

    async def read() -> None:
        async with aclosing(mailboxes(source(mortal_slapd), credential(), around(mortal_slapd))) as reading:
            async for page in reading:
                pages.append(page)
                mortal_slapd.kill()

    with pytest.raises(LdapError, match="network"):
        await read()
    assert len(pages) == 1
    assert await reason(source(mortal_slapd), server=mortal_slapd) == "unreachable"
