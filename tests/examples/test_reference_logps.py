from pathlib import Path

import pytest
import torch
from torch import Tensor

from fairlead.encoding.batching import collate
from fairlead.encoding.chat import Encoded
from fairlead.encoding.record_rows import SingleOrPair
from fairlead.examples.pairs import answer_logps, pair_token_counts
from fairlead.examples.reference_logps import (
    all_answer_logps,
    all_pair_logps,
    answer_offsets,
)
from fairlead.model.policy import Policy
from fakes import policy, turns


@pytest.fixture
def speaker(tmp_path: Path) -> Policy:
    return policy(tmp_path / "base")


def encoded(speaker: Policy, asked: str, answered: str) -> Encoded:
    return speaker.encode(turns(asked, answered), num_context=1)


def by_hand(speaker: Policy, row: Encoded) -> float:
    """Alone, from the logits of every token, summed over the answer."""
    with torch.no_grad():
        logps = speaker.network(torch.tensor([row.tokens])).logits[0].log_softmax(-1)
    return float(sum(logps[t - 1, row.tokens[t]].item() for t in range(1, len(row)) if row.trained[t]))


def mix(speaker: Policy) -> list[SingleOrPair]:
    found: list[SingleOrPair] = []
    for i in range(6):
        short, long = (
            encoded(speaker, f"Say {i}." + " Please." * i, "It is. " * n) for n in (1 + i % 3, 5 - i % 4)
        )
        found.append(((short,), (long,)) if i % 2 else ((long,),))
    return found


@pytest.mark.parametrize("budget", [1, 90, 100_000])
def test_answers_of_a_mix_stand_one_item_after_the_other(speaker: Policy, budget: int) -> None:
    items = mix(speaker)
    assert answer_offsets(items) == [0, 1, 3, 4, 6, 7]
    found: Tensor = all_answer_logps(speaker, items, budget)
    expected = [by_hand(speaker, row) for item in items for [row] in item]
    assert found.tolist() == pytest.approx(expected, abs=1e-3)  # of order 100
    assert len({round(value, 2) for value in expected}) == 9


def test_pairs_and_single_answers_say_the_same(speaker: Policy) -> None:
    pairs = [item for item in mix(speaker) if len(item) == 2]
    found = all_pair_logps(speaker, pairs, 90)
    flat = answer_logps(speaker, [answer for pair in pairs for answer in pair])
    assert torch.stack(list(found), dim=1).flatten().tolist() == pytest.approx(flat.tolist(), abs=1e-3)


def test_tokens_are_counted_where_there_is_a_log_probability(speaker: Policy) -> None:
    chosen, rejected = (
        encoded(speaker, "Say it.", "It is."),
        encoded(speaker, "Say it.", "It is. It is. It is."),
    )
    tokens = pair_token_counts(speaker, [((chosen,), (rejected,))])
    with torch.no_grad():
        counts = [
            int((speaker.token_logps(batch) != 0).sum())
            for batch in (collate([row], pad_id=speaker.pad_id) for row in (chosen, rejected))
        ]
    assert [tokens.chosen.item(), tokens.rejected.item()] == counts
    assert 0 < counts[0] < counts[1]
