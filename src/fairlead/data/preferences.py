"""Preferences: comparisons and rankings under one interface, as answers to a prompt with an order.

Reading and writing files is the job of `record_reader` and `record_writer`.  Nothing here needs a model.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from fairlead.core.errors import DataError
from fairlead.core.plural import counted
from fairlead.core.seed import derive_rng
from fairlead.data.records import Comparison, Messages, Ranking, carried, prompt_text

Preference: TypeAlias = Comparison | Ranking


class UsablePreferences(NamedTuple):
    preferences: list[Preference]
    num_ties: int  # rows in which all answers rank equal, whether used or not
    num_unusable: int  # other rows that were left out: weight 0, or none of the requested aspects


def select_usable(
    preferences: Sequence[Preference], source: str, *, ties: bool, aspects: Sequence[str] = ()
) -> UsablePreferences:
    """Select the rows that a reward model can learn from; raises DataError if there are none.

    Without `aspects`, ties count only if `ties` is set.  With `aspects`, a row counts if it judges one of
    them.
    """
    usable: list[Preference] = []
    num_ties = 0
    num_unusable = 0
    for record in preferences:
        is_tie = len(set(ranks_of(record))) == 1
        num_ties += is_tie
        lacks_aspects = bool(aspects) and not any(name in aspects_of(record) for name in aspects)
        if weight_of(record) == 0 or lacks_aspects:
            num_unusable += not is_tie
        elif aspects or not is_tie or (ties and isinstance(record, Comparison)):
            usable.append(record)
    if num_ties == len(preferences) and not usable:
        raise DataError(
            f"{source}: all {counted(len(preferences), 'row')} are ties, so there is nothing to learn. "
            "Add comparisons with a preferred answer."
        )
    if not usable:
        why = f"none judges {', '.join(aspects)}" if aspects else "each is a tie or has weight 0"
        raise DataError(
            f"{source}: none of its {counted(len(preferences), 'row')} can be used for training: {why}."
        )
    return UsablePreferences(usable, num_ties, num_unusable)


def left_out(preferences: Sequence[Preference], usable: UsablePreferences) -> dict[str, int]:
    """Reason -> number of the rows that `select_usable` left out."""
    num_ties = len(preferences) - len(usable.preferences) - usable.num_unusable
    return {"ties": num_ties, "rows of no use": usable.num_unusable}


def require_preference(held_out: Sequence[Preference], source: str) -> None:
    """Raise DataError if all held-out rows are ties: accuracy needs pairs with a better answer."""
    if not pairs_of(held_out):
        raise DataError(
            f"{source}: all {len(held_out)} held-out rows are ties, so there is nothing to test on. "
            "Change held_out or the seed."
        )


def ranks_of(record: Preference) -> tuple[int, ...]:
    """Dense ranks: 1 for the best answer, then 2, and so on; equal for ties.

    Ranks (3, 7, 7) become (1, 2, 2).
    """
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


def pairs_of(preferences: Sequence[Preference]) -> list[Comparison]:
    """All pairs of answers that are not tied, as comparisons.  The pairs of one ranking are consecutive."""
    pairs: list[Comparison] = []
    for record in preferences:
        if isinstance(record, Comparison):
            pairs += [record] if record.tie is None else []
        else:
            answers = record.completions
            ranks = ranks_of(record)
            better = [(i, j) for i in range(len(ranks)) for j in range(len(ranks)) if ranks[i] < ranks[j]]
            columns = carried(record)
            pairs += [Comparison(record.prompt, answers[i], answers[j], **columns) for i, j in better]
    return pairs


def bootstrap_counts(preferences: Sequence[Preference], *, run_seed: int, member: int) -> list[int]:
    """How often each row counts for one member of an ensemble.  [rows]

    Member 0 trains on every row once.  Other members draw as many prompts as there are, with replacement, and
    a row counts as often as its prompt was drawn.  Whole prompts are drawn because rows of one prompt are
    dependent.
    """
    prompts = [prompt_text(record) for record in preferences]
    if member == 0:
        return [1] * len(prompts)
    unique = sorted(set(prompts))
    times = Counter(derive_rng(run_seed, "bootstrap", member).choices(unique, k=len(unique)))
    return [times[prompt] for prompt in prompts]
