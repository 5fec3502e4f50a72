"""No page points to a file or a heading that is not there; links outwards are not followed."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_OUTWARDS = re.compile(r"[a-z]+:")


def prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return a page's anchors as a forge makes them: lower case, hyphens for spaces, numbered where they repeat."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        plain = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
        again = sum(re.fullmatch(rf"{re.escape(plain)}(-\d+)?", each) is not None for each in found)
        found.append(f"{plain}-{again}" if again else plain)
    return frozenset(found)


def dead(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    links = [link for link in _LINK.findall(prose(page)) if not _OUTWARDS.match(link)]
    return [link for link in links if not leads_somewhere(page, link)]


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    there = (page.parent / path).resolve() if path else page.resolve()
    return there.exists() and (not anchor or (there.suffix == ".md" and anchor in anchors(there)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    assert dead(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One, `two`\n## Twice\n## Twice\n[a](#one-two) [b](#twice-1) [c](page.md#twice) [d](https://example.com/x)\n"
        "```\n# no heading [e](gone.md)\n```\n[f](gone.md) [g](#no-heading) [h](#twice-2) [i](page.md#nowhere)\n",
        encoding="utf-8",
    )
    assert dead(page) == ["gone.md", "#no-heading", "#twice-2", "page.md#nowhere"]
