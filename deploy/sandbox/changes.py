"""What may be changed while a sandbox runs: events, people, permissions, tokens, faults. Tests and control call it.

A mailbox is named by its address, its user principal name or its id; a tenant that is not named is the first one.
"""

from collections.abc import Iterable
from typing import Any

from cryptography import x509
from msgspec.structs import replace

from deploy.sandbox import worlds
from deploy.sandbox.calendar import Item
from deploy.sandbox.calendars import Book, canaries_of
from deploy.sandbox.directory import Person, Reach, Tenant, Unknown, user_id_of
from deploy.sandbox.ews.listeners import Happening
from deploy.sandbox.ews.orders import Orders
from deploy.sandbox.faults import Fault
from deploy.sandbox.notifications import Change
from deploy.sandbox.notifier import Notifier
from deploy.sandbox.rendering import item_id_of
from deploy.sandbox.state import App, Counts, Grant, State
from deploy.sandbox.subscriptions import Subscription
from shared.contracts.values import DAY, Instant, Window
from shared.zones import resolve

_FAR = 3 * 365 * DAY


class Changes:
    """The changes one can make to a sandbox's world."""

    def __init__(self, state: State) -> None:
        """Take the world to change."""
        self.state = state

    # events

    def events(self, mailbox: str, *, tenant: str = "", window: Window | None = None) -> list[Item]:
        """Return a mailbox's items, without canaries; in three years either way where no window is given."""
        return self._book(mailbox, tenant).unmarked(window or self._far())

    def add_event(self, mailbox: str, item: Item, *, tenant: str = "") -> str:
        """Put an item into a mailbox and return its id; an empty `item_id` is given one."""
        book = self._book(mailbox, tenant)
        if not item.item_id:
            item = replace(item, item_id=f"9{user_id_of(mailbox).replace('-', '')[:8]}{book.revision:06d}")
        kind = "updated" if item.item_id in book.put else "created"
        book.change(item)
        self._tell(mailbox, tenant, kind=kind, item_id=item.item_id)
        return item.item_id

    def change_event(self, mailbox: str, event_id: str, *, tenant: str = "", **changes: Any) -> Item:
        """Change fields of an item (times, show_as, sensitivity ...) and return it. Raises Unknown."""
        book = self._book(mailbox, tenant)
        changed = replace(self._item(book, event_id), **changes)
        book.change(changed)
        self._tell(mailbox, tenant, kind="updated", item_id=changed.item_id)
        return changed

    def move_event(self, mailbox: str, event_id: str, *, seconds: int, tenant: str = "") -> Item:
        """Move an item by a number of seconds and return it. Raises Unknown."""
        item = self._item(self._book(mailbox, tenant), event_id)
        return self.change_event(mailbox, event_id, tenant=tenant, start=item.start + seconds, end=item.end + seconds)

    def delete_event(self, mailbox: str, event_id: str, *, tenant: str = "", moved: bool = False) -> None:
        """Delete an item; `moved` tells EWS so, as where people put it among deleted items. Raises Unknown."""
        book = self._book(mailbox, tenant)
        item_id = self._item(book, event_id).item_id
        book.remove(item_id)
        self._tell(mailbox, tenant, kind="deleted", item_id=item_id, ews="moved" if moved else "")

    # subscriptions and notifications

    def subscriptions(self, *, tenant: str = "") -> tuple[Subscription, ...]:
        """Return a tenant's living subscriptions, of all apps, in the order they were made."""
        found = self.state.notifier.subscriptions.living(self.state.clock(), tenant_id=self._tenant(tenant).tenant_id)
        return tuple(found)

    @property
    def notifications(self) -> Notifier:
        """What was due, sent and lost, and the faults to order."""
        return self.state.notifier

    @property
    def ews(self) -> Orders:
        """How EWS behaves, and who may do what there."""
        return Orders(self.state)

    # people

    def mailboxes(self, *, tenant: str = "", readable: bool = True) -> list[Person]:
        """Return the people whose mailboxes can be read, or everybody."""
        people = self._tenant(tenant).people.values()
        return [person for person in people if person.reach is Reach.OPEN or not readable]

    def add_user(self, address: str, *, tenant: str = "", items: Iterable[Item] = (), **fields: Any) -> Person:
        """Add a person (fields of Person: kind, reach, time_zone, guest ...) with these items."""
        where = self._tenant(tenant)
        made = Person(user_id=user_id_of(address), upn=address, mail=address, name=address.partition("@")[0], number=0)
        person = replace(made, **fields)
        where.put(person)
        book = worlds.open_book(self.state, where, person, worlds.empty)
        for item in items:
            book.change(item)
        return person

    def change_user(self, mailbox: str, *, tenant: str = "", **fields: Any) -> Person:
        """Change fields of a person, such as `reach` or `time_zone` (IANA). Raises Unknown."""
        where = self._tenant(tenant)
        where.put(person := replace(self._person(where, mailbox), **fields))
        book = self.state.book(where, person)
        book.zone = resolve(person.time_zone) or worlds.UTC
        book.revision += 1
        return person

    def remove_user(self, mailbox: str, *, tenant: str = "") -> None:
        """Remove a person, the calendar and the subscriptions to it. Raises Unknown."""
        where = self._tenant(tenant)
        person = self._person(where, mailbox)
        where.drop(person.user_id)
        del self.state.books[where.tenant_id, person.user_id]
        self.state.notifier.gone((where.tenant_id, person.user_id))
        self.state.ews.listeners.gone((where.tenant_id, person.user_id))

    # apps and permissions

    def register(self, app: App) -> None:
        """Register an application, or replace the one of the same id; consent is another step."""
        self.state.apps[app.client_id] = app

    def add_certificate(self, pem: str, *, client_id: str = "") -> None:
        """Let an app sign in with the key of this certificate. Raises ValueError for what is none."""
        self._app(client_id).certificates.append(x509.load_pem_x509_certificate(pem.encode()))

    def expire_secret(self, secret: str, *, client_id: str = "", at: Instant = 0) -> None:
        """Say when a secret of an app expires."""
        self._app(client_id).secrets[secret] = at

    def consent(self, *, client_id: str = "", tenant: str = "") -> None:
        """Grant an app in a tenant what it asks for."""
        app = self._app(client_id)
        self.state.grants[app.client_id, self._tenant(tenant).tenant_id] = Grant(roles=app.roles)

    def revoke(self, *, client_id: str = "", tenant: str = "") -> None:
        """Take an app out of a tenant; its tokens end at once."""
        key = (self._app(client_id).client_id, self._tenant(tenant).tenant_id)
        self.state.grants.pop(key, None)
        self.expire_tokens(tenant=tenant)

    def set_roles(self, *roles: str, client_id: str = "", tenant: str = "", keep_tokens: bool = False) -> None:
        """Set an app's permissions in a tenant; unless kept, tokens end, so that new ones carry the new roles."""
        self._grant(client_id, tenant).roles = frozenset(roles)
        if not keep_tokens:
            self.expire_tokens(tenant=tenant)

    def allow_mailboxes(self, *mailboxes: str, client_id: str = "", tenant: str = "") -> None:
        """Let an app read these mailboxes whatever its permissions (RBAC for Applications)."""
        people = [self._person(self._tenant(tenant), mailbox) for mailbox in mailboxes]
        self._grant(client_id, tenant).mailboxes = frozenset(person.address for person in people)

    def enable_app(self, *, enabled: bool = True, client_id: str = "", tenant: str = "") -> None:
        """Enable or disable an app in a tenant; disabling ends its tokens."""
        self._grant(client_id, tenant).enabled = enabled
        if not enabled:
            self.expire_tokens(tenant=tenant)

    def expire_tokens(self, *, tenant: str = "") -> None:
        """End every token of a tenant now."""
        ended = self._tenant(tenant).tenant_id
        self.state.tokens = {token: said for token, said in self.state.tokens.items() if said.tenant_id != ended}

    def refuse_consent(self, *, refuse: bool = True) -> None:
        """Let admins say no from now on, or yes again."""
        self.state.consent_refused = refuse

    # faults and counts

    def order(self, fault: Fault) -> int:
        """Put a fault on order and return its number. Raises re.error where `match` is no regular expression."""
        return self.state.faults.order(fault)

    def clear_faults(self, number: int | None = None) -> None:
        """Cancel one fault, or all."""
        self.state.faults.clear(number)

    def forget_requests(self) -> None:
        """Count requests from zero again."""
        self.state.counts = Counts(in_flight=self.state.counts.in_flight)

    @property
    def problems(self) -> list[dict[str, str]]:
        """What was odd in calendar files: file, place and a fixed word; never contents."""
        return self.state.problems

    @property
    def canaries(self) -> tuple[str, ...]:
        """Every string planted in a private field, of all mailboxes; empty where none are planted."""
        if not self.state.options.canaries:
            return ()
        items = (item for book in self.state.books.values() for item in book.unmarked(self._far(), private=False))
        return tuple(planted for item in items for planted in canaries_of(item))

    # finding things, and telling of them

    def _far(self) -> Window:
        now = self.state.clock()
        return Window(now - _FAR, now + _FAR)

    def _tenant(self, name: str) -> Tenant:
        found = self.state.tenant(name) if name else next(iter(self.state.tenants.values()))
        if found is None:
            raise Unknown("tenant")
        return found

    def _tell(self, mailbox: str, tenant: str, *, kind: str, item_id: str, ews: str = "") -> None:
        """Let subscriptions to a mailbox know of a change."""
        where = self._tenant(tenant)
        told = (where.tenant_id, self._person(where, mailbox).user_id)
        self.state.notifier.changed(told, Change(kind=kind, item_id=item_id, revision=self.state.books[told].revision))
        self.state.ews.listeners.tell(told, Happening(kind=ews or kind, item_id=item_id, at=self.state.clock()))

    def _person(self, tenant: Tenant, mailbox: str) -> Person:
        found = tenant.person(mailbox)
        if found is None:
            raise Unknown("mailbox")
        return found

    def _book(self, mailbox: str, tenant: str) -> Book:
        where = self._tenant(tenant)
        return self.state.book(where, self._person(where, mailbox))

    def _item(self, book: Book, event_id: str) -> Item:
        wanted = item_id_of(event_id)
        found = next((item for item in book.unmarked(self._far()) if item.item_id == wanted), None)
        if found is None:
            raise Unknown("event")
        return found

    def _app(self, client_id: str) -> App:
        found = self.state.apps.get(client_id or worlds.CLIENT_ID)
        if found is None:
            raise Unknown("app")
        return found

    def _grant(self, client_id: str, tenant: str) -> Grant:
        found = self.state.grants.get((self._app(client_id).client_id, self._tenant(tenant).tenant_id))
        if found is None:
            raise Unknown("consent")
        return found
