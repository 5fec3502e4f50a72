import contextlib
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher import notices
from services.fetcher.notices import LARGEST, MOST, Notice, Refused, client_state, foreign, plausible, proves, read

KEY, OTHER = b"k" * 32, b"o" * 32
STATE = client_state(KEY, "org1", "mailbox1")
TENANT = "84bd8158-6d4d-4958-8b9f-9d6445542f95"
IDS = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=64)


def item(**fields: object) -> dict[str, object]:
    return {"subscriptionId": "A-1", "clientState": STATE, "tenantId": TENANT.upper(), "changeType": "updated"} | fields


def body(*items: object, **more: object) -> bytes:
    return msgspec.json.encode({"value": list(items)} | more)


def test_a_notification_says_whose_it_is_and_nothing_of_the_event() -> None:
    sent = item(resource="Users/x/Events/y", resourceData={"id": "y"}, subscriptionExpirationDateTime="2026-01-01")
    found, odd = read(body(sent, validationTokens=["x"]))
    assert found == (Notice(subscription_id="a-1", client_state=STATE, tenant_id=TENANT),)
    assert odd == 0
    assert Notice.__struct_fields__ == ("subscription_id", "client_state", "tenant_id", "lifecycle")


@pytest.mark.parametrize("event", ["missed", "subscriptionRemoved", "reauthorizationRequired"])
def test_lifecycle_events_are_known(event: str) -> None:
    ((found,), _) = read(body(item(lifecycleEvent=event)))
    assert found.lifecycle == event


@pytest.mark.parametrize(
    "odd",
    [item(lifecycleEvent="renamed"), item(lifecycleEvent=1), item(lifecycleEvent=["missed"]), item(clientState=None),
     item(clientState="short"), item(clientState=STATE + "A"), item(subscriptionId=""), item(subscriptionId="a b"),
     item(subscriptionId="x" * 129), item(subscriptionId=["a"]), {}, 1, None, [], "text"],
)  # fmt: skip
def test_what_could_not_be_ours_is_counted_and_its_neighbours_are_read(odd: object) -> None:
    found, count = read(body(odd, item(), odd))
    assert [notice.subscription_id for notice in found] == ["a-1"]
    assert count == 2


def test_a_thousand_notifications_of_one_mailbox_are_one() -> None:
    found, _ = read(body(*(item(id=str(number)) for number in range(MOST))))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("sent", "reason"),
    [(b"", "malformed"), (b"[]", "malformed"), (b"{}", "malformed"), (b'{"value":{}}', "malformed"),
     (b'{"value":[}', "malformed"), (b"\xff\xfe", "malformed"), (b'{"value":' + b"[" * 5000, "malformed"),
     (b" " * (LARGEST + 1), "too_large"), (body(*([1] * (MOST + 1))), "too_many")],
)  # fmt: skip
def test_what_is_no_collection_is_refused(sent: bytes, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        read(sent)
    assert refused.value.reason == reason


@given(st.binary(max_size=400))
def test_whatever_is_sent_is_read_or_refused(sent: bytes) -> None:
    with contextlib.suppress(Refused):
        read(sent)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_whatever_an_item_is_it_is_counted_or_ignored(odd: object) -> None:
    try:
        found, count = read(body(odd, item()))
    except Refused:  # half a surrogate pair cannot be written either
        return
    assert len(found) == 1
    assert count == 1


def test_a_client_state_fits_what_microsoft_takes() -> None:
    assert len(STATE) == 43
    assert client_state(KEY, "org1", "mailbox1") == STATE


@given(IDS, IDS, IDS, IDS)
def test_a_client_state_proves_one_mailbox_alone(org: str, mailbox: str, other_org: str, other_mailbox: str) -> None:
    state = client_state(KEY, org, mailbox)
    same = (org, mailbox) == (other_org, other_mailbox)
    assert proves(state, [KEY], org_id=other_org, mailbox_id=other_mailbox) is same


def test_any_key_of_the_file_proves() -> None:
    assert proves(STATE, [OTHER, KEY], org_id="org1", mailbox_id="mailbox1")
    assert not proves(STATE, [OTHER], org_id="org1", mailbox_id="mailbox1")
    assert not proves(STATE, [], org_id="org1", mailbox_id="mailbox1")


def test_another_tenant_is_foreign_where_both_are_known_by_id() -> None:
    told = Notice(subscription_id="a", client_state=STATE, tenant_id=TENANT)
    assert not foreign(told, TENANT.upper())
    assert foreign(told, TENANT.replace("8", "9"))
    assert not foreign(told, "example.org")
    assert not foreign(Notice(subscription_id="a", client_state=STATE), TENANT)


@pytest.mark.parametrize("token", ["", "a\r\nSet-Cookie: x", "a\0", "é", "x" * (notices.LONGEST_TOKEN + 1)])
def test_no_token_of_microsofts_looks_like_that(token: str) -> None:
    assert not plausible(token)


def test_a_token_may_hold_what_must_be_escaped() -> None:
    assert plausible("Validation: <b>&amp; a+b=%41/?</b> Request-Id: 1")
