"""Self-Instruct's seed tasks: an instruction with instances, each an input and its output."""

from fairlead.data.formats import alpaca
from fairlead.data.formats.format import Conversion, Format, LeftOut, Row
from fairlead.data.parsing import required_column
from fairlead.data.records import Record
from fairlead.data.row_problem import RowLocation, reject_row


def recognises(row: Row) -> bool:
    instances = row.get("instances")
    return (
        isinstance(row.get("instruction"), str)
        and isinstance(instances, list)
        and all(isinstance(instance, dict) and "output" in instance for instance in instances)
    )


def convert(row: Row, where: RowLocation) -> Conversion:
    """One demonstration per instance."""
    instances = required_column(row, "instances", where)
    if not isinstance(instances, list) or not all(isinstance(instance, dict) for instance in instances):
        reject_row(where, "instances", instances, "is not a list of instances", "Drop the row with --drop.")
    records: list[Record | LeftOut] = []
    for instance in instances:
        record = alpaca.convert({**instance, "instruction": row.get("instruction")}, where)
        assert not isinstance(record, list)
        records.append(record)
    return records or LeftOut("tasks without an instance")


FORMAT = Format(
    recognises=recognises,
    convert=convert,
    reads={"demonstration": frozenset({"instruction", "instances"})},
    metadata=frozenset({"is_classification"}),
)
