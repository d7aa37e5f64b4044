"""A text with its tokens, from which the tokens of its beginnings follow without tokenising them again.

A tokenizer first cuts a text at its added tokens, and then tokenises each piece on its own.  Up to an added
token, the tokens of a text are therefore those of any text with the same beginning.  After it, only the rest
of the beginning has to be tokenised: usually the name of a role, which is the same in every conversation.

An added token counts only where the tokenizer itself has put its id on those characters.  The first texts of
every tokenizer are also tokenised plainly; if one differs, all texts are.
"""

import re
from dataclasses import dataclass

from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

Offsets = list[tuple[int, int]]  # the characters that each token covers

_SEARCHED = 200  # characters before the end of a beginning in which an added token is looked for
_NUM_CHECKED = 8  # texts, and beginnings, of a tokenizer that are compared with plain tokenisation
_MAX_STORED = 1000  # rests of beginnings whose tokens are kept
_LONGEST_STORED = 64  # characters of such a rest; a longer one is a message, which will not occur again


class TextTokenizer:
    """A tokenizer, and what is known about the beginnings of its texts."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, controls: re.Pattern[str]) -> None:
        """`controls` finds the added tokens that templates write between messages."""
        self.tokenizer = tokenizer
        self.controls = controls
        # Whether a token of `single_word` or `normalized` cuts a text may depend on the text around it.
        can_cut = tokenizer.is_fast and not tokenizer.split_special_tokens
        self.cutting = {
            token.content: token_id
            for token_id, token in (tokenizer.added_tokens_decoder.items() if can_cut else ())
            if not token.single_word and not token.normalized and token.content.strip() == token.content
        }
        self.rests: dict[str, list[int]] = {}  # added token and rest of a beginning -> tokens of the rest
        self.num_checked = self.num_beginnings_checked = 0

    def tokens(self, text: str) -> list[int]:
        """Token ids of a text; no BOS is added."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def tokens_and_offsets(self, text: str, *, with_offsets: bool) -> tuple[list[int], Offsets]:
        """Token ids, and the characters that they cover if asked for."""
        if not with_offsets:
            return self.tokens(text), []
        encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return list(encoding["input_ids"]), list(encoding["offset_mapping"])

    def encoding(self, text: str) -> Encoding | None:
        """The tokens as the library has them; None if beginnings cannot be told from them."""
        if not self.cutting:
            return None
        backend = self.tokenizer.backend_tokenizer
        if backend.truncation is not None or backend.padding is not None:
            self.tokens("")  # transformers switches both off
        encoding: Encoding = backend.encode(text, add_special_tokens=False)
        if self.num_checked < _NUM_CHECKED:
            self.num_checked += 1
            if encoding.ids != self.tokens(text):
                self.cutting = {}
                return None
        return encoding


class TokenizedText:
    """A text, its tokens and those of its beginnings."""

    def __init__(self, tokenizer: TextTokenizer, text: str) -> None:
        self.text = text
        self._tokenizer = tokenizer
        self._encoding = tokenizer.encoding(text)
        self.tokens = tokenizer.tokens(text) if self._encoding is None else self._encoding.ids

    def offsets(self, start: int, end: int) -> Offsets:
        """The characters that the tokens from `start` to `end` cover."""
        if self._encoding is None:
            return self._tokenizer.tokens_and_offsets(self.text, with_offsets=True)[1][start:end]
        return list(self._encoding.offsets[start:end])

    def num_tokens_of(self, size: int) -> int | None:
        """Number of tokens of the first `size` characters; None if no added token ends there."""
        if size == len(self.text):
            return len(self.tokens)
        last = self._last_added(size)
        return None if last is None or last.end != size else last.index + 1

    def tokens_of(self, size: int) -> list[int]:
        """The tokens of the first `size` characters."""
        last = self._last_added(size)
        rest = None if last is None else self._rest(last, size)
        if last is None or rest is None:
            return self._tokenizer.tokens(self.text[:size])
        tokens = self.tokens[: last.index + 1] + rest
        if self._tokenizer.num_beginnings_checked < _NUM_CHECKED:
            self._tokenizer.num_beginnings_checked += 1
            plain = self._tokenizer.tokens(self.text[:size])
            if tokens != plain:
                self._tokenizer.cutting = {}
            return plain
        return tokens

    def _last_added(self, size: int) -> "_Added | None":
        """The last added token within the first `size` characters, if the text is cut there."""
        if self._encoding is None:
            return None
        controls = self._tokenizer.controls.finditer(self.text, max(0, size - _SEARCHED), size)
        start, end = max((match.span() for match in controls), default=(0, 0))
        token_id = self._tokenizer.cutting.get(self.text[start:end])
        index = self._encoding.char_to_token(start)
        if token_id is None or index is None or self.tokens[index] != token_id:
            return None
        covered = self._encoding.token_to_chars(index)
        # An added token may take white space at its sides with it.
        is_cut = covered is not None and covered[0] <= start and covered[1] >= end
        return _Added(start, end, index) if is_cut else None

    def _rest(self, last: "_Added", size: int) -> list[int] | None:
        """The tokens of the characters from an added token to `size`; None if the token is not cut there."""
        if last.end == size:
            return []
        text = self.text[last.start : size]
        stored = self._tokenizer.rests
        if (rest := stored.get(text)) is not None:
            return rest
        encoding = self._tokenizer.encoding(text)
        if encoding is None or encoding.ids[:1] != [self.tokens[last.index]]:
            return None
        rest = encoding.ids[1:]
        if len(text) <= _LONGEST_STORED and len(stored) < _MAX_STORED:
            stored[text] = rest
        return rest


@dataclass(frozen=True, slots=True)
class _Added:
    start: int  # first character
    end: int
    index: int  # of its token
