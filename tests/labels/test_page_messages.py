"""Messages of the importers in the words of a web page."""

import ast
import re
from pathlib import Path

import pytest

from fairlead import data
from fairlead.labels.page_messages import for_page

COMMAND_LINE = r"(?<!\w)--[a-z]|`|iconv|fairlead [a-z]|pip install|git lfs"


@pytest.mark.parametrize(
    ("message", "page"),
    [
        ("is empty. Fill it in, or drop the row with --drop.", "is empty. Fill it in."),
        ("Drop the row with --drop.", "The row is left out; the other rows are used."),
        (
            "Labels are read; remove the question, or drop the row with --drop.",
            "Labels are read; remove the question.",
        ),
        ("Give two answers, or one.", "Give two answers, or one."),
        ("x: is plain text. Train on it with `fairlead train pretrain`.", "x: is plain text."),
        ("my--file.jsonl:1: is no row.", "my--file.jsonl:1: is no row."),
    ],
)
def test_what_a_page_says(message: str, page: str) -> None:
    assert for_page(message) == page


def test_every_remedy_of_the_importers_has_words_for_a_page() -> None:
    remedies = [
        node.value
        for path in sorted(Path(str(data.__file__)).parent.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value
    ]
    commands = [remedy for remedy in remedies if re.search(r"(?<!\w)--[a-z]|iconv", remedy) and " " in remedy]
    assert len(commands) > 40
    assert [for_page(text) for text in commands if re.search(COMMAND_LINE, for_page(text))] == []
