"""Edge: everywhere a deployment keeps something, searched: tables, the files of SQLite, queues, other files.

It tells places and numbers, never what was found there, and changes nothing: messages looked at go back to their queue.
"""

import json
import mmap
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import copyfile
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import MetaData, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.command.searching import Matcher
from services.authorizer.audit import DEPLOYMENT
from shared.broker.parked import Browser, every
from shared.broker.parked import closing as put_back
from shared.broker.wire import Taken
from shared.store import Store

Row = Mapping[str, Any]
_REMOVED: Final = "org.removed.v1"


class Searched(Struct, frozen=True, kw_only=True):
    """What was searched in one place: so many things (rows, messages, files), so many bytes, and what was found where.

    `hits` counts by place and kind; `allowed` counts what names the org and may remain: receipt, audit entries, logs.
    """

    what: str
    things: int
    size: int
    hits: Mapping[str, int] = {}
    allowed: int = 0


class _Tally:
    """Counts what one place holds while it is gone through."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.things = self.size = self.allowed = 0
        self.hits: Counter[str] = Counter()

    def hit(self, where: str, kinds: Mapping[str, int]) -> None:
        self.hits.update({f"{where}: {kind}": 1 for kind in kinds})

    def done(self) -> Searched:
        return Searched(what=self.what, things=self.things, size=self.size, hits=dict(self.hits), allowed=self.allowed)


# -- tables -------------------------------------------------------------------------------------------------------


async def tables(store: Store, matcher: Matcher, *, org_id: str) -> list[Searched]:
    """Search every column of every row of every table there is, ours or not; `hits` are by table and column."""
    known = MetaData()
    async with store.engine.connect() as connection:
        await connection.run_sync(known.reflect)
        return [await _table(connection, table, matcher, org_id=org_id) for table in known.sorted_tables]


async def _table(connection: AsyncConnection, table: Table, matcher: Matcher, *, org_id: str) -> Searched:
    tally = _Tally(f"table {table.name}")
    async for row in (await connection.stream(select(table))).mappings():
        cells = {name: _bytes(value) for name, value in row.items()}
        tally.things += 1
        tally.size += sum(map(len, cells.values()))
        if matcher.found(b"\0".join(cells.values())):
            _cells(tally, table.name, cells, matcher=matcher, may_name=may_name_org(table.name, dict(row), org_id))
    return tally.done()


def _cells(tally: _Tally, table: str, cells: Mapping[str, bytes], *, matcher: Matcher, may_name: bool) -> None:
    for name, cell in cells.items():
        kinds = matcher.found(cell)
        if may_name and kinds.pop("org", 0):
            tally.allowed += 1
        tally.hit(f"{table}.{name}", kinds)


def may_name_org(table: str, row: Row, org_id: str) -> bool:
    """Say whether a row may name the org after it has left: receipt, audit entries, admins, the word to consumers."""
    match table:
        case "purges" | "sessions":  # an admin signed in is shown the receipt; a session ends within twelve hours
            return bool(row["org_id"] == org_id)
        case "audit":
            return row["chain"] in (org_id, DEPLOYMENT)  # a consumer may be called like the org
        case "updates":
            return bool(row["org_id"] == org_id and row["type"] == _REMOVED)
        case "consumers":  # at which position of the log each is told that it left
            return org_id in json.loads(row["departed"]) and org_id not in json.loads(row["orgs"])
        case "webhooks" | "webhook_waits":  # until each has delivered that it left
            named = json.loads(row["orgs"]) if table == "webhooks" else [row["org_id"]]
            return org_id in named and not row.get("mailbox_id")
        case _:
            return False


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return b"" if value is None else str(value).encode(errors="surrogatepass")


# -- files --------------------------------------------------------------------------------------------------------


def files(paths: Iterable[Path], matcher: Matcher) -> Searched:
    """Search files, and everything below folders, byte by byte; `hits` are by path.

    A log may go on naming the org, by whose id every line is written: that is told apart, and no hit.
    """
    tally = _Tally("files named by --also")
    for path in paths:
        for file in _below(path):
            tally.things += 1
            tally.size += file.stat().st_size
            kinds = _in_file(file, matcher)
            tally.allowed += kinds.pop("org", 0)
            tally.hit(str(file), kinds)
    return tally.done()


def _below(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in sorted(path.rglob("*")) if file.is_file())
    else:
        yield path


def _in_file(file: Path, matcher: Matcher) -> dict[str, int]:
    with file.open("rb") as opened:
        if not file.stat().st_size:
            return {}
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            return matcher.found(whole)


def sqlite_files(database: Path, texts: Matcher, *, org_id: str) -> list[Searched]:
    """Search the files of a SQLite database byte by byte, what is free or overwritten in them too.

    They are copied while no one writes, and the copy is searched for `texts`. Then the rows that may name the org are
    taken out of the copy, and what is left of its main file is searched for the org's id.
    """
    with _copied(database) as copy:
        found = [_renamed(file, copy, database, texts) for file in sorted(copy.parent.iterdir())]
        _take_out(copy, org_id)
        names = _renamed(copy, copy, database, Matcher(org_id, ()))
    return [*found, msgspec.structs.replace(names, what=f"{names.what}, for the org's id")]


def _renamed(file: Path, copy: Path, database: Path, matcher: Matcher) -> Searched:
    original = str(database) + file.name.removeprefix(copy.name)
    tally = _Tally(f"file {original}")
    tally.things, tally.size = 1, file.stat().st_size
    tally.hit(original, _in_file(file, matcher))
    return tally.done()


@contextmanager
def _copied(database: Path) -> Iterator[Path]:
    """Give a copy of a database's files as they lie there; while they are copied nobody writes or checkpoints."""
    with tempfile.TemporaryDirectory(prefix="busyline-search-") as folder:
        copy = Path(folder) / database.name
        with closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=30, isolation_level=None)) as held:
            held.execute("BEGIN IMMEDIATE")
            for end in ("", "-wal", "-shm", "-journal"):
                file = Path(f"{database}{end}")
                if file.exists():
                    copyfile(file, f"{copy}{end}")  # piece by piece: it may be larger than memory
            held.execute("ROLLBACK")
        yield copy


