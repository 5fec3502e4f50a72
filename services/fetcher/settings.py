"""What an operator may set of the fetcher, one sentence each."""

from typing import Annotated

from msgspec import Meta, Struct


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prefix BUSYLINE_FETCHER_."""

    readings: Annotated[
        int, Meta(ge=1, le=512, description="Calendars read at a time by one replica, in each of the two lanes.")
    ] = 32
    lease_seconds: Annotated[
        int, Meta(ge=10, le=86_400, description="Seconds a reading may take before another replica takes it over.")
    ] = 600
    tries: Annotated[
        int, Meta(ge=1, le=8, description="Readings that may fail in a row before a mailbox counts as failing.")
    ] = 5
    exchange_requests: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="Requests under way at one Exchange server at a time, by all replicas together.",
        ),
    ] = 8
    exchange_readings: Annotated[
        int,
        Meta(
            ge=1,
            le=2000,
            description="Readings of Exchange mailboxes taken at a time by one replica; up to 100 share a request.",
        ),
    ] = 200
    exchange_streaming: Annotated[
        bool,
        Meta(description="Whether Exchange servers are asked to notify of changes; otherwise calendars are polled."),
    ] = False
    directory_page: Annotated[
        int, Meta(ge=1, le=999, description="Directory objects asked for at a time; one page is one message.")
    ] = 200
    directory_pages: Annotated[
        int, Meta(ge=1, le=64, description="Directory pages of all organisations worked on at a time by one replica.")
    ] = 4
    removal_guard: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Percent of an organisation's mailboxes that may leave at once without an operator's word.",
        ),
    ] = 25
    notify_url: Annotated[
        str,
        Meta(
            pattern=r"^$|^https://[^\s/?#]+[^\s?#]*$|^http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?(/[^\s?#]*)?$",
            max_length=512,
            description="Public https address at which Microsoft reaches this service's listener, such as "
            "https://busyline.example/graph; empty for polling alone.",
        ),
    ] = ""
    notify_host: Annotated[
        str, Meta(min_length=1, description="Address that the listener for Microsoft's notifications is bound to.")
    ] = "127.0.0.1"
    notify_port: Annotated[
        int, Meta(ge=0, le=65535, description="Port of that listener; 0 for any free one, without notify_url for none.")
    ] = 0
    subscribe_per_second: Annotated[
        int, Meta(ge=1, le=1000, description="Subscriptions that one replica creates or renews at Microsoft a second.")
    ] = 20
