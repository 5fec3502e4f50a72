"""Decides which form of an answer a client wants, by its Accept and Accept-Encoding headers (RFC 9110, 12.5).

It refuses to guess: where nothing that can be given is wanted, there is no answer.
"""

from collections.abc import Iterator, Sequence

_EVERYTHING = "*/*"


def preferred(accept: str, offers: Sequence[str]) -> str | None:
    """Return the media type wanted most; of equals the first one offered. None where none is wanted.

    The most specific range that fits an offer says how much it is wanted; parameters but `q` are passed over.
    """
    ranges = dict(_weighed(accept)) or {_EVERYTHING: 1.0}
    wanted = [_weight(offer, ranges) for offer in offers]
    most = max(wanted)
    return offers[wanted.index(most)] if most > 0 else None


def takes_gzip(accept_encoding: str) -> bool:
    """Say whether a client takes an answer coded with gzip."""
    codings = dict(_weighed(accept_encoding))
    return codings.get("gzip", codings.get("x-gzip", codings.get("*", 0.0))) > 0


def _weight(offer: str, ranges: dict[str, float]) -> float:
    kind = offer.partition("/")[0]
    return next((ranges[fit] for fit in (offer, f"{kind}/*", _EVERYTHING) if fit in ranges), 0.0)


def _weighed(header: str) -> Iterator[tuple[str, float]]:
    for each in header.lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        if name:
            yield name, next((_quality(word[2:]) for word in parameters if word.startswith("q=")), 1.0)


def _quality(text: str) -> float:
    """Return a weight of RFC 9110, 12.4.2; of one that is none, nothing is wanted."""
    plain = text.replace(".", "", 1)
    return min(float(text), 1.0) if len(text) <= 5 and plain.isascii() and plain.isdigit() else 0.0
