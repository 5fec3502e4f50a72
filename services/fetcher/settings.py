"""What an operator may set of the fetcher, one sentence each."""

from typing import Annotated

from msgspec import Meta, Struct


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prefix BUSYLINE_FETCHER_."""

    readings: Annotated[
        int, Meta(ge=1, le=512, description="Calendars read at a time by one replica, in each of the two lanes.")
    ] = 32
    poll_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="Seconds after which a calendar is read again without a hint.")
    ] = 300
    lease_seconds: Annotated[
        int, Meta(ge=10, le=86_400, description="Seconds a reading may take before another replica takes it over.")
    ] = 600
    tries: Annotated[
        int, Meta(ge=1, le=8, description="Readings that may fail in a row before a mailbox counts as failing.")
    ] = 5
    directory_page: Annotated[
        int, Meta(ge=1, le=999, description="Directory objects asked for at a time; one page is one message.")
    ] = 200
    directory_pages: Annotated[
        int, Meta(ge=1, le=64, description="Directory pages of all organisations worked on at a time by one replica.")
    ] = 4
