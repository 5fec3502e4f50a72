"""Where EWS is for a mailbox: whom autodiscover asks, whom it sends a password, and whom it does not believe."""

import socket
import threading
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.authorizer import autodiscover_forms as forms
from services.authorizer import autodiscover_hints as hints
from services.authorizer.autodiscover import HOPS, found
from services.authorizer.autodiscover_forms import Told
from services.authorizer.exchange import Trial
from shared.ews.dialling import Surroundings
from shared.ews.errors import EwsError
from tests.unit.authorizer.exchange_fakes import MEMBER, FakeServer, ews, offered, question

OWN = "https://autodiscover.acme.example/autodiscover/autodiscover.svc"
BARE = "https://acme.example/autodiscover/autodiscover.svc"
EWS = "https://mail.acme.example/EWS/Exchange.asmx"
DATA = Path(__file__).parents[4] / "shared" / "data" / "ews"
NS = "http://schemas.microsoft.com/exchange/2010/Autodiscover"
LOOPBACK = Surroundings(networks=(ip_network("127.0.0.0/8"),))

PROTOCOLS = (
    "<Protocol><Type>EXCH</Type><ASUrl>https://a/</ASUrl></Protocol>"
    "<Protocol><Type>EXPR</Type><EwsUrl>https://b/</EwsUrl></Protocol>"
)


def soap(code: str = "NoError", *, target: str = "", **settings: str) -> bytes:
    """Write an answer of the newer form."""
    told = "".join(
        f"<UserSetting><Name>{name}</Name><Value>{url}</Value></UserSetting>" for name, url in settings.items()
    )
    return (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<GetUserSettingsResponseMessage xmlns="{NS}"><Response><ErrorCode>NoError</ErrorCode><UserResponses>'
        f"<UserResponse><ErrorCode>{code}</ErrorCode><RedirectTarget>{target}</RedirectTarget>"
        f"<UserSettings>{told}</UserSettings></UserResponse></UserResponses></Response>"
        "</GetUserSettingsResponseMessage></s:Body></s:Envelope>"
    ).encode()


def pox(inner: str) -> bytes:
    """Write an answer of the older form."""
    return f'<Autodiscover xmlns="a"><Response xmlns="b"><Account>{inner}</Account></Response></Autodiscover>'.encode()


def server(posts: dict[str, bytes | Exception], *more: str) -> FakeServer:
    """Return a server that is there at every address it answers at, and at no other."""
    made = FakeServer(offers={url: offered("ntlm", "basic") for url in (*posts, *more)})
    made.posts = dict(posts)
    return made


async def url_of(made: FakeServer) -> str:
    return (await found(question(ews(url="")), made.exchange())).url


async def reason_of(made: FakeServer) -> tuple[str, str]:
    told = await found(question(ews(url="")), made.exchange())
    assert not told.url
    return told.reason, told.host


async def test_the_domains_own_name_is_asked_first_and_the_bare_domain_after_it() -> None:
    both = server({OWN: soap(ExternalEwsUrl=EWS), BARE: soap(ExternalEwsUrl="https://other.acme.example/ews")})
    assert await url_of(both) == EWS
    assert both.opened == [(OWN, "ntlm")]
    assert await url_of(server({BARE: soap(ExternalEwsUrl=EWS)})) == EWS


async def test_the_address_outside_goes_before_the_one_inside() -> None:
    inside = "https://ex1.ad.acme.example/EWS/Exchange.asmx"
    assert await url_of(server({OWN: soap(InternalEwsUrl=inside, ExternalEwsUrl=EWS)})) == EWS
    assert await url_of(server({OWN: soap(InternalEwsUrl=inside)})) == inside


async def test_the_older_form_is_asked_where_the_newer_is_not_known() -> None:
    older = OWN.replace(".svc", ".xml")
    made = server({older: pox(f"<Protocol><Type>EXCH</Type><EwsUrl>{EWS}</EwsUrl></Protocol>")}, OWN)
    assert await url_of(made) == EWS
    assert [url for url, _ in made.opened] == [OWN, older]


