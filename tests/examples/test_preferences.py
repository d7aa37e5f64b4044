"""Comparisons and rankings with encoded answers, and the scores that a reward model gives them."""

from pathlib import Path

import pytest
import torch

from fairlead.data.preferences import Preference
from fairlead.data.records import Comparison, Ranking
from fairlead.encoding.chat import Encoded
from fairlead.encoding.record_rows import encode_preference
from fairlead.examples import preferences
from fairlead.examples.preferences import EncodedPreference, ScoredPreferences
from fairlead.model.reward_model import new_reward_model
from fairlead.model.scalar_model import ScalarModel
from fakes import assistant, chat_format, save_model, user

PROMPT = (user("What is it?"),)
GOOD = (assistant("It is 4."),)
BAD = (assistant("The sky is blue, and the grass is green."),)
OTHER = (assistant("Yes."),)
COMPARISON = Comparison(PROMPT, GOOD, BAD)
RANKING = Ranking(PROMPT, (BAD, GOOD, OTHER), (7, 2, 7))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ScalarModel:
    folder: Path = tmp_path_factory.mktemp("base")
    return new_reward_model(str(save_model(folder)), run_seed=0)


def encode(model: ScalarModel, *records: Preference) -> list[EncodedPreference]:
    return [EncodedPreference(record, encode_preference(model, record, None)) for record in records]


def scored(
    records: list[Preference], totals: list[list[float]], lengths: list[list[int]]
) -> ScoredPreferences:
    """Planted totals of answers with these numbers of tokens."""
    items = [
        EncodedPreference(
            record, tuple(Encoded((1,) * (n + 2), (False,) * 2 + (True,) * n) for n in of_record)
        )
        for record, of_record in zip(records, lengths, strict=True)
    ]
    width = max(map(len, totals))
    values = torch.tensor([row + [0.0] * (width - len(row)) for row in totals])
    present = torch.tensor([[k < len(row) for k in range(width)] for row in totals])
    return ScoredPreferences(items, values[:, :, None], values, present)


def test_each_answer_is_encoded_behind_the_prompt(model: ScalarModel) -> None:
    group = encode_preference(model, RANKING, None)
    assert group == tuple(model.encode(PROMPT + answer) for answer in (BAD, GOOD, OTHER))


def test_absent_answers_have_rank_and_length_zero() -> None:
    planted = scored([COMPARISON, RANKING], [[1.0, 0.0], [0.0, 2.0, 1.0]], [[3, 5], [5, 3, 1]])
    assert planted.ranks.tolist() == [[1, 2, 0], [2, 1, 2]]
    assert planted.lengths.tolist() == [[3, 5, 0], [5, 3, 1]]


def test_accuracy_and_pairs_by_hand() -> None:
    # The ranking has two pairs without a tie: (GOOD, BAD) is ordered correctly, (GOOD, OTHER) is not.
    planted = scored([COMPARISON, RANKING], [[1.0, 0.0], [0.0, 2.0, 3.0]], [[1, 1], [1, 1, 1]])
    accuracy, has_pairs = planted.ordered_accuracy()
    assert accuracy.tolist() == [1.0, 0.5] and has_pairs.tolist() == [True, True]
    assert planted.pair_totals() == ([1.0, 2.0, 2.0], [0.0, 0.0, 3.0])


def test_present_values_list_first_answers_first() -> None:
    planted = scored([COMPARISON, RANKING], [[1.0, 2.0], [3.0, 4.0, 5.0]], [[1, 1], [1, 1, 1]])
    assert planted.present_values(planted.totals).tolist() == [1.0, 3.0, 2.0, 4.0, 5.0]


def test_aspect_values_by_hand() -> None:
    judged = Comparison(PROMPT, GOOD, BAD, aspects={"kind": -0.5, "true": 1.0})
    values, present = preferences.aspect_values([judged, COMPARISON], ["true", "kind"], torch.device("cpu"))
    assert values.tolist() == [[1.0, -0.5], [0.0, 0.0]]
    assert present.tolist() == [[True, True], [False, False]]


@torch.no_grad()
def test_scores_are_those_of_each_conversation_alone(model: ScalarModel) -> None:
    items = encode(model, COMPARISON, RANKING)
    result = preferences.score_preferences(model, items)
    expected = {
        answer: model.network(torch.tensor([model.encode(PROMPT + answer).tokens])).logits.item()
        for answer in (GOOD, BAD, OTHER)
    }
    assert len(set(expected.values())) == 3
    rows = [[expected[GOOD], expected[BAD], 0.0], [expected[BAD], expected[GOOD], expected[OTHER]]]
    torch.testing.assert_close(result.totals, torch.tensor(rows), atol=1e-5, rtol=1e-5)
    assert result.present.tolist() == [[True, True, False], [True, True, True]]
    conversations = [PROMPT + answer for answer in (GOOD, BAD, OTHER)]
    alone = preferences.score_conversations(model, conversations, 64)
    assert alone == pytest.approx([expected[GOOD], expected[BAD], expected[OTHER]], abs=1e-5)


def test_a_conversation_is_scored_with_its_tools(model: ScalarModel) -> None:
    model.chat = chat_format(
        "{% for tool in tools or [] %}{{ tool.function.name }} {% endfor %}"
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    tools = ({"type": "function", "function": {"name": "lantern"}},)
    first, second = preferences.score_conversations(model, [PROMPT + GOOD] * 2, 256, [tools, ()])
    with torch.no_grad():
        tokens = model.encode(PROMPT + GOOD, tools=tools).tokens
        assert first == pytest.approx(model.network(torch.tensor([tokens])).logits.item(), abs=1e-5)
    assert first != second


def test_micro_batches_split_no_preference_and_change_no_score(model: ScalarModel) -> None:
    records: list[Preference] = [COMPARISON, RANKING]
    items = encode(model, *records * 3)
    parts = preferences.micro_preferences(model, items, 60)
    assert len(parts) > 1 and sorted(i for part in parts for i in part) == list(range(6))
    with torch.no_grad():
        at_once = preferences.score_preferences(model, items)
    in_parts = preferences.score_all(model, items, 60)
    assert not in_parts.totals.requires_grad
    torch.testing.assert_close(in_parts.totals, at_once.totals, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(in_parts.heads, at_once.heads, atol=1e-5, rtol=1e-5)
    assert torch.equal(in_parts.present, at_once.present)
