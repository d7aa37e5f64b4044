"""What recipes set up before their loop: adapter, master weights, optimiser, resume, and the saved policy."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fairlead.core import jsonl
from fairlead.encoding.chat import Encoded
from fairlead.model.adapters import Lora
from fairlead.model.policy import Policy, load_policy
from fairlead.recipes import sft
from fairlead.store.run import Run, open_run
from fairlead.train import checkpoint, setup
from fairlead.train.settings import Adapter, Hardware, Optim
from fakes import project_with_base

CONFIG = sft.Config(
    name="trained",
    model="base",
    demonstrations="data/demonstrations.jsonl",
    optim=Optim(lr=0.01),
    adapter=Adapter(rank=0),
    hardware=Hardware(micro_tokens=512),
)
ROWS = [
    Encoded((5, 6, 7, 8, 9), (False, False, True, True, True)),
    Encoded((5, 6, 20), (False, False, True)),
]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with open_run(project_with_base(tmp_path), "sft", CONFIG, kind=sft.KIND, quiet=True) as opened:
        yield opened


def weights(policy: Policy) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in policy.trainable().items()}


def test_rank_zero_trains_all_weights() -> None:
    assert setup.lora(CONFIG) is None


def test_the_adapter_takes_seed_and_precision_of_the_run() -> None:
    config = dataclasses.replace(
        CONFIG, adapter=Adapter(rank=4, alpha=12), hardware=Hardware(precision="bfloat16"), seed=3
    )
    assert setup.lora(config) == Lora(rank=4, alpha=12, seed=3, precision="bfloat16", base_bits=32)


def test_prepare_moves_no_weight_and_records_its_choices(run: Run) -> None:
    policy = load_policy(run.model_path("model"))
    before = weights(policy)
    prepared = setup.prepare(run, policy, ROWS, CONFIG)
    after = weights(policy)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    optimized = [p for group in prepared.optimizer.param_groups for p in group["params"]]
    assert sum(p.numel() for p in optimized) == sum(p.numel() for p in before.values())
    assert prepared.micro_tokens == 512
    kinds = [event["event"] for _, event in jsonl.read(run.folder / "events.jsonl")]
    assert [kind for kind in kinds if kind in ("paths", "threads", "memory")] == [
        "paths",
        "threads",
        "memory",
    ]


def test_an_optimizer_step_by_hand(run: Run) -> None:
    policy = load_policy(run.model_path("model"))
    prepared = setup.prepare(run, policy, ROWS, CONFIG)
    before = weights(policy)
    gradients = {}
    for name, parameter in policy.trainable().items():
        parameter.grad = torch.full_like(parameter, -0.5)
        gradients[name] = parameter.grad
    num_weights = sum(gradient.numel() for gradient in gradients.values())
    norm = setup.optimizer_step(prepared, Optim(lr=1.0, max_norm=1e9), lr=0.01, step=1)
    assert norm == pytest.approx(0.5 * math.sqrt(num_weights), rel=1e-4)
    for name, parameter in policy.trainable().items():
        # AdamW's first step is lr * sign(gradient) without weight decay.
        torch.testing.assert_close(parameter.detach(), before[name] + 0.01, atol=1e-5, rtol=0)
        assert parameter.grad is None or not parameter.grad.any()


def test_resume_loads_the_last_checkpoint(run: Run) -> None:
    policy = load_policy(run.model_path("model"))
    prepared = setup.prepare(run, policy, ROWS, CONFIG)
    assert setup.resume(run, prepared) == 0
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.add_(0.25)
    checkpoint.save(run, 7, prepared.state)
    fresh = load_policy(run.model_path("model"))
    assert not torch.equal(next(iter(weights(fresh).values())), next(iter(weights(policy).values())))
    assert setup.resume(run, setup.prepare(run, fresh, ROWS, CONFIG)) == 7
    expected = weights(policy)
    assert all(torch.equal(value, expected[name]) for name, value in weights(fresh).items())


def test_the_published_policy_has_the_trained_weights(run: Run) -> None:
    policy = load_policy(run.model_path("model"))
    prepared = setup.prepare(run, policy, ROWS, CONFIG)
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.mul_(1.5)
    artifact = setup.publish_policy(run, policy, prepared, metrics={"loss": 0.5})
    assert (artifact.label, artifact.manifest.metrics) == ("model/trained", {"loss": 0.5})
    saved = weights(load_policy(str(artifact.folder)))
    assert all(torch.equal(value, saved[name]) for name, value in weights(policy).items())


def test_a_second_network_has_its_own_learning_rate(run: Run) -> None:
    policy = load_policy(run.model_path("model"))
    prepared = setup.prepare(run, policy, ROWS, CONFIG)
    assert prepared.optimizer.param_groups[0]["lr"] == 0.01
    second = setup.build_optimizer(prepared.master_weights, CONFIG.optim, lr=0.5)
    assert {group["lr"] for group in second.param_groups} == {0.5}
