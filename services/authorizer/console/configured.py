"""Edge: what an operator set of the setup page, read and seen to once, before anything is served.

It refuses a setup page without keys, keys too short to sign with, and addresses to return to that nobody can check.
"""

import re
from pathlib import Path
from typing import Final

from services.authorizer.console.links import SHORTEST_KEY
from services.authorizer.console.place import SetupSettings
from services.authorizer.console.returning import is_listable
from services.authorizer.settings import Settings

LARGEST_TERMS: Final = 200_000  # characters


def setup_settings(settings: Settings) -> SetupSettings:
    """Return the setup page's settings. Raises ValueError with a sentence that names the setting at fault."""
    return SetupSettings(
        public_url=settings.setup_url,
        link_keys=link_keys(settings),
        return_to=_return_to(settings),
        product=settings.setup_product,
        terms=_terms(settings),
        terms_version=settings.setup_terms_version,
        egress=tuple(listed(settings.setup_egress)),
    )


def link_keys(settings: Settings) -> tuple[str, ...]:
    """Return the keys that links are signed with. Raises ValueError with a sentence."""
    keys = tuple(listed(settings.setup_link_keys.reveal()))
    if not keys:
        raise ValueError("the setup page needs BUSYLINE_AUTHORIZER_SETUP_LINK_KEYS: no link could open it")
    if any(len(key.encode()) < SHORTEST_KEY for key in keys):
        raise ValueError(f"a key of BUSYLINE_AUTHORIZER_SETUP_LINK_KEYS is shorter than {SHORTEST_KEY} bytes")
    return keys


def listed(text: str) -> list[str]:
    """Return what is separated by commas or line ends, without the space around it."""
    return [part for raw in re.split(r"[,\n]", text) if (part := raw.strip())]


def _return_to(settings: Settings) -> tuple[str, ...]:
    found = tuple(listed(settings.setup_return_to))
    if not all(is_listable(address) for address in found):
        raise ValueError(
            "an address of BUSYLINE_AUTHORIZER_SETUP_RETURN_TO is not of the form https://platform.example/path/"
        )
    return found


def _terms(settings: Settings) -> str:
    if not settings.setup_terms_file:
        return ""
    try:
        terms = Path(settings.setup_terms_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ValueError("the file named by BUSYLINE_AUTHORIZER_SETUP_TERMS_FILE cannot be read") from None
    if not terms or len(terms) > LARGEST_TERMS:
        raise ValueError("the file named by BUSYLINE_AUTHORIZER_SETUP_TERMS_FILE is empty or too large")
    if not settings.setup_terms_version:
        raise ValueError("terms need BUSYLINE_AUTHORIZER_SETUP_TERMS_VERSION: acceptance is recorded with it")
    return terms
