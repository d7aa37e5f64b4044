"""Answers of several turns with a template that writes earlier turns differently once more turns follow."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fairlead.core import jsonl
from fairlead.core.template_settings import Template
from fairlead.data.records import Binary, Comparison, to_row
from fairlead.encoding.chat import encode_prompt
from fairlead.encoding.record_rows import Pair, encode_pair
from fairlead.examples.pairs import answer_logps, pair_logps, pair_token_counts
from fairlead.examples.reference_logps import all_pair_logps
from fairlead.model.policy import Policy, load_policy
from fairlead.recipes import alternate, dpo, kto, uft
from fakes import policy, project_with_base, train, turns

# As Qwen3: the last turn has a block of reasoning, earlier ones have none.
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}"
    "{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SETTINGS = {"rank": 0, "batch": 8, "epochs": 1, "lr": 1e-12, "warmup": 0, "held_out": 0.25}


@pytest.fixture
def speaker(tmp_path: Path) -> Policy:
    file = tmp_path / "reasoning.jinja"
    file.write_text(TEMPLATE)
    return policy(tmp_path / "base", template=Template(file=str(file)))


def pair(i: int = 0) -> Comparison:
    _, *chosen = turns("", f"It is {i}.", "Sure?", "Yes, surely.")
    _, *rejected = turns("", "No.", f"Say {i}.", "No, no.", "Please?", "Never.")
    return Comparison(turns(f"What is {i}?"), tuple(chosen), tuple(rejected))


def sampled_logp(speaker: Policy, comparison: Comparison) -> tuple[float, float]:
    """By hand: every turn of an answer after the prompt from which it would be sampled."""
    sums = []
    for answer in (comparison.chosen, comparison.rejected):
        total = 0.0
        for i in range(0, len(answer), 2):
            prompt = encode_prompt(speaker.chat, comparison.prompt + answer[:i])
            turn = speaker.chat.tokens(f"<think></think>{answer[i].content}<|end|>")
            with torch.no_grad():
                logps = speaker.network(torch.tensor([[*prompt, *turn]])).logits[0].log_softmax(-1)
            total += sum(float(logps[len(prompt) + t - 1, token]) for t, token in enumerate(turn))
        sums.append(total)
    return sums[0], sums[1]


@pytest.mark.parametrize("budget", [1, 120, 100_000])
@pytest.mark.parametrize("packed", [True, False])
def test_the_log_probability_of_an_answer_is_the_sum_over_its_turns(
    speaker: Policy, packed: bool, budget: int
) -> None:
    comparisons = [pair(i) for i in range(3)]
    pairs: list[Pair] = [encode_pair(speaker, comparison, None) for comparison in comparisons]
    assert [len(answer) for answer in pairs[0]] == [2, 3]
    speaker.backend = replace(speaker.backend, packed=packed, share_prompts=packed)
    found = all_pair_logps(speaker, pairs, budget)
    expected = torch.tensor([sampled_logp(speaker, comparison) for comparison in comparisons])
    assert found.chosen.tolist() == pytest.approx(expected[:, 0].tolist(), abs=1e-3)  # of order 100
    assert found.rejected.tolist() == pytest.approx(expected[:, 1].tolist(), abs=1e-3)
    alone = answer_logps(speaker, [pairs[0][1]])
    assert alone.item() == pytest.approx(float(expected[0, 1]), abs=1e-3)
    assert pair_token_counts(speaker, pairs).rejected[0] == sum(sum(row.trained) for row in pairs[0][1])


def test_gradients_reach_every_turn(speaker: Policy) -> None:
    """Finite differences along one random direction."""
    rows = [encode_pair(speaker, pair(), None)]
    parameters = list(speaker.trainable().values())
    pair_logps(speaker, rows).rejected.sum().backward()
    generator = torch.Generator().manual_seed(3)
    steps = [1e-3 * torch.randn(p.shape, generator=generator) for p in parameters]
    slope = sum(
        float((p.grad * step).sum()) for p, step in zip(parameters, steps, strict=True) if p.grad is not None
    )
    values = []
    for sign in (1, -2):
        with torch.no_grad():
            for p, step in zip(parameters, steps, strict=True):
                p.add_(sign * step)
        values.append(sampled_logp(speaker, pair())[1])
    assert (values[0] - values[1]) / 2 == pytest.approx(slope, rel=0.05)


def test_every_preference_method_takes_answers_of_several_turns(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    file = project.root / "reasoning.jinja"
    file.write_text(TEMPLATE)
    pairs = [pair(i) for i in range(16)]
    jsonl.write(project.data / "comparisons.jsonl", map(to_row, pairs))
    thumbs = [
        Binary(p.prompt, answer, good)
        for p in pairs
        for answer, good in ((p.chosen, True), (p.rejected, False))
    ]
    jsonl.write(project.data / "binary.jsonl", map(to_row, thumbs))
    settings = SETTINGS | {"model": "base", "template.file": str(file)}
    base = load_policy(str(project.artifacts / "model" / "base"), template=Template(file=str(file)))
    comparisons, binary = {"comparisons": "data/comparisons.jsonl"}, {"binary": "data/binary.jsonl"}
    made = train(project, dpo, **settings, **comparisons, name="dpo")
    expected = [sampled_logp(base, comparison)[0] for comparison in pairs]
    for value in made.series("chosen_logps"):
        assert min(expected) <= value <= max(expected)
    assert made.series("loss")[0] == pytest.approx(0.6931, abs=1e-4)
    for recipe, data in ((kto, binary), (uft, comparisons | binary)):
        made = train(project, recipe, **settings, **data, name=recipe.__name__.rpartition(".")[2])
        assert made.artifact.manifest.metrics["held_out_loss"]
    demonstrations = {"demonstrations": "data/demonstrations.jsonl", "steps": 2}
    del settings["epochs"]
    assert train(project, alternate, **settings, **comparisons, **demonstrations, name="alternate").artifact
