"""Sentences of a verification as the setup page says them: without options of a command line, commands apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.authorizer import exchange_sentences, sentences
from services.authorizer.console.wording import Piece, on_the_page, pieces

ALL = {
    **exchange_sentences.REFUSALS,
    **exchange_sentences.DELAYS,
    **exchange_sentences.WARNINGS,
    **sentences.REFUSALS,
    **sentences.DELAYS,
}


@pytest.mark.parametrize("reason", sorted(ALL))
def test_no_sentence_speaks_of_a_command_line_of_ours(reason: str) -> None:
    said = on_the_page(ALL[reason])
    assert "--" not in said
    assert "busyline " not in said


def test_commands_come_out_as_pieces_of_their_own() -> None:
    assert pieces("Look at `Get-Mailbox` now.") == (
        Piece(text="Look at "),
        Piece(text="Get-Mailbox", is_code=True),
        Piece(text=" now."),
    )
    assert pieces("") == ()


@given(st.text(alphabet="ab` "))
def test_no_word_gets_lost_between_the_pieces(sentence: str) -> None:
    assert "".join(piece.text for piece in pieces(sentence)).replace("`", "") == sentence.replace("`", "")
