import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.normalizer.conferencing import OTHER, provider


@pytest.mark.parametrize(
    ("join_url", "word"),
    [
        ("https://teams.microsoft.com/l/meetup-join/19%3ameeting_1", "teams"),
        ("https://acme.zoom.us/j/1", "zoom"),
        ("https://US02WEB.ZOOM.US/j/1", "zoom"),
        ("https://meet.google.com/abc-defg-hij", "google_meet"),
        ("https://acme.webex.com/meet/anna", "webex"),
        ("https://meet.lync.com/acme/anna/1", "skype"),
        ("https://meet.example/1", OTHER),
        ("https://zoom.us.evil.example/j/1", OTHER),
        ("https://notzoom.us/j/1", OTHER),
        ("https://evil.example/zoom.us", OTHER),
        ("https://zoom.us@evil.example/", OTHER),
        ("https://[broken", OTHER),
        ("", ""),
    ],
)
def test_a_meeting_is_whose_host_its_link_names(join_url: str, word: str) -> None:
    assert provider(join_url) == word


@given(st.text(max_size=80))
def test_any_text_has_a_fixed_word(text: str) -> None:
    assert provider(f"https://{text}").isidentifier()
