"""Edge: what a form was sent with, bounded. It refuses control characters and more fields than any form has."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web
from msgspec import Struct
from multidict import MultiDictProxy

LARGEST_BODY: Final = 4 * 2**20  # bytes: a pasted list of tens of thousands of mailboxes is 1 MiB
MOST_FIELDS: Final = 500
_KEPT: Final = str.maketrans("", "", "\r\n\t")


class Form(Struct, frozen=True, kw_only=True):
    """What was filled in: every value of every field in order, and the files by their field."""

    fields: Mapping[str, tuple[str, ...]] = {}
    files: Mapping[str, bytes] = {}

    def get(self, name: str, default: str = "") -> str:
        """Return a field's first value without space around it."""
        return self.fields.get(name, (default,))[0].strip()

    def exactly(self, name: str) -> str:
        """Return a field's first value as it was typed: a password."""
        return self.fields.get(name, ("",))[0]

    def every(self, name: str) -> tuple[str, ...]:
        """Return every value of a field: boxes ticked."""
        return self.fields.get(name, ())

    def ticked(self, name: str) -> bool:
        """Say whether a box was ticked."""
        return bool(self.every(name))

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def __getitem__(self, name: str) -> str:
        return self.get(name)


async def sent(request: web.Request) -> MultiDictProxy[str | bytes | bytearray | web.FileField]:
    """Return a body as a form's fields, whatever they hold. Raises HTTPBadRequest where it is no form."""
    try:
        return await request.post()
    except (ValueError, LookupError):  # bytes that are no text, a charset that nobody knows, parts without an end
        raise web.HTTPBadRequest from None


async def form(request: web.Request) -> Form:
    """Return what a form was sent with; its token is seen to already. Raises HTTPBadRequest."""
    posted = await sent(request)
    if len(posted) > MOST_FIELDS:
        raise web.HTTPBadRequest
    fields: dict[str, tuple[str, ...]] = {}
    files: dict[str, bytes] = {}
    for name, value in posted.items():
        match value:
            case str():
                fields[name] = (*fields.get(name, ()), _plain(value))
            case web.FileField():
                files[name] = value.file.read()
            case bytes() | bytearray() if not value:
                pass  # what a browser sends for a file that was not chosen (HTML, 4.10.22.8)
            case _:
                raise web.HTTPBadRequest
    return Form(fields=fields, files=files)


def _plain(value: str) -> str:
    """Return a value. Raises HTTPBadRequest where it has control characters but for those that text has."""
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in value.translate(_KEPT)):
        raise web.HTTPBadRequest
    return value
