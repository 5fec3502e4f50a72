"""A consumer's side on the broker, for the commands: made, changed and taken away through the management API.

Where no management API is set it says what an administrator of the broker has to do instead; it never guesses.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final
from urllib.parse import quote

import click
from msgspec import Struct
from sqlalchemy import select

from deploy.command.context import console, deployment
from deploy.command.failures import Wrong
from deploy.rabbitmq.admission import Place, is_word, place, scope_on_broker, to_import
from deploy.rabbitmq.definitions import Consumer
from deploy.rabbitmq.management import Management, ManagementError, managing
from services.publisher.consumers import Known, listed
from services.publisher.relay import NAME
from shared import clock
from shared.broker import address
from shared.broker.address import Address
from shared.store import Store
from shared.tables import relay

_PATIENCE: Final = 10  # seconds; the relay takes some milliseconds
_ADMIN: Final = "the management API of BUSYLINE_BROKER_ADMIN_URL"
_SAID: Final = {
    "unreachable": f"{_ADMIN} cannot be reached",
    "login_refused": f"{_ADMIN} refuses its user or password",
    "not_administrator": f"the user of BUSYLINE_BROKER_ADMIN_URL needs the tag `administrator`: {_ADMIN} makes users",
    "rights_missing": "the user of BUSYLINE_BROKER_ADMIN_URL lacks rights on the virtual host of BUSYLINE_BROKER_URL: "
    "configure and write ^consumer\\..*$, read ^(availability|consumer\\..*)$",
    "not_found": "the broker lacks the virtual host of BUSYLINE_BROKER_URL, or the exchange `availability` in it: "
    "import the definitions first",
    "refused": f"{_ADMIN} refuses what was asked for",
}
NO_BROKER: Final = (
    "the embedded broker lives inside the process of `busyline up`: for consumers on AMQP set BUSYLINE_BROKER_URL to "
    "RabbitMQ"
)
NOT_A_WORD: Final = "with --amqp NAME is 1 to 40 lower-case letters, digits and -, and begins with a letter"


class Given(Struct, frozen=True, kw_only=True):
    """What a consumer is told of the broker, once; and what is still to be imported there, empty where all is done."""

    url: str
    queue: str
    definitions: bytes = b""


class BrokerSide:
    """Consumers on one virtual host; `management` None where the broker is not managed from here."""

    def __init__(self, at: Address, management: Management | None) -> None:
        """Take where the broker is, and the way to change it."""
        self._at, self._management = at, management

    @property
    def managed(self) -> bool:
        """Say whether anything can be done here."""
        return self._management is not None

    async def admit(self, name: str, orgs: Sequence[str], *, anew: bool) -> Given:
        """Give a consumer a user with a fresh password, and its queue; `anew` begins without what bore its name before.

        Nothing stays of a consumer that was to be made anew and could not be. Raises ManagementError.
        """
        password = secrets.token_urlsafe(32)
        made = place(Consumer(name=name, password=password, orgs=tuple(orgs)))
        if self._management is None:
            return self._given(made, password, to_import([made], self._at.vhost))
        try:
            if anew:
                await self._management.dismiss(name, made.user)
            await self._management.admit(made)
        except BaseException:
            if anew:
                await self.undo(name)
            raise
        return self._given(made, password)

    async def undo(self, name: str) -> None:
        """Take away what was made, as far as the broker lets us: nobody has seen the password."""
        with suppress(ManagementError):
            await self.dismiss(name)

    async def dismiss(self, name: str) -> bool:
        """Take away a consumer's user, queues and connections; False where there is no such user, or none to manage."""
        if self._management is None or not is_word(name):
            return False
        user = _of(name).user
        there = await self._management.knows(user)
        await self._management.dismiss(name, user)
        return there

    async def follow(self, store: Store, known: Known) -> bool:
        """Bring a consumer's rights and bindings to its scope; False where nothing is to do. Raises ManagementError."""
        if self._management is None or not is_word(known.name):
            return False
        wanted = _of(known.name, scope_on_broker(known, announced=await announced(store)))
        if not await self._management.knows(wanted.user) or await self._management.in_order(wanted):
            return False
        await self._management.rescope(wanted)
        return True

    async def follow_each(self, store: Store, found: Sequence[Known]) -> AsyncIterator[str]:
        """Do so for each, and yield the names of those for whom something was done.

        One for whom the broker refuses it keeps nobody else from it; raises ManagementError at the end.
        """
        refused: ManagementError | None = None
        for known in found:
            try:
                if await self.follow(store, known):
                    yield known.name
            except ManagementError as error:
                if error.reason != "refused":
                    raise
                refused = error
        if refused is not None:
            raise refused

    async def strays(self, names: Sequence[str]) -> list[str]:
        """Return consumers that are on the broker and not among these names."""
        users = [] if self._management is None else await self._management.users()
        prefix = "consumer-"
        return sorted({user.removeprefix(prefix) for user in users if user.startswith(prefix)} - {*names})

    def _given(self, made: Place, password: str, definitions: bytes = b"") -> Given:
        scheme = "amqp" if self._at.tls is None else "amqps"
        host = f"[{self._at.host}]" if ":" in self._at.host else self._at.host
        url = f"{scheme}://{made.user}:{password}@{host}:{self._at.port}/{quote(self._at.vhost, safe='')}"
        return Given(url=url, queue=made.queue, definitions=definitions)


