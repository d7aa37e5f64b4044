"""A language model behind an OpenAI-compatible endpoint as a judge: it scores answers and compares pairs.

Replies are stored in the folder of the run under a digest of the judge and of the texts.  A repeated answer
is not paid twice, and a resumed run gets the same scores for the same answers.

    judge_replies.jsonl    {"key": "sha256:...", "value": 7.0, "reply": "{\\"score\\": 7}"}
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fairlead.core import digest, jsonl
from fairlead.core.chat_client import Endpoint, Reply, complete_all
from fairlead.core.errors import ConfigError
from fairlead.data.records import Prompt, to_row
from fairlead.rollout.judge_file import JudgeFile, open_endpoint, read_judge_file
from fairlead.rollout.judge_prompts import (
    ChatMessages,
    Reading,
    pair_request,
    read_choice,
    read_score,
    score_request,
)
from fairlead.rollout.readable import Reward, Scores
from fairlead.rollout.records import Answer
from fairlead.stats.pairwise import Preference
from fairlead.store.metrics import drop_unfinished_line
from fairlead.store.name_conflicts import JUDGE_REPLIES
from fairlead.store.run import Run
from fairlead.train.settings import Scoring

NUM_TRIALS = 4  # prompts that are tried before the first step
TRIAL_ANSWER = "Yes."
LONGEST_STORED = 500  # characters of a reply


class Pair(NamedTuple):
    """Two answers to one prompt."""

    row: Prompt
    a: str
    b: str


class Verdict(NamedTuple):
    """What the judge preferred when A's answer was shown first, and when B's was; None: unreadable."""

    a_first: Preference | None
    b_first: Preference | None
    problem: str = ""  # why a reply could not be read


class _Question(NamedTuple):
    key: str  # digest of the judge and of the texts
    messages: Callable[[], ChatMessages]  # of a request, with a new code


@dataclass
class LlmJudge:
    name: str  # what messages call it
    file: JudgeFile
    digest: str  # of its file
    endpoint: Endpoint
    run: Run
    readings: dict[str, Reading] = field(default_factory=dict)  # key of a question -> what the reply says

    def scores(self, answers: Sequence[Answer], *, keep: bool = True) -> list[Reading]:
        """The score of each answer.  Without `keep`, replies are not stored."""
        questions = [self._question("score", score_request, answer.row, answer.text) for answer in answers]
        return self._ask(questions, lambda reply: read_score(self.file, reply), keep=keep)

    def verdicts(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """The preference in each pair, asked in both orders."""
        questions = [
            self._question("pair", pair_request, pair.row, first, second)
            for pair in pairs
            for first, second in ((pair.a, pair.b), (pair.b, pair.a))
        ]
        readings = self._ask(questions, read_choice, keep=True)
        verdicts = []
        for a_first, b_first in zip(readings[::2], readings[1::2], strict=True):
            shown_a = _preference(a_first.value, "a", "b")
            shown_b = _preference(b_first.value, "b", "a")
            verdicts.append(Verdict(shown_a, shown_b, a_first.problem or b_first.problem))
        return verdicts

    def require_readable_scores(self, rows: Sequence[Prompt]) -> None:
        """Try the first prompts.  Raises ConfigError if the judge gives no score for any of them."""
        trials = [Answer(row, TRIAL_ANSWER, finished=True) for row in rows[:NUM_TRIALS]]
        readings = self.scores(trials, keep=False)
        self.require_any([reading.problem for reading in readings])

    def require_any(self, problems: Sequence[str]) -> None:
        """Raise ConfigError if every reply had a problem."""
        if problems and all(problems):
            raise ConfigError(
                f"{self.name}: no reply of {self.file.model} to the first {len(problems)} requests can be "
                f"read ({problems[0]}). Correct the rubric or max_tokens, or take another model."
            )

    def _question(
        self, kind: str, request: Callable[..., ChatMessages], row: Prompt, *texts: str
    ) -> _Question:
        seen = [self.digest, kind, to_row(row), list(texts)]
        text = json.dumps(seen, sort_keys=True, default=str)  # escaped: a text may hold half a surrogate pair
        return _Question(digest.of_bytes(text.encode("ascii")), partial(request, self.file, row, *texts))

    def _ask(
        self, questions: Sequence[_Question], parse: Callable[[str], Reading], *, keep: bool
    ) -> list[Reading]:
        new = {question.key: question for question in questions if question.key not in self.readings}
        keys = list(new)
        readings: dict[str, Reading] = {}

        def receive(number: int, reply: Reply) -> None:
            reading = Reading(None, reply.problem) if reply.problem else parse(reply.text)
            readings[keys[number]] = reading
            if keep:
                self._store(keys[number], reading, reply.text)

        complete_all(
            self.endpoint,
            [self.file.body(question.messages()) for question in new.values()],
            limits=self.file.limits,
            stop=self.run.stop,
            on_reply=receive,
        )
        known = self.readings | readings
        return [known[question.key] for question in questions]

    def _store(self, key: str, reading: Reading, text: str) -> None:
        """Without fsync: a lost reply is asked for again."""
        self.readings[key] = reading
        row: dict[str, Any] = {"key": key, "value": reading.value, "reply": text[:LONGEST_STORED]}
        if reading.problem:
            row["problem"] = reading.problem
        with open(self.run.folder / JUDGE_REPLIES, "ab") as file:
            file.write((jsonl.dumps(row) + "\n").encode("utf-8"))


def open_llm_judge(run: Run, role: str, *, name: str) -> LlmJudge:
    """The judge in one role of a run, with the replies of the run so far.  The run records who it is."""
    source = run.inputs[role]
    assert source.location is not None, f"{role} = {source.ref} has no file"
    file = read_judge_file(source.location)
    endpoint = open_endpoint(file, name=name)
    run.record_judge(role, url=endpoint.url, model=file.model)
    return LlmJudge(name, file, source.digest, endpoint, run, _stored_readings(run.folder / JUDGE_REPLIES))


def llm_reward(judge: LlmJudge, scoring: Scoring) -> Reward:
    """The judge's score, on its own scale; the stated one for a reply that cannot be read."""

    def score(answers: Sequence[Answer]) -> Scores:
        readings = judge.scores(answers)
        values = [
            float(reading.value) if isinstance(reading.value, float) else scoring.unreadable_score
            for reading in readings
        ]
        unreadable = torch.tensor([reading.value is None for reading in readings])
        problem = next((reading.problem for reading in readings if reading.problem), "")
        return Scores(torch.tensor(values, dtype=torch.float32), unreadable, problem)

    return score


def _stored_readings(path: Path) -> dict[str, Reading]:
    if not path.exists():
        return {}
    drop_unfinished_line(path)  # of a killed process
    return {row["key"]: Reading(row["value"], row.get("problem", "")) for _, row in jsonl.read(path)}


def _preference(
    choice: float | str | None, shown_as_a: Preference, shown_as_b: Preference
) -> Preference | None:
    choices: dict[float | str | None, Preference] = {"A": shown_as_a, "B": shown_as_b, "tie": "tie"}
    return choices.get(choice)
