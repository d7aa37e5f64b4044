"""A template that loops for ever or grows without end is refused; any other renders as in transformers."""

from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from chat_templates import PUBLISHED
from fairlead.core.errors import ModelError
from fairlead.data.records import Message
from fairlead.encoding import template_limits
from fakes import chat_format, turns

CHAT = "{% for m in messages %}{{ m['content'] }}<|end|>{% endfor %}"
# Not on the conversation that is tried first.
LATER = "{% if messages | length > 2 %}HOSTILE{% endif %}" + CHAT
NESTED = "{% set x = namespace(s=[1]) %}{% for i in range(99) %}{% set x.s = [x.s, x.s] %}{% endfor %}"
RANGE = "{% set r = range(100000) %}"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_limits, "SECONDS", 0.2)


@pytest.mark.parametrize(
    "hostile",
    [
        RANGE + "{% for i in r %}{% for j in r %}{% endfor %}{% endfor %}",
        RANGE + "{% for i in r %}{% for j in r if j < 0 %}{% endfor %}{% endfor %}",
        RANGE + "{% for i in r %}{% if r | map('abs') | sum < 0 %}{% endif %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{% set a = f(n - 1) %}{% set b = f(n - 1) %}{% endif %}{% endmacro %}"
        "{% set c = f(60) %}",
        "{% for i in [range(9), range(9)] recursive %}{{ loop([i, i]) if loop.depth < 60 }}{% endfor %}",
    ],
)
def test_a_template_that_does_not_end_is_refused(hostile: str) -> None:
    with pytest.raises(
        ModelError, match="chat template of the model does not end within 0.2 seconds. Set an"
    ):
        chat_format(hostile + CHAT)
    chat = chat_format(LATER.replace("HOSTILE", hostile))
    with pytest.raises(ModelError, match="does not end"):
        chat.render(turns("A?", "B.", "C?"), generation_prompt=True)


@pytest.mark.parametrize(
    "hostile",
    [
        "{{ 'x' * 10000000000 }}",
        "{{ 10000000000 * 'x' }}",
        "{% set n = 9 ** (9 ** 9) %}",
        "{% set x = namespace(n=9) %}{% for i in range(99) %}{% set x.n = x.n * x.n %}{% endfor %}",
        "{% set x = namespace(s='ab') %}{% for i in range(99) %}{% set x.s = x.s + x.s %}{% endfor %}",
        "{% set x = namespace(s='ab') %}{% for i in range(99) %}{% set x.s = x.s ~ x.s %}{% endfor %}",
        "{% set x = namespace(s='ab') %}{% for i in range(99) %}"
        "{% set y %}{{ x.s }}{{ x.s }}{% endset %}{% set x.s = y %}{% endfor %}",
        "{% set x = namespace(s='ab') %}{% for i in range(99) %}"
        "{% set x.s = x.s | replace('a', x.s) %}{% endfor %}",
        NESTED + "{{ x.s }}",
        NESTED + "{% set y = x.s | tojson %}",
        NESTED + "{% if x.s == [x.s, 1] %}{% endif %}",
        "{% set x = 'a' * 1000000 %}{% set y = x.translate({97: x}) %}",
        "{% set x = 'a'.ljust(10000000000) %}",
        "{% set x = 'a' | center(10000000000) %}",
        "{% set x = '{:>10000000000}'.format('a') %}",
        "{% set x = '{:>{}}'.format('a', 10000000000) %}",
        "{% set x = '{:>{0[n]}}'.format({'n': 10000000000}) %}",
        "{% set x = '{:>100000.10000000000f}'.format(1.0) %}",
        "{% set x = '%10000000000d' % 1 %}",
        "{% set x = '%10000000000.100000d' % 1 %}",
        "{% set x = '%(a(b))10000000000d' % {'a(b)': 1} %}",
        "{% set x = '%*d' | format(10000000000, 1) %}",
        "{% set x = ('x' * 1000000).join(range(100000) | list) %}",
    ],
)
def test_a_template_that_makes_too_much_is_refused(hostile: str) -> None:
    with pytest.raises(ModelError, match="makes a text or a number without bounds|does not end"):
        chat_format(hostile + CHAT)


def test_what_a_template_can_ask_of_a_loop_is_kept() -> None:
    template = (
        "{% for m in messages %}{{ loop.index }}/{{ loop.length }}{{ loop.last }}"
        "{{ loop.previtem.role if loop.previtem }}{{ loop.nextitem.role if loop.nextitem }}"
        "{% for key, value in m.items() if key != 'role' %}{{ key ~ '=' ~ value }}{% else %}-{% endfor %}"
        "{% endfor %}{{ '%5d|%s' % (3, 'a') }}{{ '{:>4}'.format('b') }}{{ ['a', 2, [none]] }}{{ 2 ** 10 }}"
        "{{ ['a', 'b'] | map('upper') | join('+') }}{{ 'a\\nb' | indent(4) }}{{ [1] + [2] }}{{ 'ab' * 2 }}"
        "{% for x in undefined_name %}{% endfor %}{{ undefined_name }}{{ none }}<|end|>"
    )
    rows = [[{"role": turn.role, "content": turn.content} for turn in turns("A?", "B.")]]
    result: Any = render_jinja_template(rows, chat_template=template)
    [expected], _ = result
    messages = (Message("user", "A?"), Message("assistant", "B."))
    assert chat_format(template).render(messages, generation_prompt=False) == expected


def test_a_long_conversation_is_within_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_limits, "SECONDS", 5.0)
    long = turns(*(f"{'word ' * 2000}{i}" for i in range(999)))
    chat = chat_format(CHAT)
    assert len(chat.render(long, generation_prompt=False)) > 9_000_000


def test_every_published_template_compiles_within_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_limits, "SECONDS", 5.0)
    for published in PUBLISHED:
        template_limits.start(published.name)
        template_limits.compiled(published.template)
