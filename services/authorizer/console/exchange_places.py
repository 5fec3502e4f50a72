"""Decides which address an admin means who writes down a server's name: EWS of a server, LDAP of a domain controller.

Pure. It refuses what could hide another host; whether an address may be dialled is decided where it is dialled.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from shared.contracts.messages import EWS_URL

_EWS: Final = re.compile(EWS_URL)
_LDAP: Final = re.compile(r"^ldaps?://[0-9A-Za-z.:\[\]-]{1,260}$")
_PATH: Final = "/EWS/Exchange.asmx"


def server_address(text: str) -> str:
    """Return where EWS is: https and the usual path, where only a name is given. Empty for what is no address."""
    whole = text.strip()
    if not whole:
        return ""
    whole = whole if "://" in whole else f"https://{whole}"
    try:
        parts = urlsplit(whole)
    except ValueError:  # a bracket of an IPv6 address is missing
        return ""
    whole = f"{whole.rstrip('/')}{_PATH}" if parts.path in ("", "/") else whole
    return whole if _EWS.fullmatch(whole) and not parts.fragment and not parts.query else ""


def ldap_address(text: str) -> str:
    """Return where a directory is: ldaps, where only a name is given. Empty for what is no address."""
    whole = text.strip()
    if not whole:
        return ""
    whole = (whole if "://" in whole else f"ldaps://{whole}").removesuffix("/")
    return whole if _LDAP.fullmatch(whole) else ""
