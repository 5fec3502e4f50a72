"""Names Microsoft's clouds and where each signs in and serves Graph; refuses any other address for a tenant's secrets.

The hosts are an allow-list: only the sandbox, an operator's setting, may lie elsewhere.
"""

from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from shared.errors import Reject

SANDBOX: Final = "sandbox"

# name: (sign-in host, Graph host)
_HOSTS: Final = {
    "global": ("login.microsoftonline.com", "graph.microsoft.com"),  # and GCC
    "us_government": ("login.microsoftonline.us", "graph.microsoft.us"),  # L4, GCC High
    "us_dod": ("login.microsoftonline.us", "dod-graph.microsoft.us"),  # L5
    "china": ("login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn"),
    "france": ("login.sovcloud-identity.fr", "graph.svc.sovcloud.fr"),
    "germany": ("login.sovcloud-identity.de", "graph.svc.sovcloud.de"),
    "singapore": ("login.sovcloud-identity.sg", "graph.svc.sovcloud.sg"),
}

NAMES: Final = (*_HOSTS, SANDBOX)


class Cloud(Struct, frozen=True):
    """Where one cloud signs in and serves Graph: `https://login...` and `https://graph.../v1.0`, unslashed."""

    name: str
    login: str
    graph: str

    @property
    def scope(self) -> str:
        """Return the scope that asks for everything the app was granted on this cloud's Graph."""
        parts = urlsplit(self.graph)
        return f"{parts.scheme}://{parts.netloc}/.default"


def cloud(name: str, *, sandbox_url: str = "") -> Cloud:
    """Return the cloud of a name. Raises Reject("cloud_unknown"), also for the sandbox where no https one is set."""
    if name == SANDBOX and sandbox_url.startswith("https://"):
        root = sandbox_url.rstrip("/")
        return Cloud(SANDBOX, root, f"{root}/v1.0")
    if name not in _HOSTS:
        raise Reject("cloud_unknown", "connection.cloud")
    login, graph = _HOSTS[name]
    return Cloud(name, f"https://{login}", f"https://{graph}/v1.0")
