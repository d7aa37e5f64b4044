r"""Mathematics in Markdown: finds formulas, and converts LaTeX to MathML.

    $a^2$   \(a^2\)        inline: no space inside the dollars, no digit after them, so "$5 and $10" is text
    $$a^2$$ \[a^2\]        a block, which may have several lines

For invalid LaTeX, long formulas and macro definitions, `mathml` returns None and the source is shown.
"""

import html
import re
from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element, tostring

from latex2mathml import exceptions
from latex2mathml.converter import Converter
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

LONGEST = 1_000  # characters of one formula
MAX_LINES = 50  # of one formula: every line of a text can look like the start of a formula

# What latex2mathml raises for invalid LaTeX: its own errors, and unintended errors of its parser.
_NOT_LATEX: tuple[type[Exception], ...] = (
    *(kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    StopIteration,
    RuntimeError,  # a StopIteration inside a generator, and RecursionError
)

# Allowed elements.  Other elements are replaced by their children.
TAGS = frozenset(
    (
        "math mrow mi mn mo mtext mspace mfrac msqrt mroot mstyle msub msup msubsup munder mover munderover"
        " mtable mtr mtd mmultiscripts mprescripts menclose"
    ).split()
)
_NUM_CHILDREN = {
    "mfrac": 2,
    "mroot": 2,
    "msub": 2,
    "msup": 2,
    "munder": 2,
    "mover": 2,
    "msubsup": 3,
    "munderover": 3,
}
_NUMBER = re.compile(r"-?\d{0,2}(\.\d{1,3})?(em|ex|px|pt|mu)?")
_WORDS = re.compile(r"[a-z]+(-[a-z]+)*( [a-z]+(-[a-z]+)*){0,63}")
ATTRIBUTES: dict[str, re.Pattern[str]] = {
    "accent": _WORDS,
    "columnalign": _WORDS,
    "columnlines": _WORDS,
    "display": re.compile("block|inline"),
    "displaystyle": re.compile("true|false"),
    "fence": re.compile("true|false"),
    "form": re.compile("prefix|infix|postfix"),
    "linethickness": _NUMBER,
    "mathvariant": _WORDS,
    "maxsize": _NUMBER,
    "minsize": _NUMBER,
    "movablelimits": re.compile("true|false"),
    "notation": _WORDS,
    "rowlines": _WORDS,
    "scriptlevel": re.compile(r"[+-]?\d"),
    "separator": re.compile("true|false"),
    "stretchy": re.compile("true|false"),
    "width": _NUMBER,  # of a space
}


class _NoMacros(dict[str, Any]):
    """Refuses macros: a few lines of macros can expand to millions of characters."""

    def __setitem__(self, name: str, body: Any) -> None:
        raise ValueError(f"{name} defines a macro")


def mathml(latex: str, *, block: bool) -> str | None:
    """The formula as MathML, or None when it cannot be converted."""
    if len(latex) > LONGEST:
        return None
    converter = Converter(display="block" if block else "inline")
    converter.macros = _NoMacros()
    try:
        tree = converter.convert_to_element(latex)
        return tostring(_checked(tree), encoding="unicode")
    except _NOT_LATEX:
        return None


def _checked(element: Element) -> Element:
    """The allowed elements and attributes of the tree.  Raises ValueError when a child is missing.

    Text is unescaped, because the converter leaves character references in it.
    """
    if len(element) != _NUM_CHILDREN.get(element.tag, len(element)):
        raise ValueError(f"{element.tag} with {len(element)} children")
    attributes = {
        name: value
        for name, value in element.attrib.items()
        if name in ATTRIBUTES and ATTRIBUTES[name].fullmatch(value)
    }
    checked = Element(element.tag if element.tag in TAGS else "mrow", attributes)
    if element.text:
        if len(element) or checked.tag == "mrow":  # browsers draw text only in leaf elements
            leaf = Element("mtext")
            leaf.text = html.unescape(element.text)
            checked.append(leaf)
        else:
            checked.text = html.unescape(element.text)
    checked.extend(_checked(child) for child in element)
    return checked


def maths_plugin(parser: MarkdownIt) -> None:
    """Add the tokens `math_inline` and `math_block`: their content is LaTeX, their markup the delimiter."""
    parser.inline.ruler.before("escape", "math_inline", _inline)
    parser.block.ruler.before(
        "fence", "math_block", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )


_BRACKETS = {"\\(": "\\)", "\\[": "\\]", "$$": "$$"}


def _inline(state: StateInline, silent: bool) -> bool:
    start, text = state.pos, state.src
    if text[start] not in "\\$":
        return False
    mark = text[start : start + 2]
    if mark not in _BRACKETS:
        mark = "$"
    if text[start] == "\\" and mark == "$":
        return False
    end = _end_of(mark, text, start + len(mark), state.posMax)
    if end is None:
        return False
    content = text[start + len(mark) : end]
    if not content.strip() or (mark == "$" and _is_money(content, text[end + 1 : end + 2])):
        return False
    if not silent:
        token = state.push("math_inline", "math", 0)
        token.content, token.markup = content, mark
    state.pos = end + len(mark)
    return True


def _end_of(mark: str, text: str, start: int, limit: int) -> int | None:
    closing = _BRACKETS.get(mark, mark)
    end = text.find(closing, start, min(limit, start + LONGEST + len(closing)))
    while end > start and text[end - 1] == "\\" and closing[0] == "$":  # an escaped \$ belongs to the formula
        end = text.find(closing, end + 1, min(limit, start + LONGEST + len(closing)))
    return end if end >= start else None


def _is_money(content: str, following: str) -> bool:
    return content[0].isspace() or content[-1].isspace() or following.isdigit()


def _block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """Lines from an opening $$ or \\[ to the closing counterpart."""
    if state.is_code_block(first):
        return False
    opening = _line(state, first)
    mark = next((mark for mark in ("$$", "\\[") if opening.startswith(mark)), None)
    if mark is None:
        return False
    closing = _BRACKETS[mark]
    lines: list[str] = []
    for number, line in _lines(state, first, last):
        body = line[2:] if number == first else line
        if body.rstrip().endswith(closing) and body.count(closing) == 1:
            lines.append(body.rstrip()[: -len(closing)])
            break
        if closing in body or not line.strip() or len(lines) == MAX_LINES:
            return False
        lines.append(body)
    else:
        return False
    content = "\n".join(lines)
    if not content.strip():
        return False
    if not silent:
        state.line = number + 1
        token = state.push("math_block", "math", 0)
        token.block, token.content, token.markup, token.map = True, content, mark, [first, state.line]
    return True


def _lines(state: StateBlock, first: int, last: int) -> Iterable[tuple[int, str]]:
    for number in range(first, last):
        if number > first and state.sCount[number] < state.blkIndent:
            return
        yield number, _line(state, number)


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]
