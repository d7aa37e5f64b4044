from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from fairlead.core import jsonl
from fairlead.core.errors import ModelError
from fairlead.encoding.batching import collate
from fairlead.encoding.chat import Encoded
from fairlead.model.policy import Policy
from fairlead.recipes import sft
from fairlead.store.run import Run, open_run
from fairlead.train import memory
from fairlead.train.memory import Memory
from fakes import HYBRID, SHAPES, chat_format, network, project_with_base, train

MB = 2**20
BATCH = collate(
    [Encoded(tuple(range(5, 5 + n)), (False,) * 4 + (True,) * (n - 4)) for n in (30, 30, 30, 30)], pad_id=0
)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    config = sft.Config(name="made", model="base", demonstrations="data/demonstrations.jsonl")
    with open_run(project_with_base(tmp_path), "sft", config, kind=sft.KIND, quiet=True) as opened:
        opened.event("begins")
        yield opened


def test_what_autograd_keeps_by_hand() -> None:
    weight = nn.Parameter(torch.ones(10, 20))
    x = torch.ones(5, 20)
    # the product keeps x (400 bytes), exp keeps its result (200 bytes); the weight is there anyway, and x is
    # counted once
    assert memory.saved_bytes(lambda: ((x @ weight.T).exp() + (x @ weight.T)).sum(), [weight]) == 400 + 200


@pytest.mark.parametrize("shape", SHAPES)
def test_checkpointed_layers_keep_less_and_give_the_same_gradients(shape: str) -> None:
    found = {}
    for checkpointing in (False, True):
        policy = Policy(network(shape), chat_format(), "nowhere")
        policy.backend.gradient_checkpointing = checkpointing
        kept = memory.measure(policy.network.parameters(), partial(policy.token_logps, BATCH), 120)
        policy.token_logps(BATCH).sum().backward()
        found[checkpointing] = kept, {name: p.grad for name, p in policy.trainable().items()}
        assert not any(module.training for module in policy.network.modules())
    assert found[True][0].per_token < 0.6 * found[False][0].per_token
    for name, gradient in found[False][1].items():
        torch.testing.assert_close(found[True][1][name], gradient, msg=name)


def test_a_hybrid_model_can_be_measured() -> None:
    policy = Policy(network(HYBRID), chat_format(), "nowhere")
    assert memory.measure(policy.network.parameters(), lambda: policy.token_logps(BATCH), 120).per_token > 0


def test_the_sizes_of_a_model_by_hand() -> None:
    frozen, trained = nn.Parameter(torch.ones(100), requires_grad=False), nn.Parameter(torch.ones(50))
    found = memory.measure([frozen, trained], lambda: (trained * trained).sum(), 1)
    assert (found.weights, found.training) == (600, 3 * 200)  # a gradient and two moments


def test_the_sizes_of_halved_weights_by_hand() -> None:
    trained = nn.Parameter(torch.ones(50, dtype=torch.bfloat16))
    found = memory.measure([trained], lambda: (trained * trained).sum(), 1)
    assert (found.weights, found.training) == (
        100,
        50 * (2 + 8 + 4),
    )  # a gradient in bfloat16, two moments and a copy in float32
    assert memory.measure(
        [trained], lambda: (trained * trained).sum(), 1, optimizer_bits=8
    ).training == 50 * (2 + 2 + 4)


def budget(run: Run, free: int, asked: int, monkeypatch: pytest.MonkeyPatch, per_token: int = MB) -> int:
    monkeypatch.setattr(memory, "available", lambda: free)
    return memory.token_budget(run, Memory(weights=100 * MB, training=300 * MB, per_token=per_token), asked)


def test_the_budget_is_what_the_memory_holds(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert budget(run, 1300 * MB, 0, monkeypatch) == 600  # six tenths of 1,000 MB, at a megabyte a token


def test_a_resumed_run_keeps_its_budget(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = budget(run, 1300 * MB, 0, monkeypatch)
    assert budget(run, 90_000 * MB, 0, monkeypatch) == first


def test_more_than_helps_is_not_taken(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert budget(run, 10**15, 0, monkeypatch) == memory.LARGEST


def test_too_little_memory_is_said_before_anything_is_trained(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ModelError,
        match="400 MB of memory are free; this model needs 656 MB to train on 256 tokens at a time",
    ):
        budget(run, 400 * MB, 0, monkeypatch)


def test_what_was_asked_for_is_done_with_a_warning(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert budget(run, 1300 * MB, 4096, monkeypatch) == 4096
    [warning] = [
        event["text"] for _, event in jsonl.read(run.folder / "events.jsonl") if event["event"] == "warning"
    ]
    assert "4496 MB; 1300 MB are free" in warning and "micro_tokens=600, or 0" in warning


@pytest.mark.parametrize(
    "settings",
    [
        {"micro_tokens": 0},
        {"gradient_checkpointing": True, "rank": 4},
        {"precision": "bfloat16"},
        {"bits": 8},
        {"precision": "pure-bfloat16"},
        {"precision": "pure-bfloat16", "gradient_checkpointing": True},
    ],
)
def test_a_run_with_it_ends_as_one_without(tmp_path: Path, settings: dict[str, object]) -> None:
    common = {
        "model": "base",
        "demonstrations": "data/demonstrations.jsonl",
        "batch": 8,
        "rank": 0,
    } | settings
    project = project_with_base(tmp_path)
    plain = train(
        project,
        sft,
        **{
            **common,
            "micro_tokens": 4096,
            "gradient_checkpointing": False,
            "precision": "float32",
            "bits": 32,
            "name": "plain",
        },
    )
    other = train(project, sft, **common, name="other")
    tolerance = 0.05 if {"precision", "bits"} & set(settings) else 1e-4
    assert other.series("loss") == pytest.approx(plain.series("loss"), rel=tolerance)
    [told] = [event for _, event in jsonl.read(other.folder / "events.jsonl") if event["event"] == "memory"]
    assert told["micro_tokens"] > 0 and told["expected_mb"] >= told["weights_mb"]
