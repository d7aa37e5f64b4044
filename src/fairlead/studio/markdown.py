"""Converts untrusted Markdown to HTML, before the allow-list in `safe_html.py`.

HTML in the text is escaped, images become links, and every link shows its target.
Everything that can be slow has a budget.  Text beyond the budget is shown unformatted.
"""

import re
from collections.abc import Callable, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from fairlead.studio import maths

MAX_NESTING = 24  # of lists and quotations
MAX_INLINE_NESTING = 40  # of emphasis and links
LONGEST_URL = 1_000  # a link with a longer URL stays unformatted
SHOWN_URL = 120  # characters of the URL shown beside its link
LONGEST_CODE = 6_000  # characters of a block that is highlighted: some lexers take quadratic time
CODE_BUDGET = 16_000  # characters of all highlighted blocks of a text
MATHS_BUDGET = 40_000  # characters of all formulas of a text
FORMULA_COST = 40  # characters of the budget that each formula costs in addition

SCHEMES = frozenset({"http", "https", "mailto"})
# Languages that models write, without lexers that are slow on adversarial text.
LEXERS = {
    name: lexer
    for lexer, names in {
        "bash": "bash sh shell zsh",
        "c": "c h",
        "console": "console",
        "cpp": "cpp c++ cxx hpp",
        "css": "css",
        "diff": "diff patch",
        "docker": "docker dockerfile",
        "go": "go golang",
        "haskell": "haskell hs",
        "html": "html",
        "ini": "ini cfg",
        "java": "java",
        "javascript": "javascript js jsx",
        "json": "json",
        "julia": "julia jl",
        "kotlin": "kotlin kt",
        "lua": "lua",
        "perl": "perl",
        "php": "php",
        "powershell": "powershell ps1",
        "pycon": "pycon",
        "python": "python py python3",
        "r": "r",
        "ruby": "ruby rb",
        "rust": "rust rs",
        "scala": "scala",
        "sql": "sql",
        "swift": "swift",
        "latex": "tex latex",
        "toml": "toml",
        "typescript": "typescript ts tsx",
        "xml": "xml svg",
        "yaml": "yaml yml",
    }.items()
    for name in names.split()
}
_HTML = HtmlFormatter(nowrap=True, classprefix="tok-")
_BLOCKS = frozenset(
    {"paragraph", "heading", "blockquote", "bullet_list", "ordered_list", "list_item", "table", "th", "td"}
)


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # the writer checks the scheme and shows the target
        return len(url) <= LONGEST_URL


def parser() -> MarkdownIt:
    """CommonMark with tables, strikethrough and mathematics.  Line breaks are kept."""
    markdown = _Parser("commonmark", {"html": False, "breaks": True, "maxNesting": MAX_NESTING})
    markdown.enable(["table", "strikethrough"])
    maths.maths_plugin(markdown)
    return markdown


class TooDeep(Exception):
    """Nested too deeply: the parser would drop text, so the text is shown unformatted."""


def to_html(text: str) -> str:
    """Raises TooDeep."""
    tokens = parser().parse(text)
    if any(token.level >= MAX_NESTING - 1 for token in tokens):
        raise TooDeep
    return _Writer().blocks(tokens)


def is_safe_url(url: str) -> bool:
    scheme, colon, rest = url.partition(":")
    return (
        bool(colon)
        and scheme.lower() in SCHEMES
        and bool(rest.strip("/"))
        and not re.search(r"[\x00-\x20\x7f]", url)
    )


