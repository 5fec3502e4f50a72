"""What an operator may set of the normalizer."""

from typing import Annotated

from msgspec import Meta, Struct


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prefix BUSYLINE_NORMALIZER_."""

    in_flight: Annotated[
        int, Meta(ge=1, le=1000, description="How many snapshots of each lane are taken from the broker at a time.")
    ] = 16
