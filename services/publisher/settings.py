"""What an operator may set of the publisher."""

from typing import Annotated

from msgspec import Meta, Struct


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prefix BUSYLINE_PUBLISHER_."""

    host: Annotated[str, Meta(description="Address that consumers' HTTP requests are answered on.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Port of consumers' HTTP requests; 0 takes any free one.")
    ] = 8080
    in_flight: Annotated[
        int, Meta(ge=1, le=1000, description="How many readings of each lane are taken from the broker at a time.")
    ] = 64
    batch: Annotated[int, Meta(ge=1, le=500, description="How many readings one database transaction may publish.")] = (
        64
    )
    keep_updates_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36_525,
            description="Days for which announced updates are kept, a mailbox's last one longer; 0 keeps all.",
        ),
    ] = 30
