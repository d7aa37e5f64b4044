"""The matrix of chat templates and conversations: each cell is right, or refused with a remedy.

`outcome` encodes one conversation with one template and has `template_oracle` verify the rows.
`python tests/template_matrix.py` writes the table to docs/reference/template-matrix.md.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from chat_templates import PUBLISHED, Kind, Published, generation_stops, tokenizer
from fairlead.core.errors import FairleadError
from fairlead.core.template_settings import Template
from fairlead.data.records import Message, ToolCall
from fairlead.encoding.chat import encode_rows
from fairlead.encoding.chat_format import ChatFormat
from template_oracle import assert_right

PAGE = Path(__file__).parents[1] / "docs/reference/template-matrix.md"
WEATHER: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Its name."}},
            "required": ["city"],
        },
    },
}
CALL = ToolCall("get_weather", {"city": "Lisbon"}, id="call00001")


@dataclass(frozen=True, kw_only=True, eq=False)
class Conversation:
    messages: tuple[Message, ...]
    num_context: int = 0
    tools: tuple[Mapping[str, Any], ...] = ()
    base: bool = False
    kind: Kind | None = None  # of the vocabulary, in place of the model's


def user(text: str) -> Message:
    return Message("user", text)


def assistant(text: str, reasoning: str | None = None) -> Message:
    return Message("assistant", text, reasoning=reasoning)


SYSTEM = Message("system", "Answer politely.")
SINGLE = (user("Which fruits are purple?"), assistant("Plums and elderberries."))
MORE = (user("Which animals sleep standing?"), assistant("Horses, elephants."))
CONVERSATIONS: dict[str, Conversation] = {
    "single": Conversation(messages=SINGLE),
    "multi-turn": Conversation(messages=(*SINGLE, *MORE)),
    "system": Conversation(messages=(SYSTEM, *SINGLE, *MORE)),
    "no system": Conversation(messages=(*SINGLE, *MORE), num_context=3),
    "thinking": Conversation(
        messages=(
            user("Which fruits are purple?"),
            assistant("Plums and elderberries.", "Consider orchards first."),
            user("Which animals sleep standing?"),
            assistant("Horses, elephants.", "Ponder stables."),
        )
    ),
    "tools": Conversation(
        messages=(
            user("Is umbrella weather expected?"),
            Message("assistant", "", tool_calls=(CALL,)),
            Message("tool", "Drizzle tonight", tool_call_id=CALL.id, name=CALL.name),
            assistant("Raincoats recommended."),
        ),
        tools=(WEATHER,),
    ),
    "empty turn": Conversation(messages=(Message("system", ""), *SINGLE, *MORE)),
    "base tokenizer": Conversation(messages=(*SINGLE, *MORE), base=True),
}


# What a refusal has to name: a setting, an option, or what to change in the data.
REMEDY = re.compile(
    r"template\.(?:file|arguments|stop_tokens|date|fold_system)|--drop|--kind|"
    r"\b(?:Put|Move|Remove|Write|Leave|Name|Give|Use|Set|Change|Fill|Correct)\b"
)


class Outcome(NamedTuple):
    rows: int  # 0 if the conversation was refused
    refusal: str = ""

    def __str__(self) -> str:
        if self.refusal:
            return "refused: " + self.remedy
        return "right" if self.rows == 1 else f"right, {self.rows} rows"

    @property
    def remedy(self) -> str:
        """The settings that a refusal names."""
        names = ["content"] if "into the content" in self.refusal else []
        names += re.findall(r"template\.(\w+)", self.refusal)
        return ", ".join(dict.fromkeys(names)) or "the data"


@functools.cache
def outcome(published: Published, conversation: Conversation, settings: Template | None = None) -> Outcome:
    """Encode a conversation, and have the oracle verify the rows.

    Raises AssertionError if the rows are not right, or if the refusal names no remedy.
    """
    tokens = tokenizer(published, base=conversation.base, kind=conversation.kind)
    declared = None if conversation.base else generation_stops(published, tokens)
    try:
        chat = ChatFormat(tokens, settings or Template(), declared=declared, source=published.name)
        rows = encode_rows(
            chat, conversation.messages, num_context=conversation.num_context, tools=conversation.tools
        )
    except FairleadError as error:
        assert REMEDY.search(str(error)), f"no remedy: {error}"
        return Outcome(0, str(error))
    assert_right(
        rows,
        conversation.messages,
        tokens,
        stops=chat.stop_ids,
        num_context=conversation.num_context,
        tools=conversation.tools,
        arguments=chat.settings.values,
        fold_system=chat.settings.fold_system,
    )
    return Outcome(len(rows))


OPENING = """# Matrix of chat templates

