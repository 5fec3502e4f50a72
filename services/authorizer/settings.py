"""What an operator may set of the authorizer."""

from typing import Annotated

from msgspec import Meta, Struct

from shared.config import Secret


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prefix BUSYLINE_AUTHORIZER_."""

    enumerate_every: Annotated[
        int, Meta(ge=10, le=2_592_000, description="Seconds between two searches for an org's mailboxes.")
    ] = 86_400
    retry_refused: Annotated[
        int, Meta(ge=10, le=2_592_000, description="Seconds until a refused org is tried again by itself.")
    ] = 3_600
    retry_attention: Annotated[
        int,
        Meta(ge=10, le=86_400, description="Seconds until an org is tried again that Microsoft turned away."),
    ] = 60
    verify_every: Annotated[
        int,
        Meta(ge=300, le=2_592_000, description="Seconds between two verifications of a connected org."),
    ] = 86_400
    verifications: Annotated[int, Meta(ge=1, le=100, description="How many orgs are verified at a time.")] = 8
    in_flight: Annotated[
        int, Meta(ge=1, le=1000, description="How many messages of each queue are taken from the broker at a time.")
    ] = 16
    setup_url: Annotated[
        str,
        Meta(
            pattern=r"^$|^https://[A-Za-z0-9.\-]+(:[0-9]{1,5})?$|^http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?$",
            max_length=255,
            description="Public address of the setup page for IT admins, such as https://setup.example, without a path;"
            " empty for no setup page. Plain http only on this machine, for trials.",
        ),
    ] = ""
    setup_host: Annotated[
        str, Meta(min_length=1, description="Address that the setup page's server is bound to, behind your TLS proxy.")
    ] = "127.0.0.1"
    setup_port: Annotated[int, Meta(ge=0, le=65535, description="Port of that server; 0 for any free one.")] = 8090
    setup_link_keys: Annotated[
        Secret,
        Meta(
            description="Keys that your platform signs setup links with, each of 32 bytes or more, separated by commas"
            " or line ends; links of any of them are taken, so that a key can be replaced."
        ),
    ] = Secret()
    setup_return_to: Annotated[
        str,
        Meta(
            description="Addresses of your platform that admins may be sent back to, separated by commas; one stands"
            " for all pages below it, such as https://platform.example/admin/."
        ),
    ] = ""
    setup_product: Annotated[
        str, Meta(min_length=1, max_length=60, description="The name that admins know the product by.")
    ] = "Busyline"
    setup_terms_file: Annotated[
        str, Meta(description="Text file with the terms that an admin accepts before connecting; empty for none.")
    ] = ""
    setup_terms_version: Annotated[
        str,
        Meta(
            max_length=60,
            pattern=r"^[A-Za-z0-9 ._\-]*$",
            description="Version of those terms, which is written into the audit log with each acceptance.",
        ),
    ] = ""
    setup_egress: Annotated[
        str,
        Meta(
            description="Addresses that this deployment calls Exchange servers from, separated by commas; the setup"
            " page names them to admins, for their firewalls."
        ),
    ] = ""
