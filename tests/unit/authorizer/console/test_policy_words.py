"""How a change of a policy is laid out: each field once, each figure with its parts, every word with a text."""

from collections import Counter

from hypothesis import given

from services.authorizer import policy_preview, strictness
from services.authorizer.console.policy_words import SHOWN, Change, Effect, changes, dates, effects, nobody_stays
from services.authorizer.console.texts import text
from services.authorizer.policy_preview import Figures, Preview, changed_fields, unread
from shared.contracts.policy import Policy, Scope
from shared.contracts.values import DAY, Window
from tests.unit.authorizer.console.test_policy_form import POLICIES
from tests.unit.authorizer.test_policy_preview import MEMBERS

NOW = 1_800_000_000


def preview(old: Policy, new: Policy, figures: Figures | None = None) -> Preview:
    return Preview(
        org_id="acme",
        changes=changed_fields(old, new),
        stricter=strictness.stricter(old, new),
        figures=figures or Counter(),
        unread=unread(old, new, now=NOW),
    )


@given(POLICIES, POLICIES, MEMBERS)
def test_every_word_of_a_preview_has_a_text(old: Policy, new: Policy, members: list[policy_preview.Member]) -> None:
    figures = policy_preview.of_mailboxes(old, new, members)
    found = preview(old, new, figures)
    for change in changes(found):
        assert text(f"policy.field.{change.name}")
    for effect in effects(found.figures, stricter=found.stricter):
        assert text(f"policy.effect.{effect.name}", count=effect.count)
        assert all(text(f"policy.part.{word}") for word, _ in effect.parts)
    assert all(text(f"policy.unread.{word}") for word in found.unread)


def test_of_a_long_list_a_few_entries_are_shown_and_how_many_more() -> None:
    many = tuple(f"a{n}@x.example" for n in range(25))
    (change,) = changes(preview(Policy(), Policy(scope=Scope(exclude=many))))
    assert change == Change(
        name="scope.exclude", sort="list", before=0, after=25, added=many[:SHOWN], added_more=25 - SHOWN
    )
    (change,) = changes(preview(Policy(scope=Scope(exclude=many)), Policy(scope=Scope(exclude=many[:24]))))
    assert (change.removed, change.removed_more, change.added) == (many[24:], 0, ())


def test_a_span_is_written_in_days_where_it_has_whole_ones() -> None:
    assert dates(Window(0, DAY)) == ("1 Jan 1970", "2 Jan 1970")
    assert dates(Window(0, DAY + 60)) == ("1 Jan 1970, 00:00 UTC", "2 Jan 1970, 00:01 UTC")
    (change,) = changes(preview(Policy(), Policy(window=Window(0, DAY))))
    assert (change.before, change.after) == (None, ("1 Jan 1970", "2 Jan 1970"))


def test_figures_are_summed_up_with_their_parts_the_largest_first() -> None:
    figures: Figures = Counter(
        {("leave", "rooms_excluded"): 2, ("leave", "excluded_by_list"): 3, ("shown", "calendars"): 9}
    )
    assert effects(figures, stricter=True) == (
        Effect(name="leave", count=5, parts=(("excluded_by_list", 3), ("rooms_excluded", 2))),
        Effect(name="join", count=0),
        Effect(name="open", count=0),
        Effect(name="read", count=0),
        Effect(name="hidden", count=9),
    )
    assert effects(figures, stricter=False)[-1] == Effect(name="hidden", count=0)


def test_it_is_said_when_nobody_would_be_left() -> None:
    assert nobody_stays(Counter({("leave", "excluded_by_list"): 1}))
    assert not nobody_stays(Counter({("leave", "excluded_by_list"): 1, ("read", "mailboxes"): 1}))
    assert not nobody_stays(Counter())
