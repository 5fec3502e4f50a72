"""What SyncFolderItems tells of a calendar: all of it once, then what was created, changed and deleted since."""

from pathlib import Path

import pytest

from deploy.sandbox.calendar import Item
from tests.unit.sandbox.asking import NOW
from tests.unit.sandbox.asking_ews import NAMES, PERSON, EwsCaller, ews_caller, texts

OTHER = "person.0002@sandbox.example"
PREFIX = "AAkALgAAAAAAHYQDEapmEc2byACqAC-E"


@pytest.fixture
def caller(tmp_path: Path) -> EwsCaller:
    return ews_caller(tmp_path, mailboxes=10, events=60)


def asking(state: str = "", *, most: int = 512, shape: str = "<t:BaseShape>IdOnly</t:BaseShape>") -> str:
    known = f"<m:SyncState>{state}</m:SyncState>" if state else ""
    return (
        f"<m:SyncFolderItems><m:ItemShape>{shape}</m:ItemShape>"
        f'<m:SyncFolderId><t:DistinguishedFolderId Id="calendar"/></m:SyncFolderId>{known}'
        f"<m:MaxChangesReturned>{most}</m:MaxChangesReturned></m:SyncFolderItems>"
    )


class Told:
    """What one call told."""

    def __init__(self, state: str, changes: list[tuple[str, str]], *, complete: bool) -> None:
        self.state, self.changes, self.complete = state, changes, complete


async def told(caller: EwsCaller, state: str = "", *, most: int = 512, mailbox: str = PERSON) -> Told:
    response = await caller.get(asking(state, most=most), impersonated=mailbox)
    assert texts(response, ".//m:ResponseCode") == ["NoError"]
    changes = [
        (change.tag.rpartition("}")[2], change.find(".//t:ItemId", NAMES).get("Id").removeprefix(PREFIX)[:-3])
        for change in response.find(".//m:Changes", NAMES)
    ]
    complete = texts(response, ".//m:IncludesLastItemInRange") == ["true"]
    return Told(texts(response, ".//m:SyncState")[0], changes, complete=complete)


def things(caller: EwsCaller, mailbox: str = PERSON) -> set[str]:
    return {item.series_id or item.item_id for item in caller.changes.events(mailbox)}


@pytest.mark.parametrize("most", [1, 7, 512])
async def test_everything_is_told_once_series_by_their_masters(caller: EwsCaller, most: int) -> None:
    found: list[tuple[str, str]] = []
    last = Told("", [], complete=False)
    while not last.complete:
        last = await told(caller, last.state, most=most)
        assert len(last.changes) <= most
        found += last.changes
    assert len(found) == len(things(caller)) < 60
    assert set(found) == {("Create", thing) for thing in things(caller)}
    assert (await told(caller, last.state)).changes == []


async def test_what_happened_since_is_told_once(caller: EwsCaller) -> None:
    state = (await told(caller)).state
    single = next(item for item in caller.changes.events(PERSON) if item.series_id is None)
    gone = [item for item in caller.changes.events(PERSON) if item.series_id is None][1]
    caller.changes.add_event(PERSON, Item(item_id="new", start=NOW, end=NOW + 60))
    caller.changes.change_event(PERSON, "new", subject="newer")
    caller.changes.move_event(PERSON, single.item_id, seconds=60)
    caller.changes.delete_event(PERSON, gone.item_id)
    caller.changes.add_event(PERSON, Item(item_id="brief", start=NOW, end=NOW + 60))
    caller.changes.delete_event(PERSON, "brief")
    after = await told(caller, state)
    assert set(after.changes) == {("Create", "new"), ("Update", single.item_id), ("Delete", gone.item_id)}
    assert (await told(caller, after.state)).changes == []
    caller.changes.delete_event(PERSON, "new")
    assert (await told(caller, after.state)).changes == [("Delete", "new")]
    assert (await told(caller, state)).complete


async def test_changed_and_deleted_instances_are_changes_of_their_series(caller: EwsCaller) -> None:
    state = (await told(caller)).state
    first, second = [item for item in caller.changes.events(PERSON) if item.series_id][:2]
    assert first.series_id
    caller.changes.move_event(PERSON, first.item_id, seconds=60)
    caller.changes.delete_event(PERSON, second.item_id)
    changed = (await told(caller, state)).changes
    assert {kind for kind, _ in changed} == {"Update"}
    assert {thing for _, thing in changed} == {first.series_id, second.series_id}


async def test_many_changes_come_in_pages_and_none_is_lost(caller: EwsCaller) -> None:
    state = (await told(caller)).state
    for number in range(25):
        caller.changes.add_event(PERSON, Item(item_id=f"n{number}", start=NOW, end=NOW + 60))
    found: list[tuple[str, str]] = []
    complete = False
    while not complete:
        page = await told(caller, state, most=10)
        found, state, complete = found + page.changes, page.state, page.complete
    assert sorted(found) == sorted(("Create", f"n{number}") for number in range(25))


async def test_what_changes_while_everything_is_listed_is_told_afterwards(caller: EwsCaller) -> None:
    first = await told(caller, most=5)
    caller.changes.change_event(PERSON, caller.changes.events(PERSON)[0].item_id, subject="changed meanwhile")
    rest = await told(caller, first.state)
    assert rest.complete
    assert len((await told(caller, rest.state)).changes) == 1


async def test_properties_are_given_to_who_asks_for_them(caller: EwsCaller) -> None:
    shape = (
        "<t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>"
        '<t:FieldURI FieldURI="item:Subject"/></t:AdditionalProperties>'
    )
    response = await caller.get(asking(shape=shape), impersonated=PERSON)
    assert len(texts(response, ".//t:Subject")) == len(things(caller))
    assert caller.state.counts.selects["EWS SyncFolderItems"] == {"item:Subject": 1}


async def test_a_state_is_good_for_its_own_mailbox_only(caller: EwsCaller) -> None:
    foreign = (await told(caller, mailbox=OTHER)).state
    for state in (foreign, "bm9uc2Vuc2U=", "%%%"):
        response = await caller.get(asking(state), impersonated=PERSON)
        assert texts(response, ".//m:ResponseCode") == ["ErrorInvalidSyncStateData"]


async def test_a_state_from_before_a_mailbox_was_made_anew_is_refused(caller: EwsCaller) -> None:
    caller.changes.add_event(PERSON, Item(item_id="new", start=NOW, end=NOW + 60))
    state = (await told(caller)).state
    caller.changes.remove_user(PERSON)
    caller.changes.add_user(PERSON)
    caller.orders.change_account(scope="*")
    response = await caller.get(asking(state), impersonated=PERSON)
    assert texts(response, ".//m:ResponseCode") == ["ErrorInvalidSyncStateData"]


@pytest.mark.parametrize("most", [0, 513])
async def test_a_number_of_changes_out_of_bounds_breaks_the_schema(caller: EwsCaller, most: int) -> None:
    assert await caller.fault(asking(most=most), impersonated=PERSON) == (500, "ErrorSchemaValidation")
