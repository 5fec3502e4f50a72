"""Reads an Exchange answer as it comes: the elements wanted, each when it ends, and none kept longer than needed.

Pure. It refuses DOCTYPEs, entities, deep nesting, answers without end and answers cut short: always by an EwsError,
never by one of the parser's own.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

from lxml import etree

from shared.ews.errors import EwsError

Element = Any  # lxml has no types

CAP: Final = 32 * 2**20  # bytes of an answer; 1,000 items with all we ask for are some 0.5 MB
BETWEEN: Final = 2 * 2**20  # bytes without an item: what is not an item stays in memory until the next one
KEPT: Final = 2**19  # bytes that stay in memory before they are forgotten: forgetting costs as much as reading
PIECE: Final = 64 * 2**10
LONGEST: Final = 8192  # characters of one text

# What may stand before the first element: a byte order mark, processing instructions, comments.
_HEAD: Final = re.compile(rb"(?:\xef\xbb\xbf)?+\s*+(?>(?:<\?(?>.*?\?>)|<!--(?>.*?-->))\s*+)*+", re.DOTALL)
_REFERENCE: Final = re.compile(rb"&#(?:x([0-9A-Fa-f]{1,8})|([0-9]{1,10}));")
_LIMITS: Final = frozenset((etree.ErrorTypes.ERR_RESOURCE_LIMIT, etree.ErrorTypes.ERR_NAME_TOO_LONG))
_CUT_REFERENCE: Final = re.compile(rb"&#?[0-9A-Fa-fx]{0,10}\Z")


def elements(
    chunks: Iterable[bytes], wanted: tuple[str, ...], *, items: tuple[str, ...] = ()
) -> Iterator[tuple[str, Element]]:
    """Yield (local name, element) for every end of an element named in `wanted` or `items`, in any namespace.

    All before an item may be forgotten once it was yielded: nothing there may be looked up later.
    Raises EwsError: `not_xml`, `truncated`, `too_large`.
    """
    parser = _parser((*wanted, *items))
    since = 0
    for piece in _legible(_from_element(_pieces(chunks))):
        since += len(piece)
        last = None
        for name, element in _fed(parser, piece):
            yield name, element
            if name in items:
                last = element
        if last is not None and since > KEPT:
            _forget_before(last)
            since = 0
        elif since > BETWEEN:
            raise EwsError("too_large")
    _close(parser)


def text(element: Element | None) -> str:
    """Return an element's text, "" where there is none, stripped and never longer than any that is meant."""
    return words(element).strip()


def words(element: Element | None) -> str:
    """Return what people wrote in an element, as they wrote it, never longer than any that is meant."""
    found = None if element is None else element.text
    return found[:LONGEST] if found else ""


@lru_cache(maxsize=4096)
def local(tag: str) -> str:
    """Return a tag without its namespace."""
    return tag.rpartition("}")[2]


def child(element: Element, name: str) -> Element | None:
    """Return the first child of a local name."""
    return next((one for one in element if local(one.tag) == name), None)


def within(element: Element, name: str) -> Iterator[Element]:
    """Yield the descendants of a local name."""
    found: Iterator[Element] = element.iter("{*}" + name)
    return found


def _parser(names: tuple[str, ...]) -> Any:
    """Return a parser that expands nothing, fetches nothing, and keeps to libxml2's limits of depth and length.

    Exchange answers in UTF-8 only; no other charset may hide a DOCTYPE from us.
    """
    return etree.XMLPullParser(
        events=("end",),
        tag=tuple("{*}" + name for name in names),
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        collect_ids=False,
        remove_comments=True,
        remove_pis=True,
    )


def _fed(parser: Any, piece: bytes) -> Iterator[tuple[str, Element]]:
    try:
        parser.feed(piece)
    except etree.XMLSyntaxError as error:
        raise EwsError("too_large" if error.code in _LIMITS else "not_xml") from None
    for _, element in parser.read_events():
        yield local(element.tag), element


def _close(parser: Any) -> None:
    try:
        root = parser.close()
    except etree.XMLSyntaxError as error:  # an entity that nobody declared leaves no tree at all
        raise EwsError("not_xml" if error.code == etree.ErrorTypes.ERR_INTERNAL_ERROR else "truncated") from None
    if local(root.tag) != "Envelope":
        raise EwsError("not_xml")


def _forget_before(element: Element) -> None:
    """Free an item and all that stands before it, on every level; what is still open goes on after it."""
    node = element
    element.clear(keep_tail=True)
    while (parent := node.getparent()) is not None:
        del parent[: parent.index(node)]
        node = parent


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a body in pieces of one size: many small ones cost time, large ones memory."""
    size = 0
    held = b""
    for chunk in chunks:
        size += len(chunk)
        if size > CAP:
            raise EwsError("too_large")
        held += chunk
        start = 0
        while len(held) - start >= PIECE:
            yield held[start : start + PIECE]
            start += PIECE
        held = held[start:]
    if held:
        yield held


def _from_element(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pass all on once the first element has begun; before it no declaration may stand, so none can hide entities."""
    head = b""
    for piece in pieces:
        head += piece
        begun = _begun(head)
        if begun:
            yield head.lstrip(b" \t\r\n")  # a declaration may stand at the very beginning only
            break
        if begun is None and len(head) > PIECE:
            raise EwsError("not_xml")
        if begun is False:
            raise EwsError("not_xml")
    else:
        raise EwsError("truncated" if head.lstrip(b"\xef\xbb\xbf \t\r\n") else "not_xml")
    yield from pieces


def _begun(head: bytes) -> bool | None:
    """Say whether the first element begins after the head; None where more must be read to tell."""
    match = _HEAD.match(head)
    rest = head[match.end() if match else 0 :]
    if len(rest) < 2 and b"<".startswith(rest[:1]):
        return None
    if rest[:2] in (b"<?", b"<!"):
        # An instruction or a comment that has not ended yet; anything else of the kind declares something.
        return None if rest[:2] == b"<?" or b"<!--".startswith(rest[:4]) else False
    return rest[:1] == b"<"


def _legible(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Replace references to characters that XML forbids: Exchange prints a subject's control characters so."""
    held = b""
    for piece in pieces:
        whole = held + piece if held else piece
        held = b""
        if b"&" not in whole:  # one byte is looked for ten times as fast as two
            yield whole
            continue
        cut = _CUT_REFERENCE.search(whole, max(0, len(whole) - 12))
        if cut is not None:
            whole, held = whole[: cut.start()], whole[cut.start() :]
        yield _REFERENCE.sub(_reference, whole) if b"&#" in whole else whole
    if held:
        yield held


def _reference(match: re.Match[bytes]) -> bytes:
    code = int(match[1], 16) if match[1] else int(match[2])
    legal = code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
    return match[0] if legal else b"&#xFFFD;"
