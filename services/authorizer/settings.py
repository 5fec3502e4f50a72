"""What an operator may set of the authorizer."""

from typing import Annotated

from msgspec import Meta, Struct


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
