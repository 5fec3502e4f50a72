"""Edge: where is EWS for a mailbox, where its admin does not say? Found once, in verification, and then fixed.

A wrong password is sent once: the first refusal of a sign-in ends the search.
"""

import re
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from services.authorizer import autodiscover_forms as forms
from services.authorizer.autodiscover_forms import Told
from services.authorizer.exchange_doors import Asks, Exchange, Question
from services.authorizer.preflight import scheme_for
from shared.contracts.messages import EWS_URL
from shared.ews.errors import EwsError

HOPS: Final = 5  # redirects that are followed in all
_HEADERS: Final = {"SOAPAction": f'"{forms.ACTION}"'}
_ENDS: Final = frozenset({"sign_in_refused"})


class Found(Struct, frozen=True, kw_only=True):
    """Where EWS is, or the reason why it was not found. `host` is what told so, or where the search was led."""

    url: str = ""
    reason: str = ""
    host: str = ""


async def found(question: Question, exchange: Exchange) -> Found:
    """Look for the endpoint of the connection's member. Raises EwsError for a sign-in refused, IdentityError."""
    address, place, foreign = question.connection.member, "", ""
    last = Found(reason="autodiscover_nothing")
    for _ in range(HOPS):
        told, host, foreign = await _asked(question, exchange, address, place=place)
        if told is None:
            break
        if told.url:
            return _fit(told.url, host)
        if not (told.address or told.place):
            return Found(reason="autodiscover_refused", host=host)
        address, place = told.address or address, told.place
        last = Found(reason="autodiscover_nothing", host=host)
    return Found(reason="autodiscover_foreign", host=foreign) if foreign else last


def _fit(url: str, host: str) -> Found:
    """Return an endpoint that was named, if it can be one: a password goes there over TLS alone."""
    fit = url.startswith("https://") and re.fullmatch(EWS_URL, url)
    return Found(url=url, host=host) if fit else Found(reason="autodiscover_nothing", host=host)


async def _asked(question: Question, exchange: Exchange, address: str, *, place: str) -> tuple[Told | None, str, str]:
    """Ask one place after the other for an address; return the first answer, its host, and a host not followed."""
    foreign = ""
    async for url, proven in _ways(exchange, forms.domain_of(address), place=place):
        host = urlsplit(url).hostname or ""
        if not (proven or forms.is_of(url, forms.domain_of(address))):
            foreign = foreign or host
            continue
        told = await _ask(question, exchange, url, address=address)
        if told is not None:
            return told, host, ""
    return None, "", foreign


async def _ways(exchange: Exchange, domain: str, *, place: str) -> AsyncIterator[tuple[str, bool]]:
    """Yield where to ask, and whether it is proven that a password may go there.

    That is the place that an answer named, else the domain's own, and at last what hints name, which prove nothing.
    """
    if place:
        if urlsplit(place).scheme == "https" and urlsplit(place).hostname:
            yield forms.asked_at(place), True
        return
    for url in exchange.places(domain):
        yield url, True
    for url in await exchange.hints(domain, exchange.surroundings):
        yield forms.asked_at(url), False


async def _ask(question: Question, exchange: Exchange, url: str, *, address: str) -> Told | None:
    """Ask at one place in either form; None where nothing there knows autodiscover. Raises EwsError, IdentityError."""
    try:
        reached = await exchange.reach(url, exchange.surroundings)
    except EwsError:
        return None  # most domains have no such host; the next way may lead further
    scheme, _ = scheme_for(question.connection, question.credential, reached.schemes)
    if not scheme:
        return None
    told = await _posted(exchange.door(question, url, scheme), forms.soap_question(address, url), newer=True)
    if told is None:
        told = await _posted(
            exchange.door(question, forms.older(url), scheme), forms.pox_question(address), newer=False
        )
    return told


async def _posted(door: Asks, body: bytes, *, newer: bool) -> Told | None:
    try:
        if newer:
            return await door.post(body, forms.soap_answer, headers=_HEADERS)
        return await door.post(body, forms.pox_answer, headers={})
    except EwsError as error:
        if error.code in _ENDS:
            raise
        return None
    finally:
        door.close()
