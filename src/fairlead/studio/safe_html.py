"""Renders untrusted Markdown, code and mathematics as safe HTML.  The last stage is an allow-list.

    render(text) -> Safe        rendered text, as labellers see it
    cached(text)                the same, if it has been rendered already
    plain(text) -> Safe         the raw text, escaped
    direction(text)             "rtl" or "ltr", by the first letter that has a direction

Whatever the earlier stages do, the allow-list passes only text structure.  Scripts, styles, images, forms,
ids and event handlers are dropped, and links may lead only to http, https and mailto.

Texts over `LONGEST` characters and texts with extreme nesting are shown as plain text.  Rendering time grows
with the length of the text: 3 s for the slowest text of the largest size.  Texts over `LONGEST_HERE`
characters are therefore rendered in worker processes, see `render_pool`.
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
from fairlead.studio import markdown, maths, render_pool

LONGEST = 100_000  # characters of Markdown that are rendered
LONGEST_HERE = 4_000  # characters rendered in this process; longer texts would delay other requests
WAIT_S = 30.0  # for a worker; then the text is shown unformatted
LONGEST_HTML = 2_000_000  # characters of the HTML
CACHE_CHARACTERS = 32_000_000  # characters of HTML in the cache

# Control characters that hide or reorder the text around them, and code points that HTML must not contain.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202d\u202e\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff]"
)

TAGS = (
    frozenset(
        (
            "p br hr h3 h4 h5 h6 ul ol li blockquote pre code em strong s a span div"
            " table thead tbody tr th td"
        ).split()
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
_TAGS_WITH_DIR = (
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
    {tag: {"dir"} for tag in _TAGS_WITH_DIR}
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
    """HTML that has passed the allow-list.  Templates insert it without escaping."""

    def __html__(self) -> str:
        return str(self)


def render(text: str) -> Safe:
    """Render Markdown as safe HTML.  Results are cached."""
    html = cached(text)
    if html is not None:
        return html
    if len(text) <= LONGEST_HERE or len(text) > LONGEST:
        return keep(text, render_here(text))
    job = render_pool.shared().submit(text)
    try:
        return keep(text, job.result.result(WAIT_S))
    except TimeoutError:
        job.cancel()
        return plain(text)


def cached(text: str) -> Safe | None:
    return _cache.get(_key(text))


def keep(text: str, html: str | None) -> Safe:
    """Cache what a worker rendered.  None, after it took too long, is the unformatted text."""
    safe = plain(text) if html is None else Safe(html)
    _cache.put(_key(text), safe)
    return safe


def plain(text: str) -> Safe:
    """The text itself, escaped and unformatted."""
    return Safe(f'<pre class="plain" dir="auto">{escape(visible(text))}</pre>')


def visible(text: str) -> str:
    """Replace invisible and reordering characters with U+FFFD, and normalise line breaks."""
    return _UNSEEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def direction(text: str) -> Literal["ltr", "rtl"]:
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("L", "R", "AL"):
            return "ltr" if kind == "L" else "rtl"
    return "ltr"


def clean(html: str) -> Safe:
    """Apply the allow-list.  Other elements and attributes are dropped; the text inside an element stays."""
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
    if attribute in ("class", "rel"):  # nh3 checks these against their own lists
        return value
    return value if pattern is not None and pattern.fullmatch(value) else None


def _key(text: str) -> str:
    return digest.of_bytes(text.encode("utf-8", "surrogatepass"))


def render_here(text: str) -> Safe:
    """Render in this process, without the cache."""
    if len(text) > LONGEST:
        return plain(text)
    try:
        html = markdown.to_html(visible(text))
    except markdown.TooDeep:
        return plain(text)
    return clean(html) if len(html) <= LONGEST_HTML else plain(text)


class _Cache:
    """A least-recently-used cache of HTML by digest of the text, limited by characters."""

    def __init__(self, characters: int) -> None:
        self._left = characters
        self._html_by_key: OrderedDict[str, Safe] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Safe | None:
        with self._lock:
            if key in self._html_by_key:
                self._html_by_key.move_to_end(key)
            return self._html_by_key.get(key)

    def put(self, key: str, html: Safe) -> None:
        with self._lock:
            if key not in self._html_by_key:
                self._html_by_key[key] = html
                self._left -= len(html)
            while self._left < 0:
                self._left += len(self._html_by_key.popitem(last=False)[1])


_cache = _Cache(CACHE_CHARACTERS)
