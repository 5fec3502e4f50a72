"""What the JSON API takes and gives where an org is connected: bodies that may hold a secret, answers that never do."""

from typing import Annotated, Literal

from msgspec import Meta

from services.authorizer.console.api_answers import Asked, Given, Word
from shared.contracts.values import Instant

Text = Annotated[str, Meta(max_length=1024)]


class Entrance(Given, frozen=True, kw_only=True):
    """Where the admin's browser is sent. Only there can they sign in at Microsoft: it is their word that counts."""

    url: str
    expires_at: Annotated[Instant | None, Meta(description="When the address opens nothing any more; null: a page.")]


class StepTold(Given, frozen=True, kw_only=True):
    """One step of a test. `ok` is null where it is a warning; `sentence` says what to do."""

    name: Word
    title: str
    ok: bool | None
    reason: Word
    sentence: str
    found: str


class TestTold(Given, frozen=True, kw_only=True):
    """How far a test is. Only one that `passed` can be saved, once. `cut` says why it ended before its last step."""

    test_id: str
    ended: bool
    passed: bool
    cut: Word
    steps: tuple[StepTold, ...]


class LdapAsked(Asked, frozen=True, kw_only=True):
    """Active Directory, read over TLS. Without a name and a password the service account reads it."""

    url: Text
    base: Text
    group: Text = ""
    username: Text = ""
    password: Text = ""

    def __repr__(self) -> str:
        return "LdapAsked(***)"


class ExchangeAsked(Asked, frozen=True, kw_only=True):
    """An Exchange server to be tried: by the account and its password or, with `auth` oauth, by an app.

    `server` is empty where autodiscover shall find it; `auth` is "" for what the server offers. `member` is an ordinary
    mailbox that is read, `outsider` one that must be refused. The mailboxes are listed in at least one of `groups`
    (distribution groups), `ldap`, `rooms` (every room list) and `addresses`.
    """

    member: Text
    server: Text = ""
    auth: Literal["", "ntlm", "basic", "oauth"] = ""
    account: Text = ""
    password: Text = ""
    tenant: Text = ""
    client_id: Text = ""
    client_secret: Text = ""
    resource: Text = ""
    cloud: Text = "global"
    outsider: Text = ""
    groups: tuple[Text, ...] = ()
    ldap: LdapAsked | None = None
    rooms: bool = False
    addresses: Annotated[tuple[Text, ...], Meta(max_length=50_000)] = ()

    def __repr__(self) -> str:
        return "ExchangeAsked(***)"


class TestAsked(Asked, frozen=True, kw_only=True):
    """A test that passed."""

    test_id: Text


class ExchangeSaved(Given, frozen=True, kw_only=True):
    """The org is being verified just as it was tried; its status says what comes of it."""

    phase: Literal["verifying"] = "verifying"
