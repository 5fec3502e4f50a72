"""Whatever a server sends in place of an answer: a typed error, bounded memory, and nothing fetched or expanded."""

import resource
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ews import elements as reading
from shared.ews.elements import elements, text, words
from shared.ews.errors import OURS, EwsError
from tests.unit.shared.exchange_fake import HEAD, soap

ITEM = "<t:Item><t:Name>n</t:Name></t:Item>"


def read(chunks: Iterable[bytes]) -> list[str]:
    return [text(element[0]) if len(element) else "" for _, element in elements(chunks, (), items=("Item",))]


def code(chunks: Iterable[bytes]) -> str:
    with pytest.raises(EwsError) as caught:
        read(chunks)
    assert caught.value.code in OURS
    return caught.value.code


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def with_doctype(declared: str, used: str) -> bytes:
    return f'<?xml version="1.0"?><!DOCTYPE x [{declared}]>'.encode() + soap(used)


BOMB = '<!ENTITY a "aaaaaaaaaa">' + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise("abcdefghi"))


@pytest.mark.parametrize(
    "body",
    [
        with_doctype(BOMB, "<t:Item><t:Name>&i;</t:Name></t:Item>"),
        with_doctype('<!ENTITY a SYSTEM "file:///etc/hostname">', "<t:Item><t:Name>&a;</t:Name></t:Item>"),
        with_doctype('<!ENTITY % a SYSTEM "http://127.0.0.1:9/a.dtd"> %a;', ITEM),
        with_doctype('<!ATTLIST Item x CDATA "default">', ITEM),
        b"<!-- a --><?b c?>\n<!DOCTYPE x SYSTEM 'http://127.0.0.1:9/'>" + soap(ITEM),
    ],
    ids=["expansion", "external", "parameter", "defaults", "behind a comment"],
)
def test_a_document_that_declares_anything_is_refused_before_it_is_parsed(body: bytes) -> None:
    assert code([body]) == "not_xml"
    assert code(body[at : at + 1] for at in range(len(body))) == "not_xml"


def test_a_doctype_hidden_in_another_charset_is_refused() -> None:
    hidden = f'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [{BOMB}]>{soap(ITEM).decode()[38:]}'
    assert code([hidden.encode("utf-16")]) == "not_xml"
    assert code([hidden.replace("utf-16", "utf-7").encode("utf-7")]) == "not_xml"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "not_xml"),
        (b"   \r\n", "not_xml"),
        (b"<html><head><title>Sign in</title></head><body>x</body></html>", "not_xml"),
        (b"<!DOCTYPE html><html><br></html>", "not_xml"),
        (b"<html><body><br>x</body></html>", "not_xml"),
        (b'{"error": "json"}', "not_xml"),
        (soap(ITEM).decode().encode("utf-16"), "not_xml"),
        (soap("<t:Item><t:Name>é</t:Name></t:Item>").decode().encode("latin-1"), "not_xml"),
        (soap("<t:Item><t:Name>\0</t:Name></t:Item>"), "not_xml"),
        (b"\0" * 500, "not_xml"),
        (soap("<t:Item><t:Name>&unknown;</t:Name></t:Item>"), "not_xml"),
        (soap(ITEM) + b"<more/>", "not_xml"),
        (soap("<a>" * 100_000), "too_large"),
        (soap("<t:Item><t:Name>" + "x" * 11_000_000 + "</t:Name></t:Item>"), "too_large"),
        (soap(f"<t:{'n' * 60_000}/>"), "too_large"),
    ],
    ids=["empty", "blank", "xhtml", "html5", "html", "json", "utf-16", "latin-1", "nul", "nuls", "entity", "two roots",
         "deep", "long text", "long name"],
)  # fmt: skip
def test_what_is_no_answer_has_its_word(body: bytes, word: str) -> None:
    assert code([body]) == word


