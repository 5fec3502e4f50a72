"""The one door to the broker: topology, the consuming loop, confirms, delays, dead letters. Nobody else knows AMQP."""

from shared.broker.backoff import Trouble
from shared.broker.fates import Limits
from shared.broker.interface import Broker, Consumer, Delivery, Done, Outgoing, Parked, Unroutable
from shared.broker.opening import Tap, open_broker

__all__ = [
    "Broker",
    "Consumer",
    "Delivery",
    "Done",
    "Limits",
    "Outgoing",
    "Parked",
    "Tap",
    "Trouble",
    "Unroutable",
    "open_broker",
]
