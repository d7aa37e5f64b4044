"""How a model encodes conversations, without the model: what worker processes need.

Nothing here imports torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.core.errors import DataError
from fairlead.core.plural import counted
from fairlead.data.records import Message
from fairlead.encoding.chat import (
    Encoded,
    TooLong,
    encode_conversation,
    encode_prompt,
    encode_rows,
    encode_steps,
)
from fairlead.encoding.chat_format import ChatFormat, Tools


@dataclass(frozen=True)
class PolicyEncoder:
    """Rows and prompts of a policy."""

    chat: ChatFormat

    @property
    def settings(self) -> list[str | int | None]:
        """What rows depend on beside the chat format."""
        return []

    def encode(
        self,
        messages: Sequence[Message],
        *,
        num_context: int,
        max_tokens: int | None = None,
        tools: Tools = (),
    ) -> Encoded:
        """Encode a conversation; the assistant turns from message `num_context` on are trained."""
        return encode_conversation(
            self.chat, messages, num_context=num_context, max_tokens=max_tokens, tools=tools
        )

    def encode_rows(
        self,
        messages: Sequence[Message],
        *,
        num_context: int,
        max_tokens: int | None = None,
        tools: Tools = (),
    ) -> list[Encoded]:
        """`encode`, as several rows where the template writes earlier turns differently."""
        return encode_rows(self.chat, messages, num_context=num_context, max_tokens=max_tokens, tools=tools)

    def encode_prompt(self, messages: Sequence[Message], *, tools: Tools = ()) -> tuple[int, ...]:
        """Token ids of a prompt, up to where the answer begins."""
        return encode_prompt(self.chat, messages, tools=tools)


@dataclass(frozen=True)
class RewardEncoder:
    """Rows of a reward model."""

    chat: ChatFormat
    separator: str | None = None  # between the steps of a process reward model
    reads_whole_rendering: bool = False  # for a model from elsewhere
    skipped_padding: int | None = None  # the token that such a model was not read at

    @property
    def settings(self) -> list[str | int | None]:
        """What rows depend on beside the chat format."""
        return [self.separator, self.reads_whole_rendering, self.skipped_padding]

    def encode(
        self, messages: Sequence[Message], *, max_tokens: int | None = None, tools: Tools = ()
    ) -> Encoded:
        """Encode a conversation whose last assistant turn is scored.

        For a process reward model, the mask selects the last token of each step.
        """
        if self.separator is not None:
            return encode_steps(self.chat, messages, self.separator, tools=tools, max_tokens=max_tokens)
        if self.reads_whole_rendering:
            return self._encode_as_trained(messages, tools, max_tokens)
        return encode_conversation(
            self.chat, messages, num_context=len(messages) - 1, max_tokens=max_tokens, tools=tools
        )

    def _encode_as_trained(
        self, messages: Sequence[Message], tools: Tools, max_tokens: int | None
    ) -> Encoded:
        """The rendering up to its last token that is not padding: where transformers reads the score."""
        self.chat.check_texts(messages, tools)
        tokens = self.chat.tokens(self.chat.render(messages, generation_prompt=False, tools=tools))
        while tokens and tokens[-1] == self.skipped_padding:
            tokens.pop()
        if not tokens:
            raise DataError("the chat template writes nothing for this conversation.")
        if max_tokens is not None and len(tokens) > max_tokens:
            raise TooLong(f"the conversation has {counted(len(tokens), 'token')}; at most {max_tokens} fit.")
        return Encoded(tuple(tokens), (False,) * (len(tokens) - 1) + (True,))