async def test_a_wrong_password_is_sent_to_one_place_only() -> None:
    made = server({OWN: EwsError("sign_in_refused", status=401), BARE: soap(ExternalEwsUrl=EWS)})
    steps = [step async for step in Trial(question(ews(url="")), made.exchange()).steps(0)]
    assert [(step.name, step.reason) for step in steps] == [("autodiscover", "sign_in_refused")]
    assert [url for url, _ in made.opened] == [OWN]


async def test_what_was_found_is_tried_and_shown() -> None:
    made = server({OWN: soap(ExternalEwsUrl=EWS)}, EWS)
    trial = Trial(question(ews(url="")), made.exchange())
    steps = [step async for step in trial.steps(0)]
    assert steps[0].found == f"{EWS} (told by autodiscover.acme.example)"
    assert trial.settled.endpoint == EWS
    assert all(step.ok for step in steps)


async def test_a_redirect_of_a_host_that_was_signed_in_to_is_followed_anywhere() -> None:
    hosted = "https://hosting.example/autodiscover/autodiscover.svc"
    there = soap("RedirectUrl", target="https://hosting.example/autodiscover/autodiscover.xml")
    url = "https://ews.hosting.example/EWS/Exchange.asmx"
    assert await url_of(server({OWN: there, hosted: soap(ExternalEwsUrl=url)})) == url


async def test_another_address_is_asked_for_at_its_own_domain() -> None:
    moved = soap("RedirectAddress", target="anna@new.example")
    there = "https://autodiscover.new.example/autodiscover/autodiscover.svc"
    made = server({OWN: moved, there: soap(ExternalEwsUrl="https://mail.new.example/EWS/Exchange.asmx")})
    assert await url_of(made) == "https://mail.new.example/EWS/Exchange.asmx"
    assert b"anna@new.example" in made.bodies[-1]


async def test_redirects_in_a_circle_end() -> None:
    made = server({OWN: soap("RedirectAddress", target=MEMBER)})
    assert await reason_of(made) == ("autodiscover_nothing", "autodiscover.acme.example")
    assert len(made.opened) == HOPS


async def test_a_hint_within_the_domain_is_followed() -> None:
    inside = "https://ex.acme.example/autodiscover/autodiscover.svc"
    made = server({inside: soap(ExternalEwsUrl=EWS)})
    made.hints = ("https://ex.acme.example/autodiscover/autodiscover.xml",)
    assert await url_of(made) == EWS


@pytest.mark.parametrize("host", ["evil.example", "acme.example.evil.example", "evilacme.example"])
async def test_a_hint_out_of_the_domain_gets_no_password(host: str) -> None:
    outside = f"https://{host}/autodiscover/autodiscover.svc"
    made = server({outside: soap(ExternalEwsUrl=EWS)})
    made.hints = (outside,)
    assert await reason_of(made) == ("autodiscover_foreign", host)
    assert (made.opened, made.reached) == ([], [OWN, BARE])


async def test_a_place_that_asks_nobody_who_they_are_gets_no_password() -> None:
    made = FakeServer(offers={OWN: offered(status=200), BARE: offered(status=404)})
    assert await reason_of(made) == ("autodiscover_nothing", "")
    assert made.opened == []


async def test_an_address_that_is_not_known_there_is_said_so() -> None:
    assert await reason_of(server({OWN: soap("InvalidUser")})) == ("autodiscover_refused", "autodiscover.acme.example")


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.acme.example/ews",
        "https://user@mail.acme.example/ews",
        "https:///ews",
        "ldap://mail/ews",
        "https://mail.acme.example/e ws",
    ],
)
async def test_an_endpoint_that_is_no_https_address_is_not_taken(url: str) -> None:
    assert await reason_of(server({OWN: soap(ExternalEwsUrl=url)})) == (
        "autodiscover_nothing",
        "autodiscover.acme.example",
    )


@given(st.emails())
def test_a_question_holds_the_address_and_nothing_of_it_as_markup(address: str) -> None:
    strange = address.replace("@", "<&>@")
    for body in (forms.soap_question(strange, OWN), forms.pox_question(strange)):
        assert b"&lt;&amp;&gt;@" in body
        assert b"<&>" not in body