class _Writer:
    """Writes the HTML of one text, and keeps track of its budgets."""

    def __init__(self) -> None:
        self.code_left = CODE_BUDGET
        self.maths_left = MATHS_BUDGET

    def blocks(self, tokens: Sequence[Token]) -> str:
        parts: list[str] = []
        for token in tokens:
            kind = token.type
            if kind == "inline":
                parts.append(self.line(token))
            elif kind in ("fence", "code_block"):
                parts.append(self.code(token.content, token.info))
            elif kind == "math_block":
                parts.append(f'<div class="math">{self.formula(token)}</div>\n')
            elif kind == "hr":
                parts.append("<hr>\n")
            elif not token.hidden:  # hidden: paragraphs of a tight list
                parts.append(_tag(token))
        return "".join(parts)

    def line(self, token: Token) -> str:
        children = token.children or []
        if any(child.level > MAX_INLINE_NESTING for child in children):
            return escape(token.content)
        return "".join(self.pieces(children))

    def pieces(self, tokens: Sequence[Token]) -> list[str]:
        parts: list[str] = []
        links: list[tuple[str, int]] = []  # (URL, index of the first part) of each open link
        for token in tokens:
            kind = token.type
            if kind == "link_open":
                url = str(token.attrGet("href") or "")
                if is_safe_url(url):
                    parts.append(f'<a href="{escape(url)}" target="_blank">')
                links.append((url, len(parts)))
            elif kind == "link_close":
                url, begin = links.pop()
                inside = "".join(parts[begin:])
                parts.append("</a>" if is_safe_url(url) else "")
                parts.append("" if inside == escape(url) else f" {_target(url)}")
            elif kind in _PIECES:
                parts.append(_PIECES[kind](token))
            elif kind == "math_inline":
                parts.append(self.formula(token))
            else:  # emphasis, strong and strikethrough
                parts.append(f"<{'/' if token.nesting < 0 else ''}{token.tag}>")
        return parts

    def formula(self, token: Token) -> str:
        block = token.type == "math_block" or token.markup in ("$$", "\\[")
        self.maths_left -= len(token.content) + FORMULA_COST
        mathml = maths.mathml(token.content, block=block) if self.maths_left >= 0 else None
        if mathml is not None:
            return mathml
        closing = {"\\(": "\\)", "\\[": "\\]"}.get(token.markup, token.markup)
        return f'<code class="source">{escape(token.markup + token.content + closing)}</code>'

    def code(self, text: str, info: str) -> str:
        lexer = LEXERS.get(info.split()[0].lower() if info.split() else "")
        body = escape(text)
        if lexer is not None and len(text) <= min(LONGEST_CODE, self.code_left):
            self.code_left -= len(text)
            # Without these options, lexers drop blank lines at both ends.
            body = highlight(text, get_lexer_by_name(lexer, stripnl=False, ensurenl=False), _HTML)
        return f'<pre class="code" dir="ltr" tabindex="0"><code>{body}</code></pre>\n'


def _tag(token: Token) -> str:
    kind, _, end = token.type.rpartition("_")
    tag = token.tag
    if kind == "heading":  # the page uses h1 and h2
        tag = f"h{min(int(tag[1]) + 2, 6)}"
    if end == "close":
        return f"</{tag}>\n"
    attributes = ' dir="auto"' if kind in _BLOCKS else ""
    if kind == "ordered_list" and token.attrGet("start") is not None:
        attributes += f' start="{int(str(token.attrGet("start")))}"'
    align = re.search(r"text-align:(left|right|center)", str(token.attrGet("style") or ""))
    if align:
        attributes += f' class="align-{align[1]}"'
    return f"<{tag}{attributes}>"


def _target(url: str) -> str:
    shown = url if len(url) <= SHOWN_URL else url[:SHOWN_URL] + "…"
    return f'<span class="target" dir="ltr">({escape(shown)})</span>'


def _image(token: Token) -> str:
    alt = "".join(child.content for child in token.children or ())
    name = f"Image: {alt}" if alt.strip() else "Image"
    return f'<span class="image">{escape(name)} {_target(str(token.attrGet("src") or ""))}</span>'


_PIECES: dict[str, Callable[[Token], str]] = {
    "text": lambda token: escape(token.content),
    "code_inline": lambda token: f'<code dir="ltr">{escape(token.content)}</code>',
    "softbreak": lambda token: "<br>\n",
    "hardbreak": lambda token: "<br>\n",
    "image": _image,
}
