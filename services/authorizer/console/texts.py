"""All text of the setup page: a key, a sentence, `{name}` where a value belongs. It refuses a key that is not there."""

from collections.abc import Mapping
from typing import Final

from services.authorizer.console import (
    texts_api,
    texts_audit,
    texts_exchange,
    texts_leaving,
    texts_microsoft,
    texts_policy,
    texts_setup,
    texts_status,
)


def merged(*parts: Mapping[str, str]) -> dict[str, str]:
    """Return one catalogue of several. Raises ValueError for a key that two of them have."""
    found: dict[str, str] = {}
    for part in parts:
        if both := found.keys() & part.keys():
            raise ValueError(f"texts that are there twice: {', '.join(sorted(both))}")
        found.update(part)
    return found


CATALOGUE: Final[Mapping[str, str]] = merged(
    texts_setup.TEXTS,
    texts_audit.TEXTS,
    texts_microsoft.TEXTS,
    texts_exchange.TEXTS,
    texts_policy.TEXTS,
    texts_status.TEXTS,
    texts_leaving.TEXTS,
    texts_api.TEXTS,
)


def text(key: str, /, **values: object) -> str:
    """Return a text with its values; with `count=1` its `key.one`, where there is one. Raises KeyError."""
    if values.get("count") == 1 and f"{key}.one" in CATALOGUE:
        key = f"{key}.one"
    return CATALOGUE[key].format(**values) if values else CATALOGUE[key]
