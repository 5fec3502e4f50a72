"""Decides whose online meeting a link joins, by its host alone.

It refuses to guess: a host that is not known, or only looks like a known one, is somebody else's.
"""

from typing import Final
from urllib.parse import urlsplit

OTHER: Final = "other"
_HOSTS: Final = {
    "teams.microsoft.com": "teams",
    "teams.microsoft.us": "teams",
    "teams.live.com": "teams",
    "teams.cloud.microsoft": "teams",
    "lync.com": "skype",
    "skype.com": "skype",
    "zoom.us": "zoom",
    "zoom.com": "zoom",
    "zoomgov.com": "zoom",
    "meet.google.com": "google_meet",
    "webex.com": "webex",
    "gotomeeting.com": "goto",
    "gotomeet.me": "goto",
    "goto.com": "goto",
}


def provider(join_url: str) -> str:
    """Return the provider of the meeting that a link joins, a fixed word; "" where there is no link."""
    if not join_url:
        return ""
    try:
        host = (urlsplit(join_url).hostname or "").rstrip(".")
    except ValueError:
        return OTHER
    labels = host.split(".")
    tails = (".".join(labels[start:]) for start in range(len(labels)))
    return next((_HOSTS[tail] for tail in tails if tail in _HOSTS), OTHER)
