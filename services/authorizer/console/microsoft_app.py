"""Edge: the app that this deployment signs in with, in the cloud of a journey, and where Microsoft leads back to.

Addresses come from the settings alone: what a browser calls this host proves nothing.
"""

from typing import Final

from services.authorizer.console.microsoft_journeys import Journey
from services.authorizer.console.microsoft_rules import JourneyRefused
from services.authorizer.console.place import Place, SetupSettings
from services.authorizer.credentials import DEFAULT
from shared.clouds import cloud
from shared.connections import credential_of
from shared.errors import Reject
from shared.identity import GraphCredential
from shared.sign_in import Registration
from shared.vault import VaultError

SIGNED_IN: Final = "/setup/microsoft/signed-in"
CONSENTED: Final = "/setup/microsoft/consented"
RETURNS: Final = (SIGNED_IN, CONSENTED)  # the app's registration lists both, at the public address


def redirect_uri(settings: SetupSettings, path: str) -> str:
    """Return the address of one of RETURNS."""
    return f"{settings.public_url}{path}"


async def registration(place: Place, cloud_name: str) -> Registration:
    """Return the deployment's own app in a cloud. Raises JourneyRefused where there is none, or no such cloud."""
    try:
        where = cloud(cloud_name, sandbox_url=place.desk.sandbox_url)
        credential = await credential_of(place.store, place.vault, DEFAULT, GraphCredential)
    except Reject:
        raise JourneyRefused("cloud_unknown") from None
    except VaultError:
        credential = None
    if credential is None:
        raise JourneyRefused("app_missing")
    return Registration(cloud=where, credential=credential)


async def app_of(place: Place, journey: Journey) -> Registration:
    """Return the app that a journey began with. Raises JourneyRefused where it is another one by now."""
    found = await registration(place, journey.cloud)
    if found.credential.client_id != journey.client_id:
        raise JourneyRefused("app_missing")
    return found
