"""Edge: pages out of templates, everything in them escaped; and the way on after something was done.

It refuses to lead anywhere but to a page of its own.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from services.authorizer import orgs
from services.authorizer.console import assets, cookies
from services.authorizer.console.place import VISIT, place_of
from services.authorizer.console.tabs import tabs
from services.authorizer.console.texts import CATALOGUE, text
from services.authorizer.orgs import OrgState
from shared import clock
from shared.contracts.values import Instant

TEMPLATES: Final = web.AppKey("templates", Environment)
ORG: Final[web.RequestKey[OrgState | None]] = web.RequestKey("org", OrgState)
NOTHING: Final[Mapping[str, Any]] = {}


def environment(found: Mapping[str, assets.Asset]) -> Environment:
    """Return the templates, which know the texts, the files and how instants are written."""
    made = Environment(
        loader=PackageLoader("services.authorizer.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        t=text,
        moment=moment,
        styles=[found[name].address for name in assets.names(found, "css")],
        scripts=[found[name].address for name in assets.names(found, "js")],
        asset=lambda name: found[name].address,
    )
    return made


async def page(
    request: web.Request, template: str, values: Mapping[str, Any] = NOTHING, *, tab: str = "", status: int = 200
) -> web.Response:
    """Return a page: a template with `values` beside what every page is given, under a tab of the org's."""
    visit, notice = request.get(VISIT), cookies.notice(request) if _is_looked_at(request) else ""
    found = await org_of(request) if visit is not None else None
    given = {
        "visit": visit,
        "csrf": visit.csrf if visit is not None else "",
        "tab": tab,
        "tabs": tabs(found.state if found else None) if visit is not None else (),
        "org": found,
        "notice": notice if notice in CATALOGUE else "",
    }
    response = _made(request, template, {**values, **given}, status=status)
    if notice:
        cookies.forget_notice(request, response)
    return response


def _is_looked_at(request: web.Request) -> bool:
    """Say whether somebody will see the page: a script that fetches it must not use a notice up."""
    return request.headers.get("Sec-Fetch-Dest", "document") == "document"


def bare(request: web.Request, template: str, values: Mapping[str, Any] = NOTHING, *, status: int) -> web.Response:
    """Return a page for which nothing is asked of the store: it may be what failed."""
    given = {"visit": None, "csrf": "", "tab": "", "tabs": (), "org": None, "notice": ""}
    return _made(request, template, {**values, **given}, status=status)


def _made(request: web.Request, template: str, values: Mapping[str, Any], *, status: int) -> web.Response:
    settings, templates = place_of(request).settings, request.app[TEMPLATES]
    made = templates.get_template(template).render(settings=settings, path=request.path, **values)
    return web.Response(text=made, content_type="text/html", charset="utf-8", status=status)


async def org_of(request: web.Request) -> OrgState | None:
    """Return the org whose admin is signed in, None where it is not known yet or any more.

    It is looked up once a request: what a page decided by is what it shows.
    """
    if ORG not in request:
        request[ORG] = await orgs.org(place_of(request).store, request[VISIT].org_id)
    return request[ORG]


def away(request: web.Request, path: str, *, notice: str = "") -> web.Response:
    """Lead to a page of ours by a GET (303); `notice`, a text's key, is shown there once.

    A key that begins with `notice.warn.` is shown as a warning. Raises ValueError for any other place.
    """
    if not (path == "/setup" or path.startswith(("/setup/", "/setup?"))) or "\\" in path:
        raise ValueError("the way on is a page of the setup page's own")
    response = web.Response(status=303, headers={"Location": path})
    if notice:
        cookies.keep_notice(request, response, notice)
    return response


def moment(instant: Instant | None, missing: str = "-") -> Markup:
    """Write an instant for people: in UTC, which a script turns into the viewer's zone; `missing` where there is none.

    The element's `datetime` is RFC 3339.
    """
    if instant is None:
        return Markup("{}").format(missing)
    shown = datetime.fromtimestamp(instant, UTC)
    plain = f"{shown.day} {shown:%b %Y, %H:%M} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(clock.moment(instant), plain, plain)