def _of(name: str, orgs: Sequence[str] = ()) -> Place:
    return place(Consumer(name=name, password="", orgs=tuple(orgs)))


async def announced(store: Store) -> int:
    """Return the position up to which the log was announced on the broker."""
    async with store.read() as connection:
        query = select(relay.c.position).where(relay.c.name == NAME)
        return (await connection.execute(query)).scalar_one_or_none() or 0


async def departed(store: Store) -> None:
    """Take an org that just left from its consumers' rights on the broker, once the word that it left is announced.

    Where the broker is managed from here; where that cannot be finished, it is said, and no error.
    """
    if not deployment().broker_admin_url:
        return
    found = await listed(store)
    last = max((position for known in found for position in known.departed.values()), default=0)
    end = clock.now() + _PATIENCE
    while await announced(store) < last and clock.now() < end:
        await asyncio.sleep(0.25)
    try:
        async with broker_side("`busyline consumers sync` takes the org from consumers' rights on the broker") as side:
            if side is not None:
                async for _ in side.follow_each(store, found):
                    pass
    except click.ClickException as error:
        console.print(error.format_message(), style="yellow", highlight=False)


@asynccontextmanager
async def broker_side(but: str = "") -> AsyncIterator[BrokerSide | None]:
    """Open the broker's side of the settings; None for the embedded broker.

    Click errors say what is the matter within, and `but` beside it.
    """
    ready = deployment()
    url, admin = ready.broker_url.reveal(), ready.broker_admin_url.reveal()
    if url.startswith("memory:"):
        yield None
        return
    at = address.parse(url)
    with saying(but):
        if not admin:
            yield BrokerSide(at, None)
            return
        async with managing(admin, vhost=at.vhost, ca_file=ready.ca_file) as management:
            yield BrokerSide(at, management)


def demanded(side: BrokerSide | None, name: str) -> BrokerSide:
    """Return the side of a broker on which a consumer of this name can be. Raises Wrong."""
    if side is None:
        raise Wrong(NO_BROKER)
    if not is_word(name):
        raise Wrong(NOT_A_WORD)
    return side


@contextmanager
def saying(but: str = "") -> Iterator[None]:
    """Say of a ManagementError in one sentence what is the matter, and what came of it."""
    try:
        yield
    except ManagementError as error:
        raise click.ClickException("; ".join(filter(None, (_SAID[error.reason], but)))) from None
