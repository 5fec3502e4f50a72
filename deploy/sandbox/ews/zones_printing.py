"""Writes time zones as EWS does: the short form beside free/busy times, and full definitions."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from deploy.sandbox.ews import soap
from deploy.sandbox.ews.zone_rules import LAST, WEEKDAYS, Rules, Turn

_STANDARD, _DAYLIGHT = "std", "dlt"


@lru_cache(maxsize=1024)
def serialized(rules: Rules) -> str:
    """Return a zone as a t:TimeZone, the form GetUserAvailability knows."""
    turns = _serialized_turn("StandardTime", rules.standard) + _serialized_turn("DaylightTime", rules.daylight)
    return f"<t:TimeZone><t:Bias>{rules.bias}</t:Bias>{turns}</t:TimeZone>"


def _serialized_turn(name: str, turn: Turn) -> str:
    hours, minutes, seconds = turn.time // 3600, turn.time // 60 % 60, turn.time % 60
    return (
        f"<t:{name}><t:Bias>{turn.bias}</t:Bias><t:Time>{hours:02d}:{minutes:02d}:{seconds:02d}</t:Time>"
        f"<t:DayOrder>{turn.order}</t:DayOrder><t:Month>{turn.month}</t:Month>"
        f"<t:DayOfWeek>{WEEKDAYS[turn.weekday]}</t:DayOfWeek></t:{name}>"
    )


def definition(name: str, rules: Rules, *, full: bool) -> str:
    """Return a zone as a t:TimeZoneDefinition, with its rules where it is wanted `full`."""
    shown = soap.attribute(name)
    head = f'<t:TimeZoneDefinition Id="{shown}" Name="(UTC{_ahead(rules)}) {shown}"'
    if not full:
        return f"{head}/>"
    periods = _period(_STANDARD, "Standard", rules.bias + rules.standard.bias)
    if rules.fixed:
        group = f'<t:Transition><t:To Kind="Period">{_STANDARD}</t:To></t:Transition>'
    else:
        periods += _period(_DAYLIGHT, "Daylight", rules.bias + rules.daylight.bias)
        group = _transition(_STANDARD, rules.standard) + _transition(_DAYLIGHT, rules.daylight)
    return (
        f"{head}><t:Periods>{periods}</t:Periods>"
        f'<t:TransitionsGroups><t:TransitionsGroup Id="0">{group}</t:TransitionsGroup></t:TransitionsGroups>'
        '<t:Transitions><t:Transition><t:To Kind="Group">0</t:To></t:Transition></t:Transitions></t:TimeZoneDefinition>'
    )


def _ahead(rules: Rules) -> str:
    minutes = -(rules.bias + rules.standard.bias)
    if not minutes:
        return ""
    clock = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=abs(minutes))
    return f"{'-' if minutes < 0 else '+'}{clock:%H:%M}"


def _period(name: str, words: str, bias: int) -> str:
    return f'<t:Period Bias="{"-" if bias < 0 else ""}PT{abs(bias)}M" Name="{words}" Id="{name}"/>'


def _transition(period: str, turn: Turn) -> str:
    occurrence = -1 if turn.order == LAST else turn.order
    return (
        f'<t:RecurringDayTransition><t:To Kind="Period">{period}</t:To>'
        f"<t:TimeOffset>PT{turn.time // 60}M</t:TimeOffset><t:Month>{turn.month}</t:Month>"
        f"<t:DayOfWeek>{WEEKDAYS[turn.weekday]}</t:DayOfWeek><t:Occurrence>{occurrence}</t:Occurrence></t:RecurringDayTransition>"
    )
