"""Options of the command line that describe a policy or a change of one, and the policy they make."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from deploy.command.failures import Wrong
from shared.contracts.policy import MOST_DAYS, Detail, Policy
from shared.contracts.values import DAY, Status, Window


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
    """Build the policy, checked as if it had come over the broker; a usage error names what is wrong."""
    return _checked(Policy(detail=Detail(detail), show_free=show_free, window=window, **more))


# -- a change: it names only what becomes different ----------------------------------------------------------------

_STATUS = click.Choice([status.value for status in Status])
_SECONDS = click.IntRange(1, DAY)
_OPTIONS = (
    click.option(
        "--policy", "detail", type=click.Choice([detail.value for detail in Detail]), help="How much is shown."
    ),
    click.option("--show-free/--no-show-free", default=None, help="Publish events marked Free too."),
    click.option("--conferencing/--no-conferencing", default=None, help="Under details: publish join links."),
    click.option("--tentative", type=_STATUS, help="Publish tentative events as this."),
    click.option("--oof", type=_STATUS, help="Publish out-of-office events as this."),
    click.option("--elsewhere", type=_STATUS, help="Publish working elsewhere as this."),
    click.option("--window", type=DateSpan(), help="Keep exactly this span."),
    click.option("--rolling", is_flag=True, help="Keep a span that moves with today again."),
    click.option("--days-back", type=click.IntRange(0, MOST_DAYS), help="Whole UTC days kept before today."),
    click.option("--days-ahead", type=click.IntRange(1, MOST_DAYS), help="Whole UTC days kept after today."),
    click.option("--poll-seconds", type=_SECONDS, help="Read again after this without a hint."),
    click.option("--poll-seconds-subscribed", type=_SECONDS, help="The same where Microsoft sends hints."),
    click.option("--rooms/--no-rooms", default=None, help="Read rooms and equipment too."),
    click.option("--group", "groups", multiple=True, help="Read only members of these groups; '' for no limit."),
    click.option("--include", multiple=True, help="The addresses read beside the groups; '' for none."),
    click.option("--exclude", multiple=True, help="The addresses never read; '' for none."),
)
_LISTS = ("groups", "include", "exclude")


def change_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what becomes different; one that is not given changes nothing."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def changed(old: Policy, options: dict[str, Any]) -> Policy:
    """Return the policy with the options' changes. Raises Wrong for what no policy may be."""
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    rolling = given.pop("rolling", False)
    if rolling and "window" in given:
        raise Wrong("--rolling and --window exclude each other")
    scope = {name: _texts(given.pop(name)) for name in _LISTS if name in given}
    if "rooms" in given:
        scope["rooms"] = given.pop("rooms")
    if "detail" in given:
        given["detail"] = Detail(given["detail"])
    given |= {name: Status(given[name]) for name in ("tentative", "oof", "elsewhere") if name in given}
    wanted = replace(old, **given, scope=replace(old.scope, **scope))
    return _checked(replace(wanted, window=None) if rolling else wanted)


def _texts(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value.lower() for value in values if value)


def _checked(wanted: Policy) -> Policy:
    try:
        return msgspec.json.decode(msgspec.json.encode(wanted), type=Policy)
    except msgspec.ValidationError as error:
        raise Wrong(f"policy: {error}") from None
