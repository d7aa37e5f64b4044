"""Untrusted text as HTML: what comes out is parsed by a parser that is not the one that cleaned it."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.studio import safe_html
from studio.html_checker import checked
from studio.xss_corpus import ATTACKS


def test_the_corpus_is_large_and_without_doubles() -> None:
    assert len(ATTACKS) >= 100 and len(set(ATTACKS.values())) == len(ATTACKS)


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_but_structure_comes_of_an_attack(name: str) -> None:
    checked(safe_html.render(ATTACKS[name]))
    checked(safe_html.plain(ATTACKS[name]))


@pytest.mark.parametrize("name", ATTACKS)
def test_the_allow_list_holds_alone(name: str) -> None:
    """As if every stage before it had let everything through."""
    checked(safe_html.clean(ATTACKS[name]))


def test_the_checker_finds_what_it_looks_for() -> None:
    for html in (
        "<script>x</script>",
        "<p onclick=x>y</p>",
        '<a href="javascript:x" rel="noopener noreferrer nofollow">y</a>',
        '<a href="http://x">y</a>',
        '<p id="x">y</p>',
        '<img src="x">',
        "<!-- x -->",
        '<math href="javascript:x"></math>',
    ):
        with pytest.raises(AssertionError):
            checked(html)


SIGNS = list("<>\"'`$\\[](){}*_~|#!&;:=- \n\t\x00")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(sorted(ATTACKS.values())), st.sampled_from(SIGNS), st.text(max_size=5)),
        max_size=12,
    )
)
def test_neither_does_it_of_their_pieces(parts: list[str]) -> None:
    text = "".join(parts)
    checked(safe_html.render(text))
    checked(safe_html.clean(text))


# ---------------------------------------------------------------- what is made of good text


def test_characters_that_hide_or_turn_others_are_shown() -> None:
    assert safe_html.visible("a\x00b\u202ec\x1b\ud800\r\nd\re") == "a\ufffdb\ufffdc\ufffd\ufffd\nd\ne"
    assert safe_html.render("a\u202eb") == '<p dir="auto">a\ufffdb</p>\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Hello", "ltr"), ("123 שלום", "rtl"), ("السلام", "rtl"), ("", "ltr"), ("1 + 1", "ltr"), ("a ש", "ltr")],
)
def test_direction_is_that_of_the_first_letter(text: str, expected: str) -> None:
    assert safe_html.direction(text) == expected


def test_blocks_find_their_own_direction() -> None:
    assert '<p dir="auto">שלום</p>\n<p dir="auto">Hello</p>' in safe_html.render("שלום\n\nHello")


def test_the_raw_view_is_the_text() -> None:
    text = "# <b>x</b> & $a$\n\n  [y](z)"
    assert checked(safe_html.plain(text)).text == text


def test_templates_insert_it_as_it_is() -> None:
    made = safe_html.render("*a*")
    assert made.__html__() == made == '<p dir="auto"><em>a</em></p>\n'


def test_the_same_text_is_rendered_once() -> None:
    text = f"only here {time.time_ns()}"
    assert safe_html.render(text) is safe_html.render(text)


def test_the_cache_forgets_what_was_asked_for_longest_ago() -> None:
    cache = safe_html._Cache(10)
    cache.put("a", safe_html.Safe("12345"))
    cache.put("b", safe_html.Safe("12345"))
    assert cache.get("a") is not None
    cache.put("c", safe_html.Safe("1"))
    assert cache.get("b") is None and cache.get("a") == "12345" and cache.get("c") == "1"


# ---------------------------------------------------------------- bounds

SLOW = {
    "brackets": "[",
    "images": "![",
    "emphasis": "*a _b ",
    "strong": "**a ",
    "quotes": "> ",
    "lists": "- ",
    "lines of lists": "- a\n",
    "tables": "a|b\n-|-\nc|d\n",
    "ticks": "`a``",
    "angles": "<a@",
    "dollars": "$a",
    "formulas": "$a$ ",
    "formulas in lines": "\\[\na\n",
    "references": "[a]: b\n",
    "code": "```java\n" + "a\n" * 2_000 + "```\n",
    "entities": "&a;",
    "backslashes": "\\(",
    "html": "<!--",
    "zeros": "\x00",
    "marks": "a\u0301",
}
MOST_S = 20  # on a machine that does other things beside; without bounds some of these take hours


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_no_text_takes_long(name: str) -> None:
    for size in (safe_html.LONGEST, 1_000_000):
        text = (SLOW[name] * (size // len(SLOW[name]) + 1))[:size]
        begun = time.process_time()
        html = safe_html.render(text)
        assert time.process_time() - begun < MOST_S
        checked(html)


def test_a_short_text_cannot_become_a_long_page() -> None:
    html = safe_html.render(f"[a]: http://a.example/{'b' * 900}\n\n" + "[a]" * 30_000)
    assert html.startswith('<pre class="plain"') and len(html) < 4 * safe_html.LONGEST
