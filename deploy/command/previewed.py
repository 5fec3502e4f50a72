"""What a change of a policy would do, in words and figures on the terminal."""

from rich.table import Table

from deploy.command.context import console
from services.authorizer.policy_preview import Figures, Preview

_UNREAD = {
    "free_entries": "events marked Free: they were never read, so how many blocks come is not known",
    "window": "time outside the span kept so far: it was never read",
    "details": "details of events: they were never asked for",
    "groups": "who is in the new groups: Microsoft is asked only once the change is in force",
    "statuses": "events shown as free so far: they were not published, so how many blocks come is not known",
}
_WORDS = {
    "excluded_by_list": "excluded by the list",
    "rooms_excluded": "rooms and equipment",
    "rooms": "rooms and equipment",
    "lists": "by the address lists",
    "groups": "without the limit of groups",
}


def show(found: Preview) -> None:
    """Print a preview."""
    if not found.changes:
        console.print("That is the policy in force already: nothing would change.")
        return
    for name, (before, after) in found.changes.items():
        console.print(f"{name}: {before} -> {after}", highlight=False, markup=False)
    console.print(
        "Stricter: what is shown now is taken away at once and comes back as it is read again."
        if found.stricter
        else "Not stricter: what is shown now stays until it is read again.",
        style="bold yellow" if found.stricter else "bold",
    )
    console.print(_figures(found.figures))
    if any(kind in ("before", "after", "unsure") for kind, _ in found.figures):
        console.print(_blocks(found.figures))
    for word in found.unread:
        console.print(f"Not known before it is read: {_UNREAD[word]}.", style="dim", highlight=False)


def _figures(figures: Figures) -> Table:
    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for kind, said in (("leave", "mailboxes left out"), ("join", "mailboxes that come in")):
        words = {word: count for (what, word), count in figures.items() if what == kind}
        table.add_row(said, str(sum(words.values())))
        for word, count in sorted(words.items()):
            table.add_row(f"  {_WORDS.get(word, word)}", str(count))
    table.add_row("mailboxes whose groups decide", str(figures["open", "groups"]))
    table.add_row("mailboxes read anew", str(figures["read", "mailboxes"]))
    table.add_row("blocks outside the new span", str(figures["outside", "blocks"]))
    table.add_row("events whose details are deleted", str(figures["events", "deleted"]))
    return table


def _blocks(figures: Figures) -> Table:
    """Lay out blocks by status: shown now, shown after, and those that cannot be told before they are read again."""
    table = Table(box=None, header_style="bold")
    for title in ("blocks", "now", "after", "open"):
        table.add_column(title, justify="left" if title == "blocks" else "right")
    kinds = ("before", "after", "unsure")
    for status in sorted({word for kind, word in figures if kind in kinds}):
        table.add_row(status, *(str(figures[kind, status]) for kind in kinds))
    return table
