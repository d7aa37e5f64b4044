"""Data of a simulated labelling campaign in the toy world: demonstrations, prompts and labelled comparisons.

Each function is a pure function of its seed.  `raters` simulates the raters, and `world` draws the prompts.
"""

from collections.abc import Sequence

from fairlead.core.seed import derive_rng
from fairlead.data.records import Comparison, Demonstration, Message, Prompt
from fairlead.data.sampled_answers import SampledAnswers
from fairlead.simulate import answer_writer, raters, world
from fairlead.simulate.raters import CandidateAnswers, SimulatedRater


def demonstrations(count: int, run_seed: int) -> list[Demonstration]:
    """Demonstrations by careful but imperfect writers (`answer_writer.CAREFUL`)."""
    written = []
    for toy_prompt in world.draw_prompts(run_seed, "demonstrations", count, held_out=False):
        answer = answer_writer.write_answer(
            toy_prompt, answer_writer.CAREFUL, derive_rng(run_seed, "writer", toy_prompt.text)
        )
        written.append(
            Demonstration(
                prompt=(Message("user", toy_prompt.text),), completion=(Message("assistant", answer),)
            )
        )
    return written


def prompts(count: int, run_seed: int, *, purpose: str, held_out: bool) -> list[Prompt]:
    """Distinct prompts, tagged with their family."""
    toy_prompts = world.draw_prompts(run_seed, purpose, count, held_out=held_out)
    return [
        Prompt(prompt=(Message("user", toy_prompt.text),), tags=(toy_prompt.family,))
        for toy_prompt in toy_prompts
    ]


def comparisons(
    answers: Sequence[SampledAnswers], panel: Sequence[SimulatedRater], run_seed: int
) -> list[Comparison]:
    """One comparison for each pair of different, non-empty answers to a prompt."""
    candidates = []
    for row in answers:
        usable = [i for i, text in enumerate(row.texts) if text]
        texts = tuple(row.texts[i] for i in usable)
        finished = tuple(row.finished[i] for i in usable)
        candidates.append(CandidateAnswers(row.prompt[-1].content, texts, finished))
    return raters.label_pairs(candidates, panel, run_seed=run_seed)