def _take_out(copy: Path, org_id: str) -> None:
    """Delete from a copy the rows that may name the org; what SQLite deletes it overwrites."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete=ON")
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:  # the audit log refuses deletion
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("DELETE FROM purges WHERE org_id = ?", (org_id,))
        connection.execute("DELETE FROM sessions WHERE org_id = ?", (org_id,))
        connection.execute("DELETE FROM audit WHERE chain IN (?, ?)", (org_id, DEPLOYMENT))
        connection.execute("DELETE FROM updates WHERE org_id = ? AND type = ?", (org_id, _REMOVED))
        connection.execute("DELETE FROM webhook_waits WHERE org_id = ? AND mailbox_id = ''", (org_id,))
        connection.execute("UPDATE webhooks SET orgs = '[]' WHERE instr(orgs, ?)", (f'"{org_id}"',))
        connection.execute("UPDATE consumers SET departed = '{}' WHERE instr(departed, ?)", (f'"{org_id}"',))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


# -- queues -------------------------------------------------------------------------------------------------------


async def queue(name: str, browse: Callable[[str], Awaitable[Browser]], matcher: Matcher) -> Searched:
    """Search the bodies and headers of all that waits in a queue, and put it back. Raises what `browse` raises."""
    tally = _Tally(f"queue {name}")
    browser = await browse(name)
    async with put_back(browser):
        async for taken in every(browser):
            whole = _message(taken)
            tally.things += 1
            tally.size += len(whole)
            tally.hit(f"queue {name}", matcher.found(whole))
    return tally.done()


def _message(taken: Taken) -> bytes:
    headers = "\0".join(f"{name}\0{value}" for name, value in taken.headers.items())
    named = f"{taken.message_id}\0{taken.message_type}\0{headers}\0"
    return named.encode(errors="surrogatepass") + taken.body
