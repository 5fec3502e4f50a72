"""kombu's classes under names without types: the one place where the type checker looks away from them."""

from typing import Any

from kombu.connection import Connection as _Connection
from kombu.entity import Exchange as _Exchange
from kombu.entity import Queue as _Queue
from kombu.messaging import Producer as _Producer
from kombu.transport.virtual.base import BrokerState as _BrokerState

Connection: Any = _Connection
Exchange: Any = _Exchange
Queue: Any = _Queue
Producer: Any = _Producer
BrokerState: Any = _BrokerState
