"""What a reward model can read: prompts are tried before the first step, answers get a stated score.

A reward model may have a shorter context than the policy, another chat template and other control tokens.  A
prompt that it cannot read would be a wasted prompt in every epoch, so it is refused or left out before the
first step.  An answer that it cannot read is the policy's doing and never ends a run: it gets
`scoring.unreadable_score`, is counted, and is announced once.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fairlead.core.errors import DataError, ModelError
from fairlead.core.plural import counted
from fairlead.core.spelling import Spelling
from fairlead.data.records import Message, Messages, Prompt
from fairlead.encoding.chat import Encoded
from fairlead.encoding.chat_format import Tools
from fairlead.model.scalar_model import ScalarModel
from fairlead.rollout.records import Answer
from fairlead.store.run import Run
from fairlead.train.settings import Scoring

UNREADABLE = "prompts that a judge cannot read"  # key of `left_out`
NUM_SHOWN = 3  # prompts in an error or a warning
# The second is for templates whose prompt opens a reasoning, which an answer has to close.
TRIAL_ANSWERS = ("Yes.", "So.\n</think>\n\nYes.")
# A sampled answer can have this many times its tokens when its text is encoded again, perhaps by another
# tokenizer.
LONGER_AGAIN = 2


class Scores(NamedTuple):
    """Scores of N answers by one judge."""

    values: Tensor  # [N] on the CPU
    unreadable: Tensor  # [N] bool: answers that the judge could not read, which have the stated score
    problem: str = ""  # why the first of them could not be read


# The answers of a step -> their scores.
Reward = Callable[[Sequence[Answer]], Scores]


def all_readable(values: Tensor) -> Scores:
    return Scores(values, torch.zeros(values.shape, dtype=torch.bool))


def read(model: ScalarModel, prompt: Messages, text: str, tools: Tools = ()) -> Encoded | str:
    """The conversation as the model reads it, or why it cannot."""
    messages = (*prompt, Message("assistant", text))
    try:
        return model.encode(messages, max_tokens=model.context, tools=tools)
    except (DataError, ModelError) as error:
        return str(error)


def read_trial(model: ScalarModel, row: Prompt) -> Encoded | str:
    """The prompt with an answer that the model can read, or why it cannot read the first."""
    rows = [read(model, row.prompt, text, row.tools) for text in TRIAL_ANSWERS]
    return next((row for row in rows if not isinstance(row, str)), rows[0])


class PromptTrial:
    """Tries the prompts of a run against its reward models, before the first step."""

    def __init__(
        self,
        rows: Sequence[Prompt],
        *,
        max_new_tokens: int,
        scoring: Scoring,
        source: str,
        numbers: Sequence[int] | None = None,
        drops_long: bool = False,
    ) -> None:
        """`numbers` are the rows of the prompts in `source`, counted from 1.

        With `drops_long`, as `too_long=drop` asks, prompts that a judge cannot read are left out too.
        """
        self._drops = drops_long or scoring.unreadable_prompts == "drop"
        self.rows = rows
        self._max_new_tokens = max_new_tokens
        self._scoring = scoring
        self._source = source
        self._numbers = numbers or range(1, len(rows) + 1)
        self._problems: dict[int, str] = {}  # index of a prompt -> the first problem
        self._judges: dict[str, None] = {}  # with problems, in order
        self._long: Counter[tuple[str, int]] = Counter()  # judge and context -> prompts with little room

    def try_model(self, judge: str, model: ScalarModel) -> list[Prompt]:
        """The prompts that the model can read; the others are remembered.  `judge` names it in messages."""
        readable = []
        for index, row in enumerate(self.rows):
            encoded = read_trial(model, row)
            if isinstance(encoded, str):
                self._problems.setdefault(index, encoded)
                self._judges[judge] = None
                continue
            readable.append(row)
            if (
                model.context is not None
                and len(encoded) + LONGER_AGAIN * self._max_new_tokens > model.context
            ):
                self._long[judge, model.context] += 1
        return readable

    def require_references(self, judge: str) -> None:
        """Remember the rows without a reference, with which the judge compares answers."""
        for index, row in enumerate(self.rows):
            if not (row.reference or "").strip():
                self._problems.setdefault(index, f"has no reference, with which {judge} compares")
                self._judges[judge] = None

    def finish(self, run: Run) -> list[int]:
        """The indices of the prompts that every judge can read.

        Raises DataError if there are others and they are not to be left out.
        """
        for (judge, context), count in self._long.items():
            score = f"unreadable_score = {self._scoring.unreadable_score:g}"
            run.warn(
                f"{judge}: {count} of {counted(len(self.rows), 'prompt')} and max_new_tokens = "
                f"{self._max_new_tokens} may pass its context of {context} tokens. An answer that does "
                f"scores {score}. Lower max_new_tokens, or take a judge with a longer context."
            )
        kept = self.require_readable(run.spelling)
        if self._problems:
            run.event("unreadable prompts", dropped=len(self._problems), of=len(self.rows))
            run.record_data({UNREADABLE: len(self._problems)}, prompts=len(kept))
            run.warn(f"{self._what_is_wrong()}. They are left out.")
        return kept

    def require_readable(self, spelling: Spelling) -> list[int]:
        """The indices of the prompts that every judge can read.

        Raises DataError if there are others and they are not to be left out.
        """
        kept = [index for index in range(len(self.rows)) if index not in self._problems]
        if not self._problems or (self._drops and kept):
            return kept
        remedy = "Correct the prompts"
        if kept:
            # The option of the commands that have one leaves both out.
            key = "too_long" if spelling.with_options else "unreadable_prompts"
            remedy = f"{spelling.use(key, 'drop')} to leave them out"
        raise DataError(f"{self._what_is_wrong()}. {remedy}, or take another judge.")

    def _what_is_wrong(self) -> str:
        shown = [
            f"row {self._numbers[index]}: {problem.rstrip('.')}"
            for index, problem in list(self._problems.items())[:NUM_SHOWN]
        ]
        shown += ["..."] if len(self._problems) > NUM_SHOWN else []
        return (
            f"{self._source}: {' and '.join(self._judges)} cannot read {len(self._problems)} of "
            f"{counted(len(self.rows), 'prompt')} ({'; '.join(shown)})"
        )


def announced(run: Run, judge: str, reward: Reward, scoring: Scoring) -> Reward:
    """The same reward; the first time that it cannot read an answer, the run says so."""
    has_warned = False

    def score(answers: Sequence[Answer]) -> Scores:
        nonlocal has_warned
        scores = reward(answers)
        if scores.problem and not has_warned:
            has_warned = True
            run.warn(
                f"{judge}: cannot read {int(scores.unreadable.sum())} of {counted(len(answers), 'answer')} "
                f"({scores.problem.rstrip('.')}). Such answers score unreadable_score = "
                f"{scoring.unreadable_score:g} and are counted."
            )
        return scores

    return score
