"""Sets of prompts for tests: IFEval, MT-Bench, XSTest and verl's files.

What a rule needs to score an answer, such as IFEval's instructions, travels in the metadata.
"""

import json

from fairlead.data.formats.format import Conversion, Format, Row
from fairlead.data.formats.turns import read_turns
from fairlead.data.parsing import parse_row, required_column, required_text
from fairlead.data.row_problem import RowLocation, reject_row


def recognises_ifeval(row: Row) -> bool:
    return isinstance(row.get("prompt"), str) and isinstance(row.get("instruction_id_list"), list)


def convert_ifeval(row: Row, where: RowLocation) -> Conversion:
    return _prompt(required_text(row, "prompt", where), where)


def recognises_mt_bench(row: Row) -> bool:
    turns = row.get("turns")
    return (
        "question_id" in row
        and isinstance(turns, list)
        and bool(turns)
        and all(isinstance(text, str) for text in turns)
    )


def convert_mt_bench(row: Row, where: RowLocation) -> Conversion:
    """The first question; the later ones follow answers that do not exist yet, and stay in the metadata."""
    turns = required_column(row, "turns", where)
    if not isinstance(turns, list) or not turns or not isinstance(turns[0], str):
        reject_row(where, "turns", turns, "is not a list of questions", 'Write ["first", "second"].')
    return _prompt(turns[0], where)


def recognises_xstest(row: Row) -> bool:
    return isinstance(row.get("prompt"), str) and {"type", "label", "focus"} <= row.keys()


def convert_xstest(row: Row, where: RowLocation) -> Conversion:
    """The label says whether the prompt is safe, so it is no label of an answer."""
    return _prompt(required_text(row, "prompt", where), where)


def recognises_verl(row: Row) -> bool:
    reward = row.get("reward_model")
    return isinstance(row.get("prompt"), list) and isinstance(reward, dict) and "ground_truth" in reward


def convert_verl(row: Row, where: RowLocation) -> Conversion:
    """The checked answer of `reward_model` is the reference."""
    reward = required_column(row, "reward_model", where)
    if not isinstance(reward, dict):
        remedy = 'Write {"ground_truth": "…"}, or drop the row with --drop.'
        reject_row(where, "reward_model", reward, "is not an object", remedy)
    truth = required_column(reward, "ground_truth", where)
    reference = truth if isinstance(truth, str) else json.dumps(truth, ensure_ascii=False)
    turns = read_turns(required_column(row, "prompt", where), "prompt", where)
    return parse_row("prompt", {"prompt": turns, "reference": reference}, where)


def _prompt(text: str, where: RowLocation) -> Conversion:
    return parse_row("prompt", {"prompt": [{"role": "user", "content": text}]}, where)


IFEVAL_FORMAT = Format(
    recognises=recognises_ifeval,
    convert=convert_ifeval,
    reads={"prompt": frozenset({"prompt"})},
    metadata=frozenset({"key", "instruction_id_list", "kwargs"}),
)
MT_BENCH_FORMAT = Format(
    recognises=recognises_mt_bench,
    convert=convert_mt_bench,
    reads={"prompt": frozenset()},
    metadata=frozenset({"turns", "reference"}),
)
XSTEST_FORMAT = Format(
    recognises=recognises_xstest,
    convert=convert_xstest,
    reads={"prompt": frozenset({"prompt"})},
    metadata=frozenset({"label", "focus", "note"}),
)
VERL_FORMAT = Format(
    recognises=recognises_verl,
    convert=convert_verl,
    reads={"prompt": frozenset({"prompt"})},
    metadata=frozenset({"reward_model", "data_source", "ability", "extra_info"}),
)
