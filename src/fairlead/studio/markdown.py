"""Markdown of untrusted text as HTML, before the allow-list of `render.py`: HTML is text, images are not loaded, links say where they lead.

Everything that can take long has a budget: what lies beyond it is shown as it was written.
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

DEEPEST = 24  # lists and quotations inside one another
DEEPEST_INLINE = 40  # emphasis and links inside one another
LONGEST_ADDRESS = 1_000  # an address that is longer is shown as it was written
SHOWN_ADDRESS = 120  # characters of an address beside its link
LONGEST_CODE = 6_000  # characters of one block that gets colours: some lexers take quadratic time
CODE_BUDGET = 16_000  # and of a text's blocks together
MATHS_BUDGET = 40_000  # characters of a text's formulas together
PER_FORMULA = 40  # what a formula costs besides its characters

SCHEMES = frozenset({"http", "https", "mailto"})
# What models write, without the lexers that take long on text made to slow them down.
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
    def validateLink(self, url: str) -> bool:  # what it leads to is judged, and shown, when it is written
        return len(url) <= LONGEST_ADDRESS


def parser() -> MarkdownIt:
    """CommonMark with tables, strikethrough and mathematics, where a new line is a new line."""
    made = _Parser("commonmark", {"html": False, "breaks": True, "maxNesting": DEEPEST})
    made.enable(["table", "strikethrough"])
    maths.maths_plugin(made)
    return made


class TooDeep(Exception):
    """Beyond some depth the parser would drop text; the text is shown as it was written instead."""


def to_html(text: str) -> str:
    """Raises TooDeep."""
    tokens = parser().parse(text)
    if any(token.level >= DEEPEST - 1 for token in tokens):
        raise TooDeep
    return _Writer().blocks(tokens)


def address_is_safe(url: str) -> bool:
    scheme, colon, rest = url.partition(":")
    return (
        bool(colon)
        and scheme.lower() in SCHEMES
        and bool(rest.strip("/"))
        and not re.search(r"[\x00-\x20\x7f]", url)
    )


class _Writer:
    """Writes one text; holds what is left of its budgets."""

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
        if any(child.level > DEEPEST_INLINE for child in children):
            return escape(token.content)
        return "".join(self.pieces(children))

    def pieces(self, tokens: Sequence[Token]) -> list[str]:
        parts: list[str] = []
        links: list[tuple[str, int]] = []  # where each open one leads, and which part begins it
        for token in tokens:
            kind = token.type
            if kind == "link_open":
                url = str(token.attrGet("href") or "")
                if address_is_safe(url):
                    parts.append(f'<a href="{escape(url)}" target="_blank">')
                links.append((url, len(parts)))
            elif kind == "link_close":
                url, begin = links.pop()
                inside = "".join(parts[begin:])
                parts.append("</a>" if address_is_safe(url) else "")
                parts.append("" if inside == escape(url) else f" {_target(url)}")
            elif kind in _PIECES:
                parts.append(_PIECES[kind](token))
            elif kind == "math_inline":
                parts.append(self.formula(token))
            else:  # emphasis and its kin
                parts.append(f"<{'/' if token.nesting < 0 else ''}{token.tag}>")
        return parts

    def formula(self, token: Token) -> str:
        block = token.type == "math_block" or token.markup in ("$$", "\\[")
        self.maths_left -= len(token.content) + PER_FORMULA
        made = maths.mathml(token.content, block=block) if self.maths_left >= 0 else None
        if made is not None:
            return made
        closing = {"\\(": "\\)", "\\[": "\\]"}.get(token.markup, token.markup)
        return f'<code class="source">{escape(token.markup + token.content + closing)}</code>'

    def code(self, text: str, info: str) -> str:
        lexer = LEXERS.get(info.split()[0].lower() if info.split() else "")
        body = escape(text)
        if lexer is not None and len(text) <= min(LONGEST_CODE, self.code_left):
            self.code_left -= len(text)
            # Coloured lines must say what was written: lexers drop blank lines at the ends unless told otherwise.
            body = highlight(text, get_lexer_by_name(lexer, stripnl=False, ensurenl=False), _HTML)
        return f'<pre class="code" dir="ltr" tabindex="0"><code>{body}</code></pre>\n'


def _tag(token: Token) -> str:
    kind, _, end = token.type.rpartition("_")
    tag = token.tag
    if kind == "heading":  # below the page's own headings
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
    shown = url if len(url) <= SHOWN_ADDRESS else url[:SHOWN_ADDRESS] + "…"
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
