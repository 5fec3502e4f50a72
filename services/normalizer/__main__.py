"""Wires the normalizer: one queue, one handler, no store."""

from services.normalizer.handler import handle
from services.normalizer.settings import Settings
from shared import process
from shared.broker import Consumer
from shared.config import Deployment
from shared.process import Rim


async def run(_: Deployment, settings: Settings, rim: Rim) -> None:
    """Normalize until told to stop; return once what is in hand is settled."""
    consumer = Consumer(queue="normalizer.snapshots", handle=handle, in_flight=settings.in_flight)
    rim.health.set("normalizer", ready=True)
    await rim.broker.run([consumer], service="normalizer", stop=rim.stop)


if __name__ == "__main__":
    process.main("normalizer", Settings, run)
