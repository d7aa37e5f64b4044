"""What the kinds of rows are called in sentences."""

from fairlead.core.plural import plural
from fairlead.data.records import RecordKind


def kind_noun(kind: RecordKind) -> str:
    """A noun for one row of the kind: "comparison", "binary row"."""
    return f"{kind} row" if kind in ("binary", "stepwise") else kind


def kind_plural(kind: RecordKind) -> str:
    return plural(kind_noun(kind))
