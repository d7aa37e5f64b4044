"""Messages of the importers in the words of a web page.

`fairlead.data` serves the command line first, so its remedies name options and commands.  A page has neither.
`for_page` leaves the clauses out that name one, and says instead what to do with the file.
"""

import re

# A clause that names an option, a command or a program.
_COMMAND_LINE = re.compile(
    r"(?<!\w)--[a-z]|`[^`]*`|\bfairlead [a-z]+|\biconv\b|\bgit lfs\b|\bpip install\b|\bhf:[A-Z]|\bdocs/\w"
)
# What such a clause was about -> the remedy on a page, if the message keeps no other.
_REMEDIES = (
    (re.compile(r"--drop\b"), "The row is left out; the other rows are used."),
    (re.compile(r"\biconv\b"), "Save the file as UTF-8 (at Save as, in a text editor or a spreadsheet)."),
    (re.compile(r"\bgit lfs\b"), "Download the file itself and upload that."),
    (re.compile(r"\bpip install\b"), "Ask whoever runs the studio to add it, or upload JSONL or CSV."),
    (
        re.compile(r"--(map|format|ignore)\b|docs/"),
        "Say what each column holds, or rename and remove columns in the file and upload it again.",
    ),
    (re.compile(r"--scale\b"), "Write scores from 0 to 1, and upload the file again."),
    (re.compile(r"--kind\b"), "Upload a file of this kind of rows alone."),
)


def for_page(message: str) -> str:
    if not _COMMAND_LINE.search(message):
        return message
    kept: list[str] = []
    for sentence in re.split(r"(?<=[.!?])\s+", message):
        parts = re.split(r"(;\s+|,? or (?=[a-z]))", sentence)  # clauses, and what joins them
        good = [i for i in range(0, len(parts), 2) if not _COMMAND_LINE.search(parts[i])]
        if len(good) == len(parts[::2]):
            kept.append(sentence)
        elif good:
            clauses = "".join(("" if i == good[0] else parts[i - 1]) + parts[i] for i in good)
            kept.append(clauses.rstrip(" ,;:.") + ".")
        else:
            kept += [page for pattern, page in _REMEDIES if pattern.search(sentence)][:1]
    return " ".join(kept)
