"""A model's chat format: the one place that renders conversations and knows where an answer ends.

Policies and reward models hold one each (`policy.chat`).  `chat.py` makes training rows and prompts with it.

Templates come from the Hub and run in transformers' sandbox.  Whatever goes wrong inside one is an error
about the template or about the conversation, never a bug of Fairlead.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from fairlead.core.errors import ConfigError, DataError, ModelError
from fairlead.core.template_settings import OWN_TEMPLATE, Template
from fairlead.data.records import Message, message_to_json
from fairlead.encoding import template_limits
from fairlead.encoding.any_of import any_of
from fairlead.encoding.template_choice import ChosenTemplate, choose_template
from fairlead.encoding.tokenized_text import TextTokenizer

Tools = Sequence[Mapping[str, Any]]  # descriptions of functions, as in OpenAI's format

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
# What a template can raise: it is a program of somebody else.
TEMPLATE_FAULTS = (
    TemplateError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
_PROBE_QUESTION, _PROBE_ANSWER = "What is this?", "An answer."


class Rendered(NamedTuple):
    text: str
    generated: tuple[tuple[int, int], ...] | None  # characters in {% generation %}; None without such blocks


class _CallStyle(NamedTuple):
    """How tool calls are given to a template.  Templates differ, and tell nobody what they expect."""

    text_arguments: bool  # the arguments as text of JSON, not as an object
    no_content: bool  # the content of a turn without text is null, not empty


class ChatFormat:
    """A tokenizer with its chat template, settings and stop tokens."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        settings: Template = OWN_TEMPLATE,
        *,
        declared: int | Iterable[int] | None = None,
        source: str = "the model",
    ) -> None:
        """`declared` are the end tokens of the generation config; `source` names the model in errors.

        Raises ModelError if there is no usable template, ConfigError if a setting does not fit.
        """
        self.tokenizer = tokenizer
        self.settings = settings
        self.source = source
        self._chosen: ChosenTemplate = choose_template(tokenizer, settings, source)
        # The style that worked last comes first.
        self._styles = [_CallStyle(text, none) for text in (False, True) for none in (False, True)]
        self._names = dict(tokenizer.special_tokens_map)  # bos_token, eos_token, ... for the template
        known = {tokenizer.eos_token_id, *map(self._token_id, self._chosen.stop_tokens)}
        self.end_of_turn = self._find_end_of_turn()
        if self.end_of_turn is not None:
            known.add(tokenizer.convert_tokens_to_ids(self.end_of_turn))
        self.stop_ids = frozenset(token for token in known if isinstance(token, int))
        self.declare(declared)

    def declare(self, end_tokens: int | Iterable[int] | None) -> None:
        """Add the end tokens that a model names, which may be read after the template was checked."""
        declared = [end_tokens] if isinstance(end_tokens, int) else end_tokens or ()
        # Some generation configs have -1 where no token is meant.
        self.stop_ids |= {token for token in declared if isinstance(token, int) and token >= 0}

    @property
    def template(self) -> str:
        """The text of the template, with the settings in it."""
        return self._chosen.text

    @property
    def origin(self) -> str:
        """What an error calls the template."""
        return self._chosen.origin

    @property
    def note(self) -> str | None:
        """What a user should know about the template, if anything."""
        if not self._chosen.reads_clock:
            return None
        return (
            f"{self.origin} writes the day on which it is run. Fairlead writes 1 January 2025 instead, in "
            "training and in sampling, so that a resumed run reads the same text. "
            "template.date=YYYY-MM-DD sets another day."
        )

    def save(self, folder: Any) -> None:
        """Write the tokenizer with the template, so that other programs prompt the model in the same way."""
        own = self.tokenizer.chat_template
        text, tool_text = self._chosen.text, self._chosen.tool_text
        try:
            several = {"default": text, "tool_use": tool_text}
            self.tokenizer.chat_template = text if text == tool_text else several
            self.tokenizer.save_pretrained(folder)
        finally:
            self.tokenizer.chat_template = own

    def render(
        self,
        messages: Sequence[Message],
        *,
        generation_prompt: bool,
        tools: Tools = (),
    ) -> str:
        """Apply the template.  Raises DataError if it refuses the conversation."""
        return self.render_with_spans(messages, generation_prompt=generation_prompt, tools=tools).text

    def render_with_spans(
        self, messages: Sequence[Message], *, generation_prompt: bool = False, tools: Tools = ()
    ) -> Rendered:
        """`render`, and which characters the template marks as generated."""
        has_calls = any(message.tool_calls for message in messages)
        rendered: Rendered | None = None
        problem: Exception | None = None
        for style in list(self._styles) if has_calls else self._styles[:1]:
            try:
                attempt = self._render(messages, generation_prompt, tools, style)
            except TEMPLATE_FAULTS as error:
                problem = problem or error
                continue
            if not has_calls or shows_calls(messages, attempt.text):
                self._styles.remove(style)
                self._styles.insert(0, style)  # the prompt and the finished turn are given in the same style
                return attempt
            rendered = rendered or attempt
        if rendered is not None:
            return rendered
        assert problem is not None
        raise self._refusal(messages, tools, problem, generation_prompt) from problem

    def tokens(self, text: str) -> list[int]:
        """Token ids of rendered text, which has its own BOS token."""
        return self.text_tokenizer.tokens(text)

    @cached_property
    def text_tokenizer(self) -> TextTokenizer:
        return TextTokenizer(self.tokenizer, self._controls)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, control tokens included."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=False))

    def text(self, tokens: Sequence[int]) -> str:
        """Decode sampled tokens, without control tokens, spelled out ones included."""
        decoded = str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))
        return self._controls.sub("", decoded).strip()

    def check_texts(self, messages: Sequence[Message], tools: Tools = ()) -> None:
        """Raise DataError if a message contains a control token of the tokenizer."""
        texts = [(f"{_article(message.role)} {message.role} message", message) for message in messages]
        for where, message in texts:
            parts = [message.content, message.reasoning or ""]
            parts += [
                json.dumps([call.name, dict(call.arguments)], ensure_ascii=False)
                for call in message.tool_calls
            ]
            self._check_text(where, *parts)
        if tools:
            self._check_text(
                "the definition of a tool", json.dumps(list(map(dict, tools)), ensure_ascii=False)
            )

    def _check_text(self, where: str, *texts: str) -> None:
        for text in texts:
            if match := self._controls.search(text):
                raise DataError(
                    f"{where} contains the control token {match[0]!r}, which would end or fake a turn. "
                    "Remove it."
                )

    def with_arguments(self, values: Mapping[str, Any]) -> "ChatFormat":
        """The same format with further variables for the template.  Raises ConfigError if it reads none."""
        arguments = json.dumps(self.settings.values | dict(values))
        settings = replace(self.settings, arguments=arguments)
        return ChatFormat(self.tokenizer, settings, declared=self.stop_ids, source=self.source)

    def has_control(self, text: str) -> bool:
        """Whether a text contains a control token."""
        return self._controls.search(text) is not None

    def last_control(self, text: str) -> int:
        """Where the last control token of a text begins; 0 if it has none."""
        return max((match.start() for match in self._controls.finditer(text)), default=0)

    def first_stop(self, text: str) -> int | None:
        """Where the first stop token in the text ends."""
        match = self._stops.search(text)
        return None if match is None else match.end()

    def end_before_next(self, messages: Sequence[Message], finished: str, tools: Tools = ()) -> str:
        """The stop token that stands after the last turn once another message follows; empty if none does.

        Some templates end a turn with nothing but the role token of the next one, at which sampling stops.
        """
        last = messages[-1]
        following = Message("user", _PROBE_QUESTION)
        if last.tool_calls:
            call = last.tool_calls[0]
            following = Message("tool", _PROBE_ANSWER, tool_call_id=call.id, name=call.name)
        try:
            text = self._render((*messages, following), False, tools).text
        except TEMPLATE_FAULTS:  # it does not take what follows
            return ""
        stops = list(self._stops.finditer(text, 0, max(0, text.rfind(following.content))))
        tail = finished.rstrip().rpartition("\n")[2]
        if not stops or not text[: stops[-1].start()].rstrip().endswith(tail):
            return ""
        return stops[-1][0]

    @cached_property
    def _controls(self) -> re.Pattern[str]:
        """Finds texts that the tokenizer reads as control tokens, and the stop tokens."""
        added = {token.content for token in self.tokenizer.added_tokens_decoder.values()}
        special = {token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        stops = {text for text in self._stop_texts if text in added}
        return any_of(special | set(self.tokenizer.all_special_tokens) | stops)

    @cached_property
    def _stops(self) -> re.Pattern[str]:
        return any_of(self._stop_texts)

    @property
    def _stop_texts(self) -> list[str]:
        # Decoding may change the text of a token: some tokenizers read ▁ as a space.
        added = self.tokenizer.added_tokens_decoder
        return [
            added[token].content if token in added else self.decode([token])
            for token in sorted(self.stop_ids)
        ]

    def _render(
        self,
        messages: Sequence[Message],
        generation_prompt: bool,
        tools: Tools,
        style: "_CallStyle | None" = None,
    ) -> Rendered:
        text = self._chosen.tool_text if tools else self._chosen.text
        tracks = _GENERATION.search(text) is not None and not generation_prompt
        variables: dict[str, Any] = self._names
        template_limits.start(self.origin)
        result: Any = render_jinja_template(
            [[_row(message, style or self._styles[0]) for message in messages]],
            tools=[dict(tool) for tool in tools] or None,
            chat_template=template_limits.stand_in(text),
            return_assistant_tokens_mask=tracks,
            add_generation_prompt=generation_prompt,
            **variables,
        )
        [rendered], spans = result
        return Rendered(rendered, tuple(tuple(span) for span in spans[0]) if tracks else None)

    def _refusal(
        self, messages: Sequence[Message], tools: Tools, problem: Exception, generation_prompt: bool
    ) -> DataError:
        """Why a template refuses a conversation, and what helps."""
        if isinstance(problem, TemplateError):
            reason = f"{self.origin} rejects this conversation: {str(problem).rstrip('.')}."
        else:
            kind = type(problem).__name__
            reason = f"{self.origin} fails on this conversation with {kind}: {str(problem).rstrip('.')}."
        if messages and messages[0].role == "system" and not self.settings.fold_system:
            try:
                self._render(messages[1:], generation_prompt, tools)
            except TEMPLATE_FAULTS:  # it fails without the system message too
                pass
            else:
                remedy = "template.fold_system=true puts the system message before the first user turn."
                return DataError(f"{reason} It takes no system message: {remedy}")
        return DataError(f"{reason} Change the conversation, or set another template with template.file.")

    def _token_id(self, token: str) -> int:
        ids = self.tokenizer(token, add_special_tokens=False)["input_ids"]
        if len(ids) != 1:
            raise ConfigError(
                f"template.stop_tokens: {token!r} is not one token of {self.source} but {len(ids)}. "
                "Name a control token of its tokenizer."
            )
        return int(ids[0])

    def _find_end_of_turn(self) -> str | None:
        """The control token that the template writes directly after an assistant's text.

        Raises ModelError if the template fails on the plainest conversation.
        """
        question, answer = Message("user", _PROBE_QUESTION), Message("assistant", _PROBE_ANSWER)
        try:
            text = self._render((question, answer), False, ()).text
        except TemplateError:  # it may want a system message, tools, or something else
            return None
        except TEMPLATE_FAULTS as error:
            raise ModelError(
                f"{self.source}: {self.origin} fails on a question and its answer with "
                f"{type(error).__name__}: {str(error).rstrip('.')}. "
                "Repair it, or set another with template.file."
            ) from error
        if text.endswith(_PROBE_ANSWER):  # what ends a turn may be the role token of the next one
            try:
                text = self._render((question, answer, question), False, ()).text
            except TEMPLATE_FAULTS:
                return None
        tail = text[text.rfind(_PROBE_ANSWER) + len(_PROBE_ANSWER) :] if _PROBE_ANSWER in text else ""
        added = {token.content for token in self.tokenizer.added_tokens_decoder.values()}
        match = any_of(added | set(self.tokenizer.all_special_tokens)).match(tail.lstrip())
        return match[0] if match is not None else None


def _row(message: Message, style: "_CallStyle") -> dict[str, Any]:
    """A message as templates read it."""
    row = message_to_json(message)
    row.pop("train", None)
    if message.tool_calls and style.text_arguments:
        for call in row["tool_calls"]:
            call["function"]["arguments"] = _json(call["function"]["arguments"])
    if message.tool_calls and style.no_content and not message.content:
        row["content"] = None
    return row


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def shows_calls(messages: Sequence[Message], text: str) -> bool:
    """Whether a rendering has the name and the arguments of every call, and these as JSON."""
    return all(
        call.name in text
        and all(word in text for word in words_of(call.arguments))
        and (not call.arguments or repr(dict(call.arguments)) not in text or _is_json(call.arguments))
        for message in messages
        for call in message.tool_calls
    )


def words_of(value: Any) -> list[str]:
    """The words in the texts and numbers of a JSON value, its keys included."""
    if isinstance(value, Mapping):
        return [word for pair in value.items() for item in pair for word in words_of(item)]
    if isinstance(value, list | tuple):
        return [word for item in value for word in words_of(item)]
    if value is None or isinstance(value, bool):
        return []
    # Letters beyond ASCII may be written as escapes.
    return re.findall(r"[A-Za-z0-9]+", str(value))


def _is_json(arguments: Mapping[str, Any]) -> bool:
    """Whether Python writes the arguments as JSON does."""
    return repr(dict(arguments)) == _json(dict(arguments))


def _article(word: str) -> str:
    return "an" if word == "assistant" else "a"
