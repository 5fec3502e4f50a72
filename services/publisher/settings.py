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
    requests_per_minute: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="How many HTTP requests a minute each consumer may make of a process."),
    ] = 12_000
    requests_burst: Annotated[
        int, Meta(ge=1, le=1_000_000, description="How many of them it may make at once, having rested.")
    ] = 2_000
    strangers_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="How many wrong tokens and secret addresses a minute are looked up for one remote address.",
        ),
    ] = 60
    keep_accesses_days: Annotated[
        int,
        Meta(ge=0, le=36_525, description="Days for which it is kept how often each consumer asked what; 0 keeps all."),
    ] = 90
    webhook_requests: Annotated[
        int, Meta(ge=1, le=100, description="How many requests one webhook's endpoint gets at a time.")
    ] = 4
    keys_file: Annotated[
        str,
        Meta(
            description="File with the keys that seal webhooks' secrets, empty for BUSYLINE_KEYS_FILE; one of its own"
            " keeps the publisher from ever opening a credential.",
        ),
    ] = ""
    followers: Annotated[
        int,
        Meta(ge=1, le=100_000, description="How many may wait for updates over HTTP at once (streams and long polls)."),
    ] = 5000
    followers_each: Annotated[int, Meta(ge=1, le=100_000, description="How many of them may be of one consumer.")] = (
        1000
    )