def test_an_answer_cut_anywhere_is_never_taken_for_a_whole_one() -> None:
    body = soap(ITEM * 3)
    for end in range(len(body) - 1):
        assert code([body[:end]]) in ("truncated", "not_xml")


def test_a_gigabyte_ends_early_and_takes_little_memory() -> None:
    given_out = most = 0

    def endless(piece: bytes) -> Iterator[bytes]:
        nonlocal given_out, most
        yield f"{HEAD}<s:Body>".encode()
        for _ in range(2**30 // len(piece)):
            given_out += len(piece)
            most = max(most, resident())
            yield piece

    for piece in (
        b"<a/>" * 4096,
        ITEM.replace("n<", "n" * 2000 + "<").encode() * 30,
        b" " * 65536,
        b"<a x='y'>z</a>" * 4096,
        b"<a>" * 4096,
    ):
        given_out, before = 0, resident()
        assert code(endless(piece)) == "too_large"
        assert most - before < 128 * 2**20
        assert given_out <= reading.CAP + 2**17


def test_what_is_no_item_is_bounded_between_items() -> None:
    junk = b"<t:Junk/>" * 8000
    assert code([f"{HEAD}<s:Body>".encode(), *([junk] * 40)]) == "too_large"
    fine = [f"{HEAD}<s:Body>".encode(), *([junk, ITEM.encode()] * 40), b"</s:Body></s:Envelope>"]
    assert read(fine) == ["n"] * 40


def test_many_items_are_read_and_forgotten() -> None:
    def body() -> Iterator[bytes]:
        yield f"{HEAD}<s:Body><t:Kept>".encode()
        for _ in range(20_000):
            yield f"<t:Item><t:Name>{'x' * 200}</t:Name></t:Item>\n".encode()
        yield b"</t:Kept></s:Body></s:Envelope>"

    ended = [(name, len(element)) for name, element in elements(body(), ("Kept",), items=("Item",))]
    assert len(ended) == 20_001
    assert ended[-1][1] < 5_000


@given(st.lists(st.integers(1, 400), max_size=8))
def test_where_the_pieces_are_cut_changes_nothing(cuts: list[int]) -> None:
    body = b"\xef\xbb\xbf" + soap("<t:Item><t:Name>A &amp; B &#x1F600; &#13;&#x1; Ж</t:Name></t:Item>" * 2)
    pieces, start = [], 0
    for cut in cuts:
        pieces.append(body[start : start + cut])
        start += cut
    assert read([*pieces, body[start:]]) == ["A & B 😀 \r\ufffd Ж"] * 2


def test_references_to_characters_that_xml_forbids_do_not_make_a_mailbox_unreadable() -> None:
    assert read([soap("<t:Item><t:Name>a&#x1F;b&#0;c&#xD800;&#99999999;</t:Name></t:Item>")]) == [
        "a\ufffdb\ufffdc\ufffd\ufffd"
    ]


def test_comments_and_instructions_do_not_cut_a_text() -> None:
    assert read([soap("<t:Item><t:Name>20<!-- x -->26<?y z?></t:Name></t:Item>")]) == ["2026"]


def test_prefixes_and_blanks_do_not_matter() -> None:
    item = b'<Item xmlns="u:x"><N>1</N></Item>'
    body = b'\r\n <q:Envelope xmlns:q="http://schemas.xmlsoap.org/soap/envelope/">' + item + b"</q:Envelope>"
    assert read([body]) == ["1"]


def test_texts_of_people_keep_their_blanks_and_have_an_end() -> None:
    (_, element), *_ = elements([soap(f"<t:Item> a {'x' * 9000}</t:Item>")], (), items=("Item",))
    assert words(element).startswith(" a x")
    assert len(words(element)) == reading.LONGEST


@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_an_error_of_ours_and_never_a_bug(body: bytes) -> None:
    assert code([body]) in OURS
    assert code([soap(ITEM)[:150], body]) in OURS
