"""Decides how a sentence of a verification reads on the setup page, where nobody types options of a command line.

Pure. Commands that a sentence holds, between backticks, come out as pieces of their own.
"""

import re
from typing import Final

from msgspec import Struct

# the longer ones first: what is left of a sentence must make sense
_SAID: Final = (
    ("`busyline connect ORG --tenant ...`", "choose Microsoft 365 on this page"),
    ("--ldap-user and --ldap-password-file", "an account and a password for the directory"),
    ("are connected by --ews", "are connected as an Exchange server"),
    ("--resource naming", "a resource naming"),
    ("use --auth basic", "choose Basic as the way to sign in"),
    ("without --auth", "with the way to sign in left to be found"),
    ("Name a mailbox that must be out of its reach by --outsider", "Fill in a mailbox that must be refused"),
    ("Name a second by --outsider", "Fill in a mailbox that must be refused"),
    (" (--from-list)", " of addresses"),
    (" (--ldap)", ""),
    ("by --outsider", "as the mailbox that must be refused"),
    ("Connect again", "Test again"),
    ("connect again", "test again"),
)
_CODE: Final = re.compile(r"`([^`]*)`")


class Piece(Struct, frozen=True, kw_only=True):
    """A part of a sentence; `is_code` where it is a command to be typed."""

    text: str
    is_code: bool = False


def on_the_page(sentence: str) -> str:
    """Return a sentence with the page's words instead of options."""
    for option, words in _SAID:
        sentence = sentence.replace(option, words)
    return sentence


def pieces(sentence: str) -> tuple[Piece, ...]:
    """Return a sentence as the page shows it: in pieces, commands apart."""
    parts = _CODE.split(on_the_page(sentence))
    return tuple(Piece(text=part, is_code=bool(n % 2)) for n, part in enumerate(parts) if part)
