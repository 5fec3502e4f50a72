"""Decides whether published busy time equals what the calendars say:
`python -m tests.independent.compare OUT.jsonl CALENDARS_DIR FROM..TO`. Refuses to forgive any difference."""

import json
import sys
from itertools import zip_longest
from pathlib import Path

from tests.independent.busy import Block, evaluate, seconds_of, text_of

DOMAIN = "@sandbox.example"


def main(arguments: list[str]) -> int:
    """Print the first difference of every differing mailbox; return 1 on any difference, else 0."""
    published_file, folder, window = arguments
    start, end = (seconds_of(text) for text in window.split("..", 1))
    published = read_published(Path(published_file))
    calendars = find_calendars(Path(folder))
    differing = 0
    for mailbox in sorted(published.keys() | calendars.keys()):
        difference = _difference(published.get(mailbox), calendars.get(mailbox), (start, end))
        if difference:
            differing += 1
            sys.stdout.write(f"{mailbox}: {difference}\n")
    sys.stdout.write(f"{len(calendars)} calendars, {len(published)} published, {differing} differing\n")
    return 1 if differing else 0


def mailbox_of(file: Path, folder: Path) -> str:
    """Name the mailbox of an .ics file: its path below the folder, dots for slashes, lower case."""
    return file.relative_to(folder).with_suffix("").as_posix().replace("/", ".").lower() + DOMAIN


def find_calendars(folder: Path) -> dict[str, list[Path]]:
    """Find the .ics files below a folder by mailbox; two files with one name are kept, and differ."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() == ".ics" and file.is_file():
            found.setdefault(mailbox_of(file, folder), []).append(file)
    return found


def read_published(file: Path) -> dict[str, list[list[Block]]]:
    """Read the JSON lines by mailbox, in lower case; a mailbox named on two lines is kept twice, and differs."""
    found: dict[str, list[list[Block]]] = {}
    with file.open(encoding="utf-8") as lines:
        for line in filter(str.strip, lines):
            said = json.loads(line)
            blocks = [(seconds_of(b["start"]), seconds_of(b["end"]), str(b["status"])) for b in said["busy"]]
            found.setdefault(said["mailbox"].lower(), []).append(blocks)
    return found


def first_difference(published: list[Block], expected: list[Block]) -> str | None:
    """Describe the first place where two lists of blocks part."""
    for said, right in zip_longest(published, expected):
        if said != right:
            return f"published {_text(said)}, expected {_text(right)}"
    return None


def _difference(published: list[list[Block]] | None, files: list[Path] | None, window: tuple[int, int]) -> str | None:
    if published is None or files is None:
        return "not published" if published is None else "published, but there is no such calendar"
    if len(published) > 1 or len(files) > 1:
        return "named more than once"
    return first_difference(published[0], evaluate(files[0].read_bytes(), *window))


def _text(block: Block | None) -> str:
    if block is None:
        return "nothing more"
    return f"{text_of(block[0])}/{text_of(block[1])} {block[2]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
