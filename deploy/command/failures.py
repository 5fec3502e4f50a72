"""What a command says when something outside it is wrong: one sentence that names what and where, never a traceback.

Only failures that an operator can mend are translated; anything else is a bug and keeps its traceback.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click
from sqlalchemy.exc import DBAPIError

from shared.broker import Trouble
from shared.config import SettingsError
from shared.errors import Reject, Retry
from shared.vault import VaultError

BROKER: Final = "the broker of BUSYLINE_BROKER_URL"
DATABASE: Final = "the database of BUSYLINE_DATABASE_URL"
OVERTAKEN: Final = (
    "a later word about this org counts already, so nothing was changed; if it was not given just now, the clocks of "
    "this host and of the authorizer's differ"
)

_KEYS: Final = {
    "keys_missing": "there is no readable key file there; `busyline up` makes one",
    "keys_malformed": "the key file holds a line that is not `id:base64` of 32 bytes",
    "no_key": "the key file holds no key",
}
_REJECTED: Final = {
    "consumer_name_invalid": "NAME is 1 to 64 letters, digits, dots, - or _, and begins with a letter or a digit",
    "orgs_invalid": "--org is 1 to 64 letters, digits, - or _",
    "consumer_exists": "there is a consumer of that name already",
}
_USAGE: Final = ("consumer_name_invalid", "orgs_invalid")
_WAITING: Final = {
    "purge_under_way": "the org is still being disconnected; try again once `busyline receipt` shows its receipt",
    "store_unavailable": f"{DATABASE} cannot be reached",
}
_SCHEMA: Final = ("no such table", "UndefinedTable", "no such column", "UndefinedColumn")


class Wrong(click.ClickException):
    """Usage or settings are wrong, and nothing was tried: one sentence, exit 2."""

    exit_code = 2


class Commands(click.Group):
    """A group whose commands end with a sentence where their surroundings fail them."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit 1 with the sentence of a failure that has one, 2 where usage or settings are wrong."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            said = sentence(error)
            if said is None:
                raise
            raise (Wrong if _is_wrong(error) else click.ClickException)(said) from None


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """Say of a failure to connect which server it was."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"{what} cannot be reached: {_plain(error)}") from None
    except Trouble as error:
        raise click.ClickException(f"{what} refuses: {type(error).__name__}") from None


def sentence(error: BaseException) -> str | None:
    """Return what to say of an error, None for one that only its traceback explains."""
    if isinstance(error, BaseExceptionGroup):
        said = [sentence(part) for part in error.exceptions]
        return None if None in said else said[0]
    if isinstance(error, click.ClickException):
        return error.format_message() if error.exit_code == 1 else None
    # an OSError of a pipe's other end is click's own affair
    if isinstance(error, OSError) and error.errno != errno.EPIPE:
        return _plain(error)
    return _of_ours(error)


def _is_wrong(error: BaseException) -> bool:
    """Say whether it is the usage or the settings that are wrong, rather than something that failed."""
    if isinstance(error, BaseExceptionGroup):
        return _is_wrong(error.exceptions[0])
    return isinstance(error, SettingsError) or (isinstance(error, Reject) and error.reason in _USAGE)


def _of_ours(error: BaseException) -> str | None:
    if isinstance(error, SettingsError):
        return str(error)
    if isinstance(error, VaultError):
        return f"BUSYLINE_KEYS_FILE: {_KEYS.get(error.reason, error.reason)}"
    if isinstance(error, Reject):
        return _REJECTED.get(error.reason, f"{error.where} {error.reason}".strip())
    if isinstance(error, Retry):
        return _WAITING.get(error.reason, f"not now: {error.reason}")
    if isinstance(error, DBAPIError):
        return f"{DATABASE} {_of_database(error)}"
    return None


def _of_database(error: DBAPIError) -> str:
    """Say what a database answered by its kind: its text may quote a row."""
    kind = type(error.orig.__cause__ or error.orig).__name__ if error.orig else type(error).__name__
    text = f"{kind} {error.orig}"
    if any(word in text for word in _SCHEMA):
        return "has no Busyline schema of this version: run `busyline database upgrade`"
    return f"cannot be used: {kind}"


def _plain(error: OSError) -> str:
    text = error.strerror or type(error).__name__
    return f"{error.filename}: {text}" if error.filename else text
