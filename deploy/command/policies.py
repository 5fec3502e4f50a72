"""Options of the command line that describe a policy, and the policy they make."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import click
import msgspec

from shared.contracts.policy import Detail, Policy
from shared.contracts.values import Window


class DateSpan(click.ParamType[Window]):
    """FROM..TO, two dates: the half-open span from the start of the first to the start of the second, in UTC."""

    name = "FROM..TO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Window:
        """Return the Window; a click error says what is wrong with it."""
        if isinstance(value, Window):
            return value
        try:
            first, last = (date.fromisoformat(part) for part in str(value).split("..", 1))
            return Window(_midnight(first), _midnight(last))
        except ValueError:
            self.fail("two dates such as 2026-01-01..2026-07-01, the second later than the first", param, ctx)


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `policy` reads."""
    for option in reversed(
        [
            click.option(
                "--policy",
                "detail",
                type=click.Choice([detail.value for detail in Detail]),
                default=Detail.FREE_BUSY.value,
                show_default=True,
                help="How much of an event is shown. Under free-busy nothing else is even asked of Microsoft.",
            ),
            click.option("--show-free", is_flag=True, help="Publish events marked Free too, as blocks of their own."),
            click.option(
                "--window",
                type=DateSpan(),
                help="Keep exactly this span: from the start of FROM to the start of TO (UTC, half-open). "
                "Without it: 42 days back, 201 ahead.",
            ),
        ]
    ):
        command = option(command)
    return command


def policy(detail: str, *, show_free: bool, window: Window | None, **more: Any) -> Policy:
    """Build the policy, checked as if it had come over the broker; a click error names what is wrong."""
    wanted = Policy(detail=Detail(detail), show_free=show_free, window=window, **more)
    try:
        return msgspec.json.decode(msgspec.json.encode(wanted), type=Policy)
    except msgspec.ValidationError as error:
        raise click.ClickException(f"policy: {error}") from None
