r"""Rewrite an answer of maths into the notation that `symbolic_equality` reads.

Thousands separators, degrees, units, mixed numbers, and words around lists: 1{,}234 -> 1234, 90^\circ -> 90,
1\frac12 -> (1+1/2), \text{Yes} -> Yes, 1 and 2 -> 1, 2.
"""

import re

_DIGITS = r"\d{1,3}(?:%s\d{3})+(?!\d)"
_GROUPS = [
    (re.compile(rf"(?<![\d.,]){_DIGITS % separator}"), re.compile(separator))
    for separator in (r"\{,\}", r"(?:\\[, ]|[   ])", "['’]")  # noqa: RUF001
]
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])(\d{1,3}(?:\.\d{3})+),(\d+)(?![\d.,])")
_MIXED_LATEX = re.compile(r"(?<![\d.}])(\d+)\s*\\[dt]?frac\s*(?:\{(\d+)\}\s*\{(\d+)\}|(\d)\s*(\d))")
_MIXED = re.compile(r"(?<![\d./])(\d+)\s+(\d+)\s*/\s*(\d+)(?!\d)")
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|°)")
_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_UNIT_TEXT = re.compile(r"(?<=[\d}])\s*\\(?:text|mathrm|mbox)\s*\{[^{}]*\}\s*(?:\^\s*\{?\d\}?)?\s*$")
_UNIT = re.compile(r"(?<=\d)\s*(?:cm|mm|km|kg|mg|ml|mph|km/h|cm\^2|m\^2)\s*$")
_MEMBER = re.compile(r"^\s*[a-zA-Z]\s*(?:\\in\b|∈)\s*")
_AND = re.compile(r"\s*(?:,\s*)?\b(?:and|or)\b\s*")
_SAME_SIGNS = {"\\leq": "\\le", "\\geq": "\\ge", "<=": "\\le", ">=": "\\ge", "≤": "\\le", "≥": "\\ge"}
_SAME_SIGNS |= {"\\left": "", "\\right": "", "bmatrix": "pmatrix", "\\dfrac": "\\frac", "\\tfrac": "\\frac"}


def rewritten(text: str) -> str:
    """The answer in plain notation; text that is no maths stays as it is."""
    plain = text.replace("–", "-").replace("−", "-")  # noqa: RUF001
    plain = _UNIT_TEXT.sub("", plain)
    plain = _AND.sub(", ", _TEXT.sub(r" \1 ", plain)) if re.search(r"\d", plain) else _TEXT.sub(r"\1", plain)
    plain = _MEMBER.sub("", _DEGREES.sub("", plain))
    for group, separator in _GROUPS:
        plain = group.sub(lambda match, mark=separator: mark.sub("", match[0]), plain)  # type: ignore[misc]
    plain = _DECIMAL_COMMA.sub(lambda match: f"{match[1].replace('.', '')}.{match[2]}", plain)
    plain = _MIXED_LATEX.sub(r"(\1+\2\4/\3\5)", plain)
    plain = _MIXED.sub(r"(\1+\2/\3)", plain)
    return _UNIT.sub("", plain).replace("\\{", "{").replace("\\}", "}").strip()


def canonical(text: str) -> str:
    """The text without spaces and with one spelling of each sign, for what no parser reads."""
    for sign, same in _SAME_SIGNS.items():
        text = text.replace(sign, same)
    return "".join(text.casefold().split())
