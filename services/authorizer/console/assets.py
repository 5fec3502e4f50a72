"""The files that browsers load: read once, named with a hash of their content so that they may be kept for good.

Only what lies in the folder at the start is served; no path is ever made of an address.
"""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from aiohttp import web
from msgspec import Struct

FOLDER: Final = "/setup/static/"
_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Asset(Struct, frozen=True, kw_only=True):
    """A file: its address with the hash in it, its type, its bytes."""

    address: str
    content_type: str
    body: bytes


def load() -> dict[str, Asset]:
    """Return every file by its name."""
    found = {}
    for file in sorted(files("services.authorizer.console").joinpath("static").iterdir(), key=lambda file: file.name):
        ending = file.name.rpartition(".")[2]
        if ending in _TYPES:
            body = file.read_bytes()
            version = hashlib.sha256(body).hexdigest()[:12]
            address = f"{FOLDER}{file.name}?v={version}"
            found[file.name] = Asset(address=address, content_type=_TYPES[ending], body=body)
    return found


def route(assets: Mapping[str, Asset]) -> web.RouteDef:
    """Return the route that serves them."""

    async def serve(request: web.Request) -> web.Response:
        asset = assets.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        latest = request.path_qs == asset.address
        kept = {"Cache-Control": "public, max-age=31536000, immutable"} if latest else {}
        return web.Response(body=asset.body, content_type=asset.content_type, charset="utf-8", headers=kept)

    return web.get(FOLDER + "{name}", serve)


def names(assets: Mapping[str, Asset], ending: str) -> tuple[str, ...]:
    """Return the files of a sort in the order they are linked: the page's own first, then the others by name."""
    chosen = [name for name in assets if name.endswith("." + ending)]
    return tuple(sorted(chosen, key=lambda name: (not name.startswith("setup."), name)))
