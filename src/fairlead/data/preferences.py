"""Comparisons and rankings as one thing: answers to a prompt, of which some are better than others.  No model is needed here."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from fairlead.core.errors import DataError
from fairlead.core.seed import derive_rng
from fairlead.data.records import Comparison, Messages, Ranking, prompt_text

Preference: TypeAlias = Comparison | Ranking


class UsablePreferences(NamedTuple):
    judgements: list[Preference]
    num_ties: int  # rows in which no answer is better than another, used or not
    num_no_use: int  # rows that nothing can be learned from: of weight 0, or without any of the aspects


def select_usable(
    judgements: Sequence[Preference], source: str, *, ties: bool, aspects: Sequence[str] = ()
) -> UsablePreferences:
    """What a reward model can learn from; with `aspects`, only their judgements count.  Nothing at all is a DataError."""
    found: list[Preference] = []
    num_ties = num_no_use = 0
    for record in judgements:
        is_tie = len(set(ranks_of(record))) == 1
        num_ties += is_tie
        if weight_of(record) == 0 or (aspects and not any(name in aspects_of(record) for name in aspects)):
            num_no_use += not is_tie
        elif aspects or not is_tie or (ties and isinstance(record, Comparison)):
            found.append(record)
    if num_ties == len(judgements) and not found:
        raise DataError(
            f"{source}: all {len(judgements)} comparisons are ties; nothing can be learned from them here."
        )
    if not found:
        why = f"none judges {', '.join(aspects)}" if aspects else "their weight is 0, or they are ties"
        raise DataError(f"{source}: nothing can be learned from its {len(judgements)} rows: {why}.")
    return UsablePreferences(found, num_ties, num_no_use)


def require_preference(held_out: Sequence[Preference], source: str) -> None:
    """Evidence needs answers of which one is better; a held-out side without any is a DataError."""
    if not pairs_of(held_out):
        raise DataError(
            f"{source}: all {len(held_out)} held-out rows are ties, so there is nothing to test on. Change held_out or the seed."
        )


def ranks_of(record: Preference) -> tuple[int, ...]:
    """1 for the best answer, then 2, and so on; equal for a tie.  Example: ranks (3, 7, 7) of a row are 1, 2, 2."""
    if isinstance(record, Comparison):
        return (1, 2) if record.tie is None else (1, 1)
    order = sorted(set(record.ranks))
    return tuple(order.index(rank) + 1 for rank in record.ranks)


def answers_of(record: Preference) -> tuple[Messages, ...]:
    return (record.chosen, record.rejected) if isinstance(record, Comparison) else record.completions


def weight_of(record: Preference) -> float:
    return record.weight if isinstance(record, Comparison) else 1.0


def rater_of(record: Preference) -> str | None:
    return record.rater if isinstance(record, Comparison) else None


def aspects_of(record: Preference) -> dict[str, float]:
    return dict(record.aspects or {}) if isinstance(record, Comparison) else {}


def pairs_of(judgements: Sequence[Preference]) -> list[Comparison]:
    """Every pair of answers that is not a tie, as a comparison; those of a judgement stand together."""
    found: list[Comparison] = []
    for record in judgements:
        if isinstance(record, Comparison):
            found += [record] if record.tie is None else []
        else:
            answers, order = record.completions, ranks_of(record)
            better = [(i, j) for i in range(len(order)) for j in range(len(order)) if order[i] < order[j]]
            found += [Comparison(record.prompt, answers[i], answers[j]) for i, j in better]
    return found


def bootstrap_counts(judgements: Sequence[Preference], *, run_seed: int, member: int) -> list[int]:
    """How often each counts for a member of an ensemble: as often as its prompt came up in as many draws as there are prompts.

    Member 0 sees every row once.  Whole prompts are drawn, because rows of one prompt are no independent evidence.
    """
    prompts = [prompt_text(record) for record in judgements]
    if member == 0:
        return [1] * len(prompts)
    different = sorted(set(prompts))
    times = Counter(derive_rng(run_seed, "bootstrap", member).choices(different, k=len(different)))
    return [times[prompt] for prompt in prompts]
