from pathlib import Path

import pytest
import torch
from pytest import approx

from fairlead.core.errors import ConfigError
from fairlead.encoding.batching import collate
from fairlead.model.reward_config import StepSettings
from fairlead.model.reward_model import load_reward_model, new_reward_model
from fairlead.rollout.rewards import is_rule, open_reward
from fakes import answers, save_model, turns

PROMPTS = [turns("What is 3 plus 4?"), turns("What is 3 plus 4?"), turns("One?", "Yes.", "What is 5 plus 6?")]
ANSWERS = ["The answer is 7.", "The answer is 8.", "The answer is 11."]
FINISHED = [True, True, False]
ASKED = answers(PROMPTS, ANSWERS, FINISHED)
GOLD = "rule:fairlead.simulate.gold"


def test_a_reward_model_scores_the_whole_conversation_on_its_own_scale(tmp_path: Path) -> None:
    made = new_reward_model(str(save_model(tmp_path / "base")), run_seed=0)
    made.set_scale(mean=0.5, std=2.0)
    made.save(tmp_path / "reward")
    model = load_reward_model(str(tmp_path / "reward"))
    for micro_tokens in (1, 4096):
        scores = open_reward(str(tmp_path / "reward"), micro_tokens=micro_tokens)(ASKED).values
        for prompt, answer, score in zip(PROMPTS, ANSWERS, scores.tolist(), strict=True):
            batch = collate([model.encode(prompt + turns("", answer)[1:])], pad_id=model.pad_id)
            assert score == approx((float(model.scores(batch).detach()) - 0.5) / 2.0, abs=1e-5)
        assert not scores.requires_grad


def test_an_answer_that_is_empty_is_scored_too(tmp_path: Path) -> None:
    made = new_reward_model(str(save_model(tmp_path / "base")), run_seed=0)
    made.save(tmp_path / "reward")
    scores = open_reward(str(tmp_path / "reward"), micro_tokens=4096)(answers(PROMPTS[:1], [""])).values
    assert torch.isfinite(scores).all()


def test_a_process_reward_model_pays_the_pooled_steps_on_its_own_scale(tmp_path: Path) -> None:
    made = new_reward_model(str(save_model(tmp_path / "base")), run_seed=0)
    made.set_steps(StepSettings("\n", "minimum"))
    made.set_scale(mean=0.25, std=0.5)
    made.save(tmp_path / "verifier")
    texts = ["3 plus 4 is 7.\nIt is seven.", "The sky is blue.", " \n"]
    plain = load_reward_model(str(tmp_path / "verifier"))
    expected = []
    with torch.no_grad():
        for prompt, answer in zip(PROMPTS[:2], texts[:2], strict=True):
            row = plain.encode(prompt + turns("", answer)[1:])
            ends = [t for t, end in enumerate(row.trained) if end]
            right = [plain.network(torch.tensor([row.tokens[: t + 1]])).logits.sigmoid().item() for t in ends]
            expected.append((min(right) - 0.25) / 0.5)
    for micro_tokens in (1, 4096):
        scores = open_reward(str(tmp_path / "verifier"), micro_tokens=micro_tokens)(
            answers(PROMPTS, texts, FINISHED)
        ).values
        assert scores.tolist() == approx(
            [*expected, -0.5], abs=1e-5
        )  # (0 - 0.25) / 0.5: where nothing is said, nothing is right


def test_a_rule_reads_prompt_answer_and_whether_it_ended(tmp_path: Path) -> None:
    rule = tmp_path / "rule.py"
    rule.write_text(
        "def score(prompt, answer, finished):\n    return len(prompt) + 10 * len(answer) + 1000 * finished\n"
    )
    # 1 + 160 + 1000, 1 + 160 + 1000, 3 + 170
    assert open_reward(f"rule:{rule}", micro_tokens=1)(ASKED).values.tolist() == [
        1161.0,
        1161.0,
        173.0,
    ]


def test_a_file_without_a_rule_is_refused(tmp_path: Path) -> None:
    for text in ("x = 1\n", "score = 3\n"):
        (tmp_path / "rule.py").write_text(text)
        with pytest.raises(
            ConfigError, match=r"rule.py: defines no function score\(prompt, answer, finished\)"
        ):
            open_reward(f"rule:{tmp_path / 'rule.py'}", micro_tokens=1)


def test_gold_is_the_toy_worlds_rule() -> None:
    # right and ended: 1.0; wrong: 0.2 * 0.5 + 0.2 + 0.15 = 0.45; right but cut off: 1 - 0.15
    assert open_reward(GOLD, micro_tokens=1)(ASKED).values.tolist() == approx([1.0, 0.45, 0.85], abs=1e-6)


def test_gold_knows_no_other_world() -> None:
    with pytest.raises(ConfigError, match="not a prompt of the toy world"):
        open_reward(GOLD, micro_tokens=1)(answers([turns("Who wrote Faust?")], ["Goethe."]))


def test_only_rules_are_no_reward_models() -> None:
    assert [is_rule(ref) for ref in (GOLD, "rule:a.py", "gold", "reward", "reward-model/gold")] == [
        True,
        True,
        False,
        False,
        False,
    ]
