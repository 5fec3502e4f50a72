"""Wires the normalizer: a handler for snapshots, live ones in a lane of their own, and one for purges; no store."""

from services.normalizer.handler import handle
from services.normalizer.purging import purges
from services.normalizer.settings import Settings
from shared import process
from shared.broker import Consumer
from shared.config import Deployment
from shared.process import Rim


async def run(_: Deployment, settings: Settings, rim: Rim) -> None:
    """Normalize until told to stop; return once what is in hand is settled."""
    consumers = (
        Consumer(queue="normalizer.live", handle=handle, in_flight=settings.in_flight),
        Consumer(queue="normalizer.snapshots", handle=handle, in_flight=settings.in_flight),
        Consumer(queue="normalizer.purge", handle=purges(rim.broker), in_flight=1),
    )
    rim.health.set("normalizer", ready=True)
    await rim.broker.run(consumers, service="normalizer", stop=rim.stop)


if __name__ == "__main__":
    process.main("normalizer", Settings, run)