Fairlead trains an assistant turn as a model would sample it: after exactly the tokens that
`apply_chat_template(add_generation_prompt=True)` makes of the messages before it, up to the token at which
sampling stops. Where a template cannot hold a conversation in that way, the row is refused, and the message
names a setting of the [`[template]` table](configuration.md#template) that helps.
[Chat templates](../how-it-works/chat-templates.md) explains how this is decided.

This page shows what happens for {num_templates} published templates and {num_columns} kinds of conversation.
A test compares every cell with what transformers renders for sampling. To see your own model and rows in
colour, run `fairlead data check ROWS.jsonl --model MODEL`.

| column | conversation |
|---|---|
{columns}

In a cell, *right* means that the conversation is one row and that all its answers are trained in it. With
*2 rows*, the template writes earlier turns differently once more turns follow, so each answer is a row of its
own. A cell in code style is refused, and lists what the message advises:

- `file`: give a template that can hold the conversation with `template.file`.
- `arguments`: set a variable of the template, such as `enable_thinking`, with `template.arguments`.
- `fold_system`: put the system message before the first question with `template.fold_system=true`.
- `content`: write the reasoning into the content as `<think>…</think>`, which the template then keeps.

The templates whose prompt opens a reasoning (QwQ, DeepSeek-R1 and others) refuse answers that have none.

"""

COLUMNS = {
    "single": "a question and an answer",
    "multi-turn": "two questions and answers; both answers are trained",
    "system": "the same after a system message",
    "no system": "two questions and answers; only the last answer is trained, as in a pair",
    "thinking": "two answers with `reasoning_content`",
    "tools": "a tool, a call of it, its result, and an answer; the call and the answer are trained",
    "empty turn": "two questions and answers after an empty system message",
    "base tokenizer": "two questions and answers; the eos of the base model's tokenizer is the end of a text",
}


def render_page() -> str:
    """The page of the documentation."""
    rows = {
        published: [outcome(published, conversation) for conversation in CONVERSATIONS.values()]
        for published in PUBLISHED
    }
    lines = [f"| template | {' | '.join(CONVERSATIONS)} |", "|---" * (len(CONVERSATIONS) + 1) + "|"]
    lines += [f"| {published.name} | {' | '.join(map(_cell, cells))} |" for published, cells in rows.items()]
    columns = "\n".join(f"| {name} | {COLUMNS[name]} |" for name in CONVERSATIONS)
    page = OPENING.format(num_templates=len(PUBLISHED), num_columns=len(CONVERSATIONS), columns=columns)
    return page + "\n".join(lines) + "\n" + _sources()


def _cell(cell: Outcome) -> str:
    if cell.refusal:
        return f"`{cell.remedy}`"
    return "right" if cell.rows == 1 else f"{cell.rows} rows"


def _sources() -> str:
    lines = [
        f"| {published.name} | {published.models} | `tests/templates/{published.file}.jinja` | "
        f"{published.source} |"
        for published in PUBLISHED
    ]
    return "\n".join(
        [
            "\n## Where the templates are from\n",
            "The files are written for the tests. Turns, marks and line breaks are those of the published",
            "templates. Long fixed texts are cut short.\n",
            "| template | models | file | facts from |",
            "|---|---|---|---|",
            *lines,
            "",
            "This page is generated: `python tests/template_matrix.py`.",
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(render_page(), encoding="utf-8")
