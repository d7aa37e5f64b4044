"""Patterns that find any of many texts, such as the control tokens of a tokenizer."""

import re
from collections.abc import Iterable
from typing import Any


def any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds any of the texts, the longest first, in time that their number hardly changes."""
    tree: dict[str, Any] = {}
    for text in texts:
        node = tree
        for letter in text:
            node = node.setdefault(letter, {})
        if text:
            node[""] = {}
    return re.compile(_tree_pattern(tree)) if tree else re.compile(r"(?!)")


def _tree_pattern(tree: dict[str, Any]) -> str:
    """Texts with a common beginning share it: `<ab`, `<ac` become `<a(?:b|c)`."""
    pattern = ""
    while len(tree) == 1:
        [(letter, tree)] = tree.items()
        pattern += re.escape(letter)
    if not tree:
        return pattern
    branches = [re.escape(letter) + _tree_pattern(node) for letter, node in tree.items() if letter]
    return f"{pattern}(?:{'|'.join(branches)}){'?' if '' in tree else ''}"
