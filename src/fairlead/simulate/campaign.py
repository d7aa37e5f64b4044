"""What a feedback campaign in the toy world produces: demonstrations, prompts to answer, and labelled comparisons.

Each is a pure function of a seed.  Who the people are is in `raters.py`; what they look at is in `world.py`.
"""

from collections.abc import Sequence

from fairlead.core.seed import derive_rng
from fairlead.data.records import Comparison, Demonstration, Message, Prompt
from fairlead.data.sampled_answers import SampledAnswers
from fairlead.simulate import raters, world
from fairlead.simulate.raters import CandidateAnswers, SimulatedRater


def demonstrations(count: int, run_seed: int) -> list[Demonstration]:
    """Answers that careful people wrote; careful is not perfect (`world.CAREFUL`)."""
    found = []
    for task in world.draw_prompts(run_seed, "demonstrations", count, held_out=False):
        answer = world.write_answer(task, world.CAREFUL, derive_rng(run_seed, "writer", task.prompt))
        found.append(
            Demonstration(prompt=(Message("user", task.prompt),), completion=(Message("assistant", answer),))
        )
    return found


def prompts(count: int, run_seed: int, *, purpose: str, held_out: bool) -> list[Prompt]:
    """Different prompts, tagged with their family."""
    tasks = world.draw_prompts(run_seed, purpose, count, held_out=held_out)
    return [Prompt(prompt=(Message("user", task.prompt),), tags=(task.family,)) for task in tasks]


def comparisons(
    answers: Sequence[SampledAnswers], panel: Sequence[SimulatedRater], run_seed: int
) -> list[Comparison]:
    """One judgement for each pair of different, non-empty answers to a prompt."""
    candidates = []
    for row in answers:
        usable = [i for i, text in enumerate(row.texts) if text]
        texts, finished = tuple(row.texts[i] for i in usable), tuple(row.finished[i] for i in usable)
        candidates.append(CandidateAnswers(row.prompt[-1].content, texts, finished))
    return raters.label_pairs(candidates, panel, run_seed=run_seed)
