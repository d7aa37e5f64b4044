"""Formulas in Markdown, as MathML or as their source."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.studio import maths, safe_html
from studio.html_checker import checked

LATEX = (
    r"\frac \sqrt \left( \right) ^ _ { } & \\ \begin{matrix} \end{matrix} \text{ \color{red} \over ' "
    r"x 1 + \limits \sum [ ]".split()
    + r"\hbox{ \unicode \genfrac \skew \rule \not".split()
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(LATEX), max_size=14))
def test_latex_is_mathematics_or_its_source_and_never_an_error(parts: list[str]) -> None:
    html = safe_html.render(f"${' '.join(parts)}$ and \\[{''.join(parts)}\\]")
    checked(html)


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
    html = safe_html.render(text)
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
    assert "<math" not in safe_html.render(text)


def test_what_is_no_latex_is_shown_as_it_was_written() -> None:
    assert checked(safe_html.render(r"$\frac{1}$")).text.strip() == r"$\frac{1}$"
    assert checked(safe_html.render(r"\[x^{\]")).text.strip() == r"\[x^{\]"
    assert maths.mathml("x" * (maths.LONGEST + 1), block=False) is None


def test_signs_in_formulas_stay_text() -> None:
    html = maths.mathml(r"a<b \text{<script>} \unicode{x3c}", block=False)
    assert html is not None and "<script" not in html and html.count("&lt;") == 3
