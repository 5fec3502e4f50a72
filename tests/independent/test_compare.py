"""Decides whether the comparison names every kind of difference."""

import json
from pathlib import Path

import pytest

from tests.independent.compare import main

EVENT = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20240105T100000Z\nDURATION:PT1H\nEND:VEVENT\nEND:VCALENDAR\n"
RIGHT = {"start": "2024-01-05T10:00:00Z", "end": "2024-01-05T11:00:00Z", "status": "busy"}


def _compared(folder: Path, said: dict[str, list[dict[str, str]]]) -> int:
    calendar = folder / "calendars" / "Team" / "Person 0001.ics"
    calendar.parent.mkdir(parents=True)
    calendar.write_text(EVENT, encoding="utf-8")
    published = folder / "out.jsonl"
    lines = [json.dumps({"mailbox": mailbox, "busy": blocks}) for mailbox, blocks in said.items()]
    published.write_text("\n".join(lines), encoding="utf-8")
    return main([str(published), str(folder / "calendars"), "2024-01-01..2025-01-01"])


def test_equal_busy_time_passes(tmp_path: Path) -> None:
    assert _compared(tmp_path, {"team.person 0001@sandbox.example": [RIGHT]}) == 0


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"team.person 0001@sandbox.example": []}, "published nothing more, expected 2024-01-05T10:00:00Z"),
        ({"team.person 0001@sandbox.example": [RIGHT | {"status": "oof"}]}, "published 2024-01-05T10:00:00Z"),
        ({}, "not published"),
        ({"team.person 0001@sandbox.example": [RIGHT], "x@sandbox.example": []}, "there is no such calendar"),
    ],
)
def test_each_difference_is_printed_and_fails(
    said: dict[str, list[dict[str, str]]], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _compared(tmp_path, said) == 1
    assert words in capsys.readouterr().out
