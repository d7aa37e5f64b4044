"""Untrusted text as HTML that is safe to show: Markdown, code and mathematics, and last of all an allow-list.

    render(text) -> Safe        what labellers read
    plain(text) -> Safe         the raw view: nothing but escaping
    direction(text)             "rtl" or "ltr", by its first letter that has a direction

Whatever the stages before do, nothing passes the allow-list but text structure: no script, style, image, form, id or event handler, links
only to http, https and mailto.  A text over `LONGEST` characters, or one that is nested beyond reason, is shown as it was written: so the
time that a text can take is bounded by its length, which needs no clock.
"""

import re
import threading
import unicodedata
from collections import OrderedDict
from html import escape
from typing import Literal

import nh3
from pygments.token import STANDARD_TYPES

from fairlead.core import digest
from fairlead.studio import markdown, maths

LONGEST = 100_000  # characters of Markdown that are rendered
LONGEST_HTML = 2_000_000  # characters that they may become
CACHE_CHARACTERS = 32_000_000  # of HTML kept

# Text that would hide or reorder what is beside it, and what no HTML may hold.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202d\u202e\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)

TAGS = (
    frozenset(
        "p br hr h3 h4 h5 h6 ul ol li blockquote pre code em strong s a span div table thead tbody tr th td".split()
    )
    | maths.TAGS
)
CLASSES = {
    "span": {"image", "target", *(f"tok-{name}" for name in STANDARD_TYPES.values() if name)},
    "div": {"math"},
    "pre": {"code", "plain"},
    "code": {"source"},
    "th": {"align-left", "align-right", "align-center"},
    "td": {"align-left", "align-right", "align-center"},
}
_DIRECTED = (
    "p",
    "h3",
    "h4",
    "h5",
    "h6",
    "ul",
    "ol",
    "li",
    "blockquote",
    "table",
    "th",
    "td",
    "pre",
    "code",
    "span",
)
ATTRIBUTES: dict[str, set[str]] = (
    {tag: {"dir"} for tag in _DIRECTED}
    | {tag: set(maths.ATTRIBUTES) for tag in maths.TAGS}
    | {"a": {"href", "target"}}
)
ATTRIBUTES["ol"] = {"dir", "start"}
ATTRIBUTES["pre"] = {"dir", "tabindex"}
REL = "noopener noreferrer nofollow"
_VALUES = {
    "dir": re.compile("auto|ltr"),
    "href": re.compile(r"(?i:https?://|mailto:)[^\s<>\"]+"),
    "start": re.compile(r"\d{1,9}"),
    "tabindex": re.compile("0"),
    "target": re.compile("_blank"),
}


class Safe(str):
    """HTML that passed the allow-list; templates insert it as it is."""

    def __html__(self) -> str:
        return str(self)


def render(text: str) -> Safe:
    """Markdown as safe HTML.  The same text gives the same HTML."""
    key = digest.of_bytes(text.encode("utf-8", "surrogatepass"))
    found = _cache.get(key)
    if found is None:
        found = _rendered(text)
        _cache.put(key, found)
    return found


def plain(text: str) -> Safe:
    """The characters of the text, and nothing made of them."""
    return Safe(f'<pre class="plain" dir="auto">{escape(visible(text))}</pre>')


def visible(text: str) -> str:
    """With U+FFFD for every character that is not drawn or that turns others around."""
    return _UNSEEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def direction(text: str) -> Literal["ltr", "rtl"]:
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("L", "R", "AL"):
            return "ltr" if kind == "L" else "rtl"
    return "ltr"


def clean(html: str) -> Safe:
    """The allow-list: what it does not name is dropped, and of an element's inside the text stays."""
    return Safe(
        nh3.clean(
            visible(html),
            tags=set(TAGS),
            clean_content_tags={"script", "style"},
            attributes=ATTRIBUTES,
            attribute_filter=_allowed,
            allowed_classes=CLASSES,
            url_schemes=set(markdown.SCHEMES),
            link_rel=REL,
        )
    )


def _allowed(tag: str, attribute: str, value: str) -> str | None:
    pattern = maths.ATTRIBUTES.get(attribute) if tag in maths.TAGS else _VALUES.get(attribute)
    if attribute in ("class", "rel"):  # they have lists of their own
        return value
    return value if pattern is not None and pattern.fullmatch(value) else None


def _rendered(text: str) -> Safe:
    if len(text) > LONGEST:
        return plain(text)
    try:
        html = markdown.to_html(visible(text))
    except markdown.TooDeep:
        return plain(text)
    return clean(html) if len(html) <= LONGEST_HTML else plain(text)


class _Cache:
    """The HTML of the texts asked for last, by their digest."""

    def __init__(self, characters: int) -> None:
        self._left = characters
        self._found: OrderedDict[str, Safe] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Safe | None:
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def put(self, key: str, html: Safe) -> None:
        with self._lock:
            if key not in self._found:
                self._found[key] = html
                self._left -= len(html)
            while self._left < 0:
                self._left += len(self._found.popitem(last=False)[1])


_cache = _Cache(CACHE_CHARACTERS)
