"""`make soak`: twenty simulated days, one line a day; fails where anything grows or consumers were told wrong."""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from tests.soak.growth import grown
from tests.soak.soak import Day, soak
from tests.soak.stepped import stepped


def main() -> int:
    """Run it and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="busyline-soak-") as name,
        stepped(_now()) as loop,
        asyncio.Runner(loop_factory=lambda: loop) as runner,
    ):
        soaked = runner.run(soak(Path(name), days=options.days, seed=options.seed, told=_show))
    print(f"happened: {soaked.happened}")
    print(f"{options.days} days in {time.perf_counter() - started:.0f} s")
    found = grown(soaked.days)
    for line in found:
        print(f"GROWN: {line}")
    return 1 if found else 0


def _now() -> float:
    return time.time()  # noqa: TID251 -- where the simulated time begins


def _show(day: Day) -> None:
    rows = " ".join(f"{name}={count}" for name, count in day.rows.items() if count)
    print(
        f"day {day.number:3} {day.seconds:5.1f} s  agreed after {day.hours_to_agree} h  mailboxes {day.mailboxes}  "
        f"{day.resident:6.1f} MiB  waiting {day.waiting}  parked {day.parked}  {rows}",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
