"""Chat templates that Fairlead brings, for base models whose tokenizer has none.

Each is chosen by name (`template.file=chatml`) and never silently: a wrong template trains a model that no
other program prompts in the same way.  The layouts are those of the model families of these names.  Calls of
tools are written by chatml alone, in the layout of Hermes.
"""

from pathlib import Path
from typing import NamedTuple


class BuiltIn(NamedTuple):
    text: str
    tokens: tuple[str, ...]  # control tokens that it writes, each of which the tokenizer must have


def read_template(name: str) -> str:
    """The text of a file in `templates/`."""
    path = Path(__file__).parent / "templates" / f"{name}.jinja"
    return path.read_text(encoding="utf-8").removesuffix("\n")


BUILT_IN = {
    "chatml": BuiltIn(read_template("chatml"), ("<|im_start|>", "<|im_end|>")),
    "llama3": BuiltIn(read_template("llama3"), ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
    "gemma": BuiltIn(read_template("gemma"), ("<start_of_turn>", "<end_of_turn>")),
    "mistral": BuiltIn(read_template("mistral"), ()),
    "zephyr": BuiltIn(read_template("zephyr"), ()),
    # It ends a prompt without a space: the space belongs to the first token of the answer.
    "plain": BuiltIn(read_template("plain"), ()),
}
