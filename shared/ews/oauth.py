"""Which scope a token for an Exchange server is asked for with."""

from typing import Final

from shared.clouds import Cloud
from shared.contracts.messages import EwsConnection

_OUTLOOK: Final = {  # where each cloud's Exchange Online answers; its address is the audience of the tokens it takes
    "us_government": "https://outlook.office365.us",
    "us_dod": "https://outlook-dod.office365.us",
    "china": "https://partner.outlook.cn",
}
_GLOBAL: Final = "https://outlook.office365.com"


def scope_of(connection: EwsConnection, cloud: Cloud) -> str:
    """Return the scope: everything that the app was granted on the resource.

    The resource is what the connection names (the address of a server with hybrid modern authentication), else Exchange
    Online of the cloud.
    """
    resource = connection.resource or _OUTLOOK.get(cloud.name, _GLOBAL)
    return f"{resource.rstrip('/')}/.default"
