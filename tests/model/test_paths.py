from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fairlead.core import jsonl
from fairlead.model import trunk
from fairlead.model.batch import collate
from fairlead.model.check import check_paths
from fairlead.model.encode import Encoded
from fairlead.model.layout import Layout
from fairlead.model.policy import Policy
from fairlead.recipes import dpo
from fairlead.store.run import Run, open_run
from fakes import HYBRID, MORE_SHAPES, SHAPES, network, project_with_base, tokenizer, train


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    config = dpo.Config(name="made", model="base", comparisons="data/comparisons.jsonl")
    with open_run(project_with_base(tmp_path), "dpo", config, kind=dpo.KIND) as opened:
        yield opened


def policy_of(shape: str) -> Policy:
    return Policy(network(shape), tokenizer(), "nowhere")


BATCH = collate(
    [
        Encoded((*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer))
        for prompt, answer in (((5, 6, 7), (8, 9)), ((5, 6, 7), (10, 11, 12, 13)), ((20, 21), (22,)))
    ],
    pad_id=0,
)


def check(run: Run, policy: Policy) -> dict[str, Any]:
    check_paths(run, policy.paths, lambda: policy.token_logps(BATCH), what="policy")
    return events(run, "paths")[-1]


def events(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for _, event in jsonl.read(run.folder / "events.jsonl") if event["event"] == kind]


@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES])
def test_the_fastest_way_is_taken_where_it_agrees(run: Run, shape: str) -> None:
    found = check(run, policy_of(shape))
    assert found["chosen"] == "trees"
    assert found["gaps"]["trees"] <= 1e-4
    assert events(run, "warning") == []


def test_a_model_with_a_state_of_its_own_is_not_given_trees(run: Run) -> None:
    policy = policy_of(HYBRID)
    assert not trunk.takes_tree_masks(policy.network, 10)
    expected = policy.token_logps(BATCH)
    found = check(run, policy)
    assert found["chosen"] == "chunked logits"
    assert found["left_out"] == ["trees: this model's attention does not take them"]
    policy.paths.plain, policy.paths.own_logits = True, False
    torch.testing.assert_close(policy.token_logps(BATCH), expected, atol=1e-4, rtol=1e-4)


def test_trees_that_lie_are_left_with_one_warning(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    honest = trunk.hidden_states

    def deaf(network: Any, layout: Layout, **options: Any) -> torch.Tensor:
        """An attention that ignores the mask of a tree."""
        lying = layout if layout.positions is None else Layout(layout.tokens, layout.positions, None, layout.at)
        return honest(network, lying, **options)

    monkeypatch.setattr(trunk, "hidden_states", deaf)
    policy = policy_of("llama")
    found = check(run, policy)
    assert found["chosen"] == "chunked logits"
    assert (policy.paths.share_prompts, policy.paths.own_logits, policy.paths.plain) == (False, True, False)
    [warning] = events(run, "warning")
    assert "the fast way (trees) differs from the plain one by" in warning["text"]
    assert capsys.readouterr().err.count("warning: policy") == 1


def test_a_head_that_is_more_than_it_seems_is_run_the_plain_way(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of("llama")
    plain = policy.network.forward
    monkeypatch.setattr(policy.network, "forward", lambda **arguments: _doubled(plain(**arguments)))
    found = check(run, policy)
    assert found["chosen"] == "plain"
    assert set(found["gaps"]) == {"trees", "chunked logits"}
    assert len(events(run, "warning")) == 2
    assert policy.paths.plain and not policy.paths.own_logits


def _doubled(output: Any) -> Any:
    output.logits = output.logits * 2
    return output


def test_every_run_says_which_way_it_went(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    made = train(project, dpo, name="made", model="base", comparisons="data/comparisons.jsonl", batch=8, held_out=0.2)
    said = [event for _, event in jsonl.read(made.folder / "events.jsonl") if event["event"] == "paths"]
    assert [(event["what"], event["chosen"]) for event in said] == [("policy", "trees")]
