"""Markdown as HTML: structure, links, code and budgets."""

import time

import pytest

from fairlead.studio import markdown, safe_html
from studio.html_checker import checked


def test_markdown_becomes_what_it_says() -> None:
    html = safe_html.render(
        "# Title\n\nA **bold** and ~~wrong~~ `word`\nsecond line\n\n| a | b |\n|:-:|--:|\n| 1 | 2 "
        "|\n\n3. three\n4. four"
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
    assert checked(safe_html.render("a <b>bold</b> & <i>b</i>")).text == "a <b>bold</b> & <i>b</i>\n"


def test_code_gets_colours_and_loses_nothing() -> None:
    source = '\n\ndef f(x):\n\treturn "<b>" + x  # ä\n\n'
    html = safe_html.render(f"```python\n{source}```")
    assert '<span class="tok-k">def</span>' in html
    assert checked(html).text.removesuffix("\n") == source
    unknown = safe_html.render(f"```cobol\n{source}```")
    assert "tok-" not in unknown and checked(unknown).text.removesuffix("\n") == source


def test_a_link_shows_where_it_leads() -> None:
    html = safe_html.render("[bank](https://elsewhere.example/x)")
    found = checked(html)
    assert (
        found.links == ["https://elsewhere.example/x"]
        and found.text.strip() == "bank (https://elsewhere.example/x)"
    )
    assert (
        checked(safe_html.render("<https://a.example/>")).text.strip() == "https://a.example/"
    )  # and not twice
    assert checked(safe_html.render("[a](mailto:a@b.example)")).links == ["mailto:a@b.example"]


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
    found = checked(safe_html.render(f"[click]({url})"))
    assert found.links == [] and found.text.strip() == f"click ({url})"


def test_an_image_is_told_and_not_loaded() -> None:
    html = safe_html.render("![a **cat**](https://elsewhere.example/cat.png)")
    assert checked(html).text.strip() == "Image: a cat (https://elsewhere.example/cat.png)"
    assert "src" not in html and checked(html).links == []


@pytest.mark.parametrize("mark", [">", "- ", "1. ", "> - "])
def test_what_is_nested_too_deep_is_shown_whole(mark: str) -> None:
    text = mark * 200 + "the end"
    assert checked(safe_html.render(text)).text.endswith("the end")
    deep = "**a _b " * 100 + "the end" + " b_ a**" * 100
    assert "the end" in checked(safe_html.render(deep)).text


def test_long_code_and_many_formulas_are_shown_plain_beyond_their_budgets() -> None:
    long = safe_html.render("```python\n" + "x = 1\n" * (markdown.LONGEST_CODE // 6 + 1) + "```")
    assert "tok-" not in long
    blocks = safe_html.render(("```python\n" + "x = 1\n" * 900 + "```\n") * 4)
    assert blocks.count('class="code"') == 4 and "tok-" not in blocks[blocks.rindex("<pre") :]
    many = safe_html.render("$a$ " * 2_000)
    assert (
        many.count("<math") == markdown.MATHS_BUDGET // (1 + markdown.FORMULA_COST)
        and many.count('class="source"') > 0
    )


@pytest.mark.parametrize("lexer", sorted(set(markdown.LEXERS.values())))
def test_no_lexer_is_slow_at_the_length_that_it_gets(lexer: str) -> None:
    for unit in ('"', "\\", "(", "<a ", "/*", "a\n", "a ", "a.", '"\\', "'''", "{{", "$", "&", "@", "\n"):
        text = (unit * markdown.LONGEST_CODE)[: markdown.LONGEST_CODE]
        begun = time.process_time()
        safe_html.render(f"~~~{lexer}\n{text}\n~~~")
        assert time.process_time() - begun < 8, unit
