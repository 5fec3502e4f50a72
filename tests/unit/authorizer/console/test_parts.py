"""The parts that pages are made of: each can be read aloud, leads to its field, and shows what it is given as text."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment

from services.authorizer.console.assets import load
from services.authorizer.console.rendering import environment

TEMPLATES: Environment = environment(load())
EVIL = '"><script>alert(1)</script>'
PARTS = {
    "form": '{% call parts.form("/setup/x", id=v, files=true) %}{{ v }}{% endcall %}',
    "errors": "{{ parts.errors({v: v}) }}",
    "field": "{{ parts.field(v, v, value=v, hint=v, error=v, min=v, max=v, accept=v, width=v, inputmode=v) }}",
    "area": "{{ parts.area(v, v, value=v, hint=v, error=v, required=false) }}",
    "choice": "{{ parts.choice(v, v, [(v, v, v), (v, v, none)], chosen=v, hint=v, error=v) }}",
    "tick": "{{ parts.tick(v, v, checked=true, hint=v, error=v, disabled=true, value=v) }}",
    "select": "{{ parts.select(v, v, [(v, v)], chosen=v, hint=v, error=v) }}",
    "button": "{{ parts.button(v, kind=v, name=v, value=v, small=true) }}",
    "onward": "{{ parts.onward(v, v, small=true) }}",
    "notice": "{% call parts.notice(v, v, role=v) %}{{ v }}{% endcall %}",
    "badge": "{{ parts.badge(v, v) }}",
    "steps": '{{ parts.steps([(v, "now", v), (v, "failed", none)], label=v, id=v) }}',
    "table": "{% call parts.table(v, [v, v], shown=true) %}<tr><td>{{ v }}</td></tr>{% endcall %}",
    "facts": "{{ parts.facts([(v, v)]) }}",
    "command": "{{ parts.command(v, label=v, id=v) }}",
    "empty": "{{ parts.empty(v, v) }}",
    "empty with a way on": "{% call parts.empty(v, v) %}{{ v }}{% endcall %}",
    "pager": "{{ parts.pager(v, v, here=v) }}",
    "bar": "{{ parts.bar(v, v, v) }}",
}


IMPORT = '{% import "parts.html" as parts with context %}'
COMPILED = {name: TEMPLATES.from_string(IMPORT + part) for name, part in PARTS.items()}


def rendered(part: str, value: str) -> str:
    return COMPILED[part].render(v=value, csrf="token")


def test_every_part_is_here() -> None:
    source = TEMPLATES.loader
    assert source is not None
    named = set(re.findall(r"{% macro ([a-z]\w*)\(", source.get_source(TEMPLATES, "parts.html")[0]))
    assert named - {"state"} == {part.split()[0] for part in PARTS}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_shows_what_it_is_given_as_text(part: str) -> None:
    made = rendered(part, EVIL)
    assert "<script" not in made
    assert "&lt;script&gt;" in made


@settings(deadline=None)  # the first rendering of a part loads the templates
@given(st.sampled_from(sorted(PARTS)), st.text(max_size=30))
def test_no_value_opens_an_element_or_leaves_its_attribute(part: str, value: str) -> None:
    plain, given_value = rendered(part, "x"), rendered(part, value or "x")
    assert given_value.count("<") == plain.count("<")
    assert given_value.count('"') == plain.count('"')


def test_a_password_is_never_written() -> None:
    source = (
        '{% import "parts.html" as parts with context %}{{ parts.field("p", "P", value="canary", type="password") }}'
    )
    assert "canary" not in TEMPLATES.from_string(source).render(csrf="t")


def test_a_field_that_is_wrong_says_so_to_everybody() -> None:
    made = rendered("field", "x")
    assert 'aria-invalid="true"' in made
    assert 'aria-describedby="h-x e-x"' in made
    assert '<a href="#f-x">' in rendered("errors", "x")
    assert 'role="alert"' in rendered("errors", "x")


def test_a_form_is_a_post_with_the_sessions_token() -> None:
    made = rendered("form", "x")
    assert 'method="post" action="/setup/x"' in made
    assert '<input type="hidden" name="csrf" value="token">' in made
    assert 'enctype="multipart/form-data"' in made


def test_nothing_is_shown_where_nothing_is_wrong() -> None:
    source = '{% import "parts.html" as parts with context %}{{ parts.errors({}) }}{{ parts.pager("", "") }}'
    assert TEMPLATES.from_string(source).render(csrf="t").strip() == ""


@pytest.mark.parametrize(
    ("word", "kind"), [("connected", "good"), ("attention", "warn"), ("refused", "bad"), ("none", "quiet")]
)
def test_how_an_org_stands_is_a_word_and_a_colour(word: str, kind: str) -> None:
    source = '{% import "parts.html" as parts with context %}{{ parts.state(word) }}'
    made = TEMPLATES.from_string(source).render(csrf="t", word=word)
    assert f'<span class="badge {kind}">' in made
