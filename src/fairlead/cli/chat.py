"""`fairlead chat`: chat with a model.  Without a terminal, each line of standard input is one turn."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from fairlead.cli.lookup import ProjectDir, find_model, load_path
from fairlead.cli.output import AsJson, print_note, print_result, print_text
from fairlead.cli.sampling_options import (
    MaxNewTokens,
    Model,
    Seed,
    Temperature,
    TemplateWords,
    read_template,
)
from fairlead.core.errors import DataError
from fairlead.data.records import Message, Messages


def chat(
    model: Model,
    template: TemplateWords = None,
    max_new_tokens: MaxNewTokens = 256,
    temperature: Temperature = 0.7,
    seed: Seed = 0,
    system: Annotated[
        str | None, typer.Option(help="System message at the start of the conversation.")
    ] = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Chat with a model.  /reset starts a new conversation; /quit or Ctrl-D exits.

    Example: fairlead chat aligned

    Example: echo "What is 2 + 2?" | fairlead chat aligned --temperature 0
    """
    reference = load_path(find_model(model, project))

    from fairlead.model.policy import load_policy
    from fairlead.rollout.engine import LocalEngine
    from fairlead.rollout.records import SampleRequest, SamplingParams

    policy = load_policy(reference, template=read_template(template, project))
    if policy.chat.note is not None:
        print_note(policy.chat.note)
    engine = LocalEngine(policy)
    opening: Messages = () if system is None else (Message("system", system),)
    conversation = opening
    turns: list[dict[str, Any]] = []
    for number, line in enumerate(_lines(model)):
        if line == "/quit":
            break
        if line == "/reset":
            conversation = opening
            print_note("Started a new conversation.")
            continue
        try:
            prompt = policy.encode_prompt((*conversation, Message("user", line)))
        except DataError as error:  # the model cannot encode this turn; the conversation continues without it
            print_note(f"DataError  {error}")
            continue
        room = max_new_tokens if policy.context is None else min(max_new_tokens, policy.context - len(prompt))
        if room < 1:
            print_note(
                f"The conversation has filled the model's {policy.context} tokens. "
                "This turn was not answered; /reset starts a new conversation."
            )
            continue
        params = SamplingParams(max_new_tokens=room, temperature=temperature)
        request = SampleRequest(prompts=[prompt], params=params, seed=seed, row_ids=[number])
        [rollout] = engine.sample(request)
        text = policy.text(rollout.tokens)
        conversation = (*conversation, Message("user", line), Message("assistant", text))
        turns.append({"user": line, "assistant": text, "finished": rollout.finished})
        if not as_json:
            print_text(text)
        if not rollout.finished:
            print_note(f"(cut off after {room} tokens)")
    if as_json:
        print_result(
            {"model": model, "turns": turns},
            [],
            as_json=True,
            read=[reference],
            next=f"fairlead sample {model} --prompts FILE --out answers.jsonl",
        )


def _lines(model: str) -> Iterator[str]:
    """The user's turns; empty lines are skipped."""
    if sys.stdin.isatty():
        import readline  # gives `input` line editing and a history

        readline.parse_and_bind("tab: self-insert")
        print_note(f"Chatting with {model}. /reset starts a new conversation; /quit or Ctrl-D exits.")
        lines = _typed_lines()
    else:
        lines = iter(sys.stdin)
    for line in lines:
        if line.strip():
            yield line.strip()


def _typed_lines() -> Iterator[str]:
    while True:
        try:
            yield input("> ")
        except EOFError:
            return
