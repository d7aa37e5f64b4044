"""A parser that accepts only the HTML that rendered texts may contain."""

import re
from html.parser import HTMLParser

ALLOWED = set(
    "p br hr h3 h4 h5 h6 ul ol li blockquote pre code em strong s a span div "
    "table thead tbody tr th td "
    "math mrow mi mn mo mtext mspace mfrac msqrt mroot mstyle msub msup msubsup munder mover munderover "
    "mtable mtr mtd mmultiscripts mprescripts menclose".split()
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
