"""Which requests are answered: every operation of the consumers' HTTP, in the order of its page."""

from typing import Final

from services.publisher import availability, listing, standing
from services.publisher.operations import Operation

OPERATIONS: Final[tuple[Operation, ...]] = (
    *listing.OPERATIONS,
    *availability.OPERATIONS,
    *standing.OPERATIONS,
)
