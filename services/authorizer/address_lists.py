"""Pure: the addresses in a file that an admin exported: one a line, or a column of a table that Exchange writes."""

import csv
import re
from collections.abc import Iterator
from typing import Final

COLUMNS: Final = ("primarysmtpaddress", "emailaddress", "mail", "email", "windowsemailaddress")  # the first one found
MOST: Final = 50_000
_ADDRESS: Final = re.compile(r"[^\s@,;\"<>]{1,64}@[^\s@,;\"<>]{1,253}")
_BOMS: Final = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))


def is_address(text: str) -> bool:
    """Say whether a text could be a mailbox's address."""
    return _ADDRESS.fullmatch(text) is not None


def decoded(body: bytes) -> str:
    """Return a file's text: UTF-8, or UTF-16 as older PowerShells write it. Raises ValueError with a sentence."""
    encoding = next((name for mark, name in _BOMS if body.startswith(mark)), "utf-8")
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError("it is neither UTF-8 nor UTF-16 text") from None


def addresses(text: str) -> tuple[str, ...]:
    """Return the addresses in lower case, each once, in their order. Raises ValueError with a sentence."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]  # `#TYPE ...` of a CSV
    if not lines:
        raise ValueError("there is no address in it")
    found = tuple(dict.fromkeys(address.strip().lower() for address in _column(lines) if address.strip()))
    for number, address in enumerate(found, 1):
        if not is_address(address):
            raise ValueError(f"the {number}. entry is not an address")  # not quoted: whatever it is may be private
    if not found:
        raise ValueError("there is no address in it")
    if len(found) > MOST:
        raise ValueError(f"it holds more than {MOST} addresses")
    return found


def _column(lines: list[str]) -> Iterator[str]:
    """Yield the lines, or the cells of the column that is named for addresses."""
    delimiter = max(",;\t", key=lines[0].count)
    header = [cell.strip().lower() for cell in next(csv.reader(lines[:1], delimiter=delimiter))]
    name = next((column for column in COLUMNS if column in header), None)
    if name is None:
        if any("@" in cell for cell in header) and len(header) == 1:
            yield from lines
            return
        raise ValueError("it has neither an address a line nor a column named PrimarySmtpAddress, EmailAddress or mail")
    place = header.index(name)
    for row in csv.reader(lines[1:], delimiter=delimiter):
        if len(row) > place:
            yield row[place]
