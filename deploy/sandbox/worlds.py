"""Builds a sandbox's world from its options: generated tenants, or one tenant from a folder of calendar files.

A file that cannot be read is reported and never fatal; its mailbox exists all the same, so that nothing goes unnoticed.
"""

import secrets
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from deploy.sandbox import calendars, directory, generator, tls
from deploy.sandbox.calendar import Calendar, Item, Problem, instances, read_calendar
from deploy.sandbox.calendars import Book, Source
from deploy.sandbox.directory import Group, Person, Reach, Tenant
from deploy.sandbox.ews import ntlm
from deploy.sandbox.ews.world import NETBIOS, USER, ServiceAccount
from deploy.sandbox.options import SandboxOptions
from deploy.sandbox.state import App, Grant, State
from shared.contracts.values import DAY, Instant
from shared.zones import local_midnight, resolve

CLIENT_ID = "b0a1c2d3-0000-4000-8000-5a5d5b0c0de5"
SECRET_FILE, EWS_PASSWORD_FILE = "client-secret", "ews-password"  # what they are called in the folder
UTC = ZoneInfo("UTC")


def build(options: SandboxOptions, *, clock: Callable[[], Instant]) -> State:
    """Return the world of these options. Blocks: reads files and makes keys."""
    state = State(options, clock=clock)
    now = options.now if options.now is not None else clock()
    if options.calendars is not None:
        _from_files(state, options.calendars)
    else:
        for number in range(1, options.tenants + 1):
            _generated(state, directory.tenant(number), now=now)
    app = App(client_id=CLIENT_ID, roles=frozenset(options.roles), redirect_uris=options.redirect_uris)
    app.secrets[options.client_secret or kept_secret(options.folder, SECRET_FILE)] = None
    state.apps[CLIENT_ID] = app
    for tenant_id in state.tenants:
        state.grants[CLIENT_ID, tenant_id] = Grant(roles=app.roles)
    state.control_token = kept_secret(options.folder, "control-token")
    password = options.ews_password or kept_secret(options.folder, EWS_PASSWORD_FILE)
    for tenant in state.tenants.values():
        state.ews.admit(_service_account(tenant, password))
    state.ews.ntlm_file = str(options.folder / "ntlm-users")
    ntlm.write_users(state.ews)
    return state


def _service_account(tenant: Tenant, password: str) -> ServiceAccount:
    """Return the account an organisation made for EWS: without a mailbox, its scope the group of all calendars."""
    number = "" if tenant.number == 1 else f"-{tenant.number}"
    return ServiceAccount(
        domain=f"{NETBIOS}{number}",
        user=USER,
        upn=f"{USER}@{tenant.domain}",
        password=password,
        tenant_id=tenant.tenant_id,
        scope=tenant.address_of(tenant.groups[directory.GROUP_ALL]),
    )


def kept_secret(folder: Path, name: str) -> str:
    """Return the secret in a file of the folder, made once (0600): a sandbox started again is the same one."""
    path = folder / name
    try:
        found = path.read_text().strip()
    except OSError:
        found = ""
    if not found:
        found = secrets.token_urlsafe(30)
        folder.mkdir(parents=True, exist_ok=True)
        tls.write_private(path, f"{found}\n".encode())
    return found


def open_book(state: State, tenant: Tenant, person: Person, source: Source) -> Book:
    """Give a person a calendar."""
    zone = resolve(person.time_zone) or UTC
    book = Book(source=source, zone=zone, canaries=state.options.canaries)
    state.books[tenant.tenant_id, person.user_id] = book
    return book


def empty(_window: object, _private: object) -> list[Item]:
    """Return no items: the source of a mailbox that control added."""
    return []


def _generated(state: State, tenant: Tenant, *, now: Instant) -> None:
    options = state.options
    directory.fill(tenant, options.mailboxes, seed=options.seed, others=options.others)
    state.tenants[tenant.tenant_id] = tenant
    for person in tenant.people.values():
        if person.reach is not Reach.OPEN:
            open_book(state, tenant, person, empty)
            continue
        plan = generator.Plan(
            seed=options.seed,
            tenant=tenant.number,
            number=person.number,
            events=options.events,
            today=now - now % DAY,
            offset=_offset(person.time_zone, now),
            domain=tenant.domain,
            colleagues=options.mailboxes,
        )
        open_book(state, tenant, person, calendars.generated(plan))


def _offset(zone: str, now: Instant) -> int:
    """Return a zone's seconds ahead of UTC at an instant."""
    # midnight of a day lies as many seconds before it in UTC as the zone is ahead
    return now - now % DAY - local_midnight(now - now % DAY, resolve(zone) or UTC)


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the address and the path of each calendar file below a folder, in the order of the addresses."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() == ".ics" and path.is_file())
    named = ((".".join(path.relative_to(folder).with_suffix("").parts).lower(), path) for path in found)
    yield from sorted((f"{name.replace(' ', '-')}@{directory.DOMAIN}", path) for name, path in named)


def _from_files(state: State, folder: Path) -> None:
    tenant = directory.tenant(1)
    state.tenants[tenant.tenant_id] = tenant
    for number, (address, path) in enumerate(files(folder), 1):
        place = path.relative_to(folder).as_posix()
        if not address.isprintable():  # such as a name that is not UTF-8
            state.problems.append({"file": ascii(place), "place": "", "reason": "bad_name"})
            continue
        if tenant.person(address) is not None:
            state.problems.append({"file": place, "place": "", "reason": "address_taken"})
            continue
        calendar = _read(state, path, place)
        person = Person(
            user_id=directory.user_id_of(address),
            upn=address,
            mail=address,
            name=f"Calendar {number:04d}",
            number=number,
            time_zone=calendar.time_zone,
        )
        tenant.put(person)
        source = calendars.from_file(partial(instances, calendar), partial(_report, state, place))
        open_book(state, tenant, person, source)
    everybody = Group(group_id=directory.GROUP_ALL, name="All calendars", members=tuple(tenant.people))
    tenant.groups = {everybody.group_id: everybody}


def _read(state: State, path: Path, place: str) -> Calendar:
    try:
        data = path.read_bytes()
    except OSError:
        _report(state, place, Problem("", "unreadable_file"))
        return Calendar("UTC")
    if b"BEGIN:VCALENDAR" not in data.upper():
        _report(state, place, Problem("", "no_calendar"))
    calendar = read_calendar(data)
    for problem in calendar.problems:
        _report(state, place, problem)
    return calendar


def _report(state: State, place: str, problem: Problem) -> None:
    """Note a problem once, however often a window is expanded."""
    said = {"file": place, "place": problem.place, "reason": problem.reason}
    if said not in state.problems:
        state.problems.append(said)