@pytest.mark.parametrize(
    ("inner", "told"),
    [
        ("<RedirectAddr>b@x.example</RedirectAddr>", Told(address="b@x.example")),
        ("<RedirectUrl>https://x.example/</RedirectUrl>", Told(place="https://x.example/")),
        (PROTOCOLS, Told(url="https://b/")),
        ("", Told()),
    ],
)  # fmt: skip
def test_the_older_form_says_the_same(inner: str, told: Told) -> None:
    assert forms.pox_answer([pox(inner)]) == told


@pytest.mark.parametrize(
    "body",
    [b"", b"<html/>", b"<Autodiscover", b'<!DOCTYPE a [<!ENTITY e "x">]><Autodiscover>&e;</Autodiscover>',
     b"<Autodiscover>" + b"x" * (1 << 21), b"\xff\xfe\x00"],
)  # fmt: skip
def test_what_is_no_answer_of_the_older_form_is_an_error(body: bytes) -> None:
    with pytest.raises(EwsError):
        forms.pox_answer([body])


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_microsofts_own_examples_are_read(number: int) -> None:
    file = DATA / "examples" / f"getusersettings-response-0{number}.xml"
    if not file.exists():
        pytest.skip("Microsoft's examples do not lie beside the repository")
    told = forms.soap_answer([file.read_bytes().replace(b"\n        Autodiscover", b"Autodiscover")])
    expected = {
        1: "elvin@mail.contoso.com",
        2: "User1@mail.Contoso.com",
        3: "https://server.Contoso.com/ews/exchange.asmx",
        4: "",
    }
    assert (told.address or told.url) == expected[number]


def test_a_recorded_answer_of_the_older_form_is_read() -> None:
    file = DATA / "recorded" / "autodiscover-pox-x-01.xml"
    if not file.exists():
        pytest.skip("recorded answers do not lie beside the repository")
    assert forms.pox_answer([file.read_bytes()]).url == "https://outlook.office365.com/EWS/Exchange.asmx"


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"HTTP/1.1 302 Found\r\nServer: x\r\nLocation: https://a.example/b", "https://a.example/b"),
        (b"HTTP/1.1 301 Moved\r\nlocation:https://a.example/b\r\n", "https://a.example/b"),
        (b"HTTP/1.1 200 OK\r\nLocation: https://a.example/b", ""),
        (b"HTTP/1.1 302 Found", ""),
        (b"", ""),
        (b"\xff\xff", ""),
    ],
)
def test_a_redirect_is_read_from_the_head_of_an_answer(head: bytes, told: str) -> None:
    assert hints.location(head) == told


@given(st.binary(max_size=300))
def test_no_head_breaks_the_reading(head: bytes) -> None:
    assert isinstance(hints.location(head), str)


def test_a_redirect_over_plain_http_is_asked_for_without_anybodys_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        heard: list[bytes] = []

        def answer() -> None:
            with listening.accept()[0] as line:
                heard.append(line.recv(4096))
                line.sendall(b"HTTP/1.1 302 Found\r\nLocation: https://ex.acme.example/autodiscover/\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        told = hints.redirect("127.0.0.1", LOOPBACK, port=listening.getsockname()[1])
        thread.join(60)
    assert told == "https://ex.acme.example/autodiscover/"
    assert heard[0].startswith(b"GET /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: ")
    assert b"uthorization" not in heard[0]


def test_a_host_that_answers_a_byte_now_and_then_does_not_keep_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "PATIENCE", 0.3)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with listening.accept()[0] as line, suppress(OSError):
                while not over.wait(0.05):
                    line.sendall(b"H")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        asking = threading.Thread(
            target=hints.redirect,
            args=("127.0.0.1", LOOPBACK),
            kwargs={"port": listening.getsockname()[1]},
            daemon=True,
        )
        asking.start()
        asking.join(60)
        slow = asking.is_alive()
        over.set()
        thread.join(60)
    assert not slow


def test_a_redirect_is_not_asked_for_at_an_address_that_must_not_be_reached() -> None:
    assert hints.redirect("127.0.0.1", Surroundings(), port=1) == ""
