"""Untrusted text as HTML: what comes out is parsed by a parser that is not the one that cleaned it."""

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.studio import markdown, maths, render
from studio.xss_corpus import ATTACKS

ALLOWED = set(
    "p br hr h3 h4 h5 h6 ul ol li blockquote pre code em strong s a span div table thead tbody tr th td".split()
    + "math mrow mi mn mo mtext mspace mfrac msqrt mroot mstyle msub msup msubsup munder mover munderover".split()
    + "mtable mtr mtd mmultiscripts mprescripts menclose".split()
)
ATTRIBUTES = {  # of every element; what else an element may have is in VALUES
    "class": r"[a-z0-9 -]+",
    "dir": "auto|ltr",
}
VALUES = {
    ("a", "href"): r"(https?://|mailto:)[^\s\"'<>]+",
    ("a", "rel"): "noopener noreferrer nofollow",
    ("a", "target"): "_blank",
    ("ol", "start"): r"\d{1,9}",
    ("pre", "tabindex"): "0",
}
MATHS = r"[a-z0-9+. -]{1,80}"
EMPTY = ("br", "hr")


class Checker(HTMLParser):
    """Raises at anything that is not text structure; `text` is what a reader sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text = ""
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        for name, value in attrs:
            pattern = (
                VALUES.get((tag, name)) or ATTRIBUTES.get(name) or (MATHS if tag.startswith("m") else None)
            )
            assert pattern is not None, f"{tag} has {name}"
            assert value is not None and re.fullmatch(pattern, value, re.IGNORECASE), (
                f"{tag} {name}={value!r}"
            )
            assert not name.startswith("on") and name not in ("id", "name", "style", "src"), name
        if tag == "a":
            found = dict(attrs)
            assert found.get("rel") == "noopener noreferrer nofollow"
            self.links += [url for url in [found.get("href")] if url]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        raise AssertionError(f"<{tag}/> is no HTML")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError("a declaration")

    def handle_pi(self, data: str) -> None:
        raise AssertionError("an instruction")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError("a section")


def checked(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker


def test_the_corpus_is_large_and_without_doubles() -> None:
    assert len(ATTACKS) >= 100 and len(set(ATTACKS.values())) == len(ATTACKS)


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_but_structure_comes_of_an_attack(name: str) -> None:
    checked(render.render(ATTACKS[name]))
    checked(render.plain(ATTACKS[name]))


@pytest.mark.parametrize("name", ATTACKS)
def test_the_allow_list_holds_alone(name: str) -> None:
    """As if every stage before it had let everything through."""
    checked(render.clean(ATTACKS[name]))


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
LATEX = (
    r"\frac \sqrt \left( \right) ^ _ { } & \\ \begin{matrix} \end{matrix} \text{ \color{red} \over ' x 1 + \limits \sum [ ]".split()
    + r"\hbox{ \unicode \genfrac \skew \rule \not".split()
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(sorted(ATTACKS.values())), st.sampled_from(SIGNS), st.text(max_size=5)),
        max_size=12,
    )
)
def test_neither_does_it_of_their_pieces(parts: list[str]) -> None:
    text = "".join(parts)
    checked(render.render(text))
    checked(render.clean(text))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(LATEX), max_size=14))
def test_latex_is_mathematics_or_its_source_and_never_an_error(parts: list[str]) -> None:
    html = render.render(f"${' '.join(parts)}$ and \\[{''.join(parts)}\\]")
    checked(html)


# ---------------------------------------------------------------- what is made of good text


def test_markdown_becomes_what_it_says() -> None:
    html = render.render(
        "# Title\n\nA **bold** and ~~wrong~~ `word`\nsecond line\n\n| a | b |\n|:-:|--:|\n| 1 | 2 |\n\n3. three\n4. four"
    )
    assert '<h3 dir="auto">Title</h3>' in html  # below the headings of the page
    assert (
        "<strong>bold</strong>" in html
        and "<s>wrong</s>" in html
        and '<code dir="ltr">word</code><br>' in html
    )
    assert '<td dir="auto" class="align-center">1</td>' in html and 'class="align-right">2' in html
    assert '<ol dir="auto" start="3">' in html
    assert checked(html).text.split() == "Title A bold and wrong word second line a b 1 2 three four".split()


def test_html_is_text() -> None:
    assert checked(render.render("a <b>bold</b> & <i>b</i>")).text == "a <b>bold</b> & <i>b</i>\n"


def test_code_gets_colours_and_loses_nothing() -> None:
    source = '\n\ndef f(x):\n\treturn "<b>" + x  # ä\n\n'
    html = render.render(f"```python\n{source}```")
    assert '<span class="tok-k">def</span>' in html
    assert checked(html).text.removesuffix("\n") == source
    unknown = render.render(f"```cobol\n{source}```")
    assert "tok-" not in unknown and checked(unknown).text.removesuffix("\n") == source


def test_a_link_shows_where_it_leads() -> None:
    html = render.render("[bank](https://elsewhere.example/x)")
    found = checked(html)
    assert (
        found.links == ["https://elsewhere.example/x"]
        and found.text.strip() == "bank (https://elsewhere.example/x)"
    )
    assert (
        checked(render.render("<https://a.example/>")).text.strip() == "https://a.example/"
    )  # and not twice
    assert checked(render.render("[a](mailto:a@b.example)")).links == ["mailto:a@b.example"]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:x",
        "data:text/html,x",
        "/logout",
        "//a.example",
        "ftp://a.example",
        "#x",
        "https:",
        "HTTPS://",
    ],
)
def test_what_is_no_web_address_is_text(url: str) -> None:
    found = checked(render.render(f"[click]({url})"))
    assert found.links == [] and found.text.strip() == f"click ({url})"


def test_an_image_is_told_and_not_loaded() -> None:
    html = render.render("![a **cat**](https://elsewhere.example/cat.png)")
    assert checked(html).text.strip() == "Image: a cat (https://elsewhere.example/cat.png)"
    assert "src" not in html and checked(html).links == []


@pytest.mark.parametrize(
    "text",
    [
        "$a^2$",
        r"\(a^2\)",
        "x $$a^2$$ y",
        "$$\na^2\n$$",
        "\\[\na^2\n\\]",
        "text\n$$a^2$$\ntext",
        "- $a^2$",
        "> $$\n> a^2\n> $$",
    ],
)
def test_mathematics_becomes_mathml(text: str) -> None:
    html = render.render(text)
    assert (
        re.search(r"<msup><mi>a</mi>(<mrow>)?<mn>2</mn>", html)
        and "$" not in checked(html).text
        and "\\" not in html
    )
    assert ('display="block"' in html) == ("$$" in text or "\\[" in text)


@pytest.mark.parametrize(
    "text", ["from $5 to $10", "$ a $", "cost: $5", r"\$a\$", "`$a$`", "$$", "$$ $$", "US$ and CA$", r"a \ b"]
)
def test_money_is_no_mathematics(text: str) -> None:
    assert "<math" not in render.render(text)


def test_what_is_no_latex_is_shown_as_it_was_written() -> None:
    assert checked(render.render(r"$\frac{1}$")).text.strip() == r"$\frac{1}$"
    assert checked(render.render(r"\[x^{\]")).text.strip() == r"\[x^{\]"
    assert maths.mathml("x" * (maths.LONGEST + 1), block=False) is None


def test_signs_in_formulas_stay_text() -> None:
    html = maths.mathml(r"a<b \text{<script>} \unicode{x3c}", block=False)
    assert html is not None and "<script" not in html and html.count("&lt;") == 3


def test_characters_that_hide_or_turn_others_are_shown() -> None:
    assert render.visible("a\x00b\u202ec\x1b\ud800\r\nd\re") == "a\ufffdb\ufffdc\ufffd\ufffd\nd\ne"
    assert render.render("a\u202eb") == '<p dir="auto">a\ufffdb</p>\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Hello", "ltr"), ("123 שלום", "rtl"), ("السلام", "rtl"), ("", "ltr"), ("1 + 1", "ltr"), ("a ש", "ltr")],
)
def test_direction_is_that_of_the_first_letter(text: str, expected: str) -> None:
    assert render.direction(text) == expected


def test_blocks_find_their_own_direction() -> None:
    assert '<p dir="auto">שלום</p>\n<p dir="auto">Hello</p>' in render.render("שלום\n\nHello")


def test_the_raw_view_is_the_text() -> None:
    text = "# <b>x</b> & $a$\n\n  [y](z)"
    assert checked(render.plain(text)).text == text


def test_templates_insert_it_as_it_is() -> None:
    made = render.render("*a*")
    assert made.__html__() == made == '<p dir="auto"><em>a</em></p>\n'


def test_the_same_text_is_rendered_once() -> None:
    text = f"only here {time.time_ns()}"
    assert render.render(text) is render.render(text)


def test_the_cache_forgets_what_was_asked_for_longest_ago() -> None:
    cache = render._Cache(10)
    cache.put("a", render.Safe("12345"))
    cache.put("b", render.Safe("12345"))
    assert cache.get("a") is not None
    cache.put("c", render.Safe("1"))
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


@pytest.mark.parametrize("name", SLOW)
def test_no_text_takes_long(name: str) -> None:
    for size in (render.LONGEST, 1_000_000):
        text = (SLOW[name] * (size // len(SLOW[name]) + 1))[:size]
        begun = time.process_time()
        html = render.render(text)
        assert time.process_time() - begun < MOST_S
        checked(html)


def test_a_short_text_cannot_become_a_long_page() -> None:
    html = render.render(f"[a]: http://a.example/{'b' * 900}\n\n" + "[a]" * 30_000)
    assert html.startswith('<pre class="plain"') and len(html) < 4 * render.LONGEST


@pytest.mark.parametrize("mark", [">", "- ", "1. ", "> - "])
def test_what_is_nested_too_deep_is_shown_whole(mark: str) -> None:
    text = mark * 200 + "the end"
    assert checked(render.render(text)).text.endswith("the end")
    deep = "**a _b " * 100 + "the end" + " b_ a**" * 100
    assert "the end" in checked(render.render(deep)).text


def test_long_code_and_many_formulas_are_shown_plain_beyond_their_budgets() -> None:
    long = render.render("```python\n" + "x = 1\n" * (markdown.LONGEST_CODE // 6 + 1) + "```")
    assert "tok-" not in long
    blocks = render.render(("```python\n" + "x = 1\n" * 900 + "```\n") * 4)
    assert blocks.count('class="code"') == 4 and "tok-" not in blocks[blocks.rindex("<pre") :]
    many = render.render("$a$ " * 2_000)
    assert (
        many.count("<math") == markdown.MATHS_BUDGET // (1 + markdown.FORMULA_COST)
        and many.count('class="source"') > 0
    )


@pytest.mark.parametrize("lexer", sorted(set(markdown.LEXERS.values())))
def test_no_lexer_is_slow_at_the_length_that_it_gets(lexer: str) -> None:
    for unit in ('"', "\\", "(", "<a ", "/*", "a\n", "a ", "a.", '"\\', "'''", "{{", "$", "&", "@", "\n"):
        text = (unit * markdown.LONGEST_CODE)[: markdown.LONGEST_CODE]
        begun = time.process_time()
        render.render(f"~~~{lexer}\n{text}\n~~~")
        assert time.process_time() - begun < 8, unit
