"""When a word was given, and when it is too late."""

from services.authorizer.word import Word, here, ours, spoken
from shared.broker import Delivery

NOW = 1_800_000_000


def delivery(published_at: int) -> Delivery:
    return Delivery(message_id="1", attempt=1, redelivered=False, published_at=published_at)


def test_a_message_counts_from_when_it_was_published() -> None:
    assert spoken("jo", delivery(NOW - 60), NOW) == Word(actor="jo", said_at=NOW - 60, now=NOW)


def test_a_message_without_a_time_or_from_the_future_counts_from_now() -> None:
    for published_at in (0, NOW + 10**6):
        assert spoken("jo", delivery(published_at), NOW).said_at == NOW


def test_a_word_is_late_only_where_a_later_one_counts() -> None:
    word = here("jo", NOW)
    assert [word.is_late(counted) for counted in (None, NOW - 1, NOW, NOW + 1)] == [False, False, False, True]
    assert ours(NOW).actor == "authorizer"
