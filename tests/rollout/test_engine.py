"""Rollouts from engines inside and outside this process, and the checks that they have to pass."""

import dataclasses
import json
import math
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.errors import DataError
from fairlead.model.policy import Policy, load_policy
from fairlead.recipes import ppo, sample
from fairlead.rollout.engine import LocalEngine, check_rollouts, raw_decoder, sample_rollouts
from fairlead.rollout.records import Rollout, SampleRequest, SamplingParams
from fairlead.store.run import open_run
from fakes import Trained, configuration, policy, project_with_base, tokenizer, train, turns

REQUEST = SampleRequest(
    prompts=[(5, 9), (7,)], params=SamplingParams(max_new_tokens=4, stop=("\n\n",)), seed=0
)
STOPPED = Rollout((5, 9), (2, 1), (-0.3, -1.2), "stop")  # 1 is the stop token
CUT = Rollout((7,), (2, 3, 4, 5), (-0.3, 0.0, -7.5, -1), "length")


def decode(tokens: Sequence[int]) -> str:
    """Token 8 is a line break."""
    return "".join("\n" if token == 8 else chr(97 + token) for token in tokens)


def check(*rollouts: Rollout) -> None:
    check_rollouts(rollouts, REQUEST, stop_ids=frozenset({1, 6}), vocab_size=10, decode=decode)


def test_possible_rollouts_pass() -> None:
    check(STOPPED, CUT)
    stopped_at_the_limit = dataclasses.replace(CUT, tokens=(2, 3, 4, 1), finish_reason="stop")
    check(STOPPED, stopped_at_the_limit)
    stopped_by_string = Rollout((7,), (8, 2, 8, 8), (-1.0,) * 4, "stop")
    check(STOPPED, stopped_by_string)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"prompt_tokens": (5, 8)},
            r"its prompt is \[5, 8\] \(2 tokens\), but \[5, 9\] \(2 tokens\) was requested",
        ),
        ({"tokens": (), "logps": ()}, "it has 0 tokens; 1 to 4 were requested"),
        ({"tokens": (2, 3, 4, 5, 1), "logps": (-1.0,) * 5}, "it has 5 tokens"),
        ({"tokens": (10, 1)}, "token 0 is 10; token ids are 0 to 9"),
        ({"tokens": (-1, 1)}, "token 0 is -1"),
        ({"tokens": (2, True)}, "token 1 is True"),
        ({"tokens": (2.0, 1)}, "token 0 is 2.0"),
        ({"tokens": ("2", 1)}, "token 0 is '2'"),
        ({"logps": (-0.3,)}, "it has 1 log-probabilities for 2 tokens"),
        (
            {"logps": (-0.3, 0.1)},
            "the log-probability of token 1 is 0.1; it must be finite and at most 0",
        ),
        ({"logps": (math.nan, -0.1)}, "the log-probability of token 0 is nan"),
        ({"logps": (-math.inf, -0.1)}, "the log-probability of token 0 is -inf"),
        ({"logps": (-(10**400), -0.1)}, "the log-probability of token 0 is -1000"),
        ({"logps": (None, -0.1)}, "the log-probability of token 0 is None"),
        ({"num_reused": 3}, "num_reused = 3 for 2 tokens"),
        ({"finish_reason": "length"}, "finish_reason = 'length', but the last token, 1, means 'stop'"),
        ({"finish_reason": "abort"}, "finish_reason = 'abort'"),
        ({"tokens": (2, 3)}, "finish_reason = 'stop', but the last token, 3, means 'length'"),
        ({"tokens": (2, 3), "finish_reason": "length"}, "it was cut off after 2 of 4 tokens"),
        ({"tokens": (1, 6)}, "it continues after a stop token or a stop string"),
        ({"tokens": (8, 8, 2, 1), "logps": (-1.0,) * 4}, "it continues after a stop token or a stop string"),
    ],
)
def test_an_impossible_rollout_is_an_error_that_names_its_fault(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(DataError, match=f"^Rollout 0 of the engine: {fault}"):
        check(dataclasses.replace(STOPPED, **change), CUT)


def test_a_missing_rollout_is_an_error() -> None:
    with pytest.raises(DataError, match="returned 1 rollout for 2 prompts"):
        check(STOPPED)


def test_a_stop_string_of_white_space_ends_responses_of_the_local_engine(tmp_path: Path) -> None:
    network = policy(tmp_path / "base")
    decode = raw_decoder(network)
    stop = (" ", "\n", "\t", "\r")
    request = SampleRequest(
        prompts=[network.encode_prompt(turns("What is it?"))] * 64,
        params=SamplingParams(max_new_tokens=16, stop=stop),
        seed=0,
    )
    rollouts = sample_rollouts(LocalEngine(network), network, request)
    texts = [decode(rollout.tokens) for rollout in rollouts]
    assert sum(text.endswith(stop) for text in texts) > 2  # `Policy.text` strips white space
    for rollout in rollouts:
        assert not any(string in decode(rollout.tokens[:-1]) for string in stop)


# ---------------------------------------------------------------- an engine in another process


@dataclass(frozen=True)
class HttpEngine:
    """Requests rollouts from a JSON server."""

    address: str

    def sample(self, request: SampleRequest) -> list[Rollout]:
        body = {
            "prompts": [list(prompt) for prompt in request.prompts],
            "max_new_tokens": request.params.max_new_tokens,
            "seed": request.seed,
            "row_ids": None if request.row_ids is None else list(request.row_ids),
        }
        with urllib.request.urlopen(self.address, data=json.dumps(body).encode(), timeout=60) as response:
            rows = json.load(response)
        return [
            Rollout(tuple(row["prompt"]), tuple(row["tokens"]), tuple(row["logps"]), row["finish_reason"])
            for row in rows
        ]


Change = Callable[[list[dict[str, Any]]], object]


@contextmanager
def server(served: Policy, change: Change = id) -> Iterator[str]:
    """Samples from a policy of its own, and changes the rollouts before they are sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            request = SampleRequest(
                prompts=body["prompts"],
                params=SamplingParams(max_new_tokens=body["max_new_tokens"]),
                seed=body["seed"],
                row_ids=body["row_ids"],
            )
            rows = [
                {
                    "prompt": rollout.prompt_tokens,
                    "tokens": rollout.tokens,
                    "logps": rollout.logps,
                    "finish_reason": rollout.finish_reason,
                }
                for rollout in LocalEngine(served).sample(request)
            ]
            change(rows)
            response = json.dumps(rows).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(response)))
            self.end_headers()
            self.wfile.write(response)

        def log_message(self, *words: Any) -> None:
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


PPO = {
    "name": "aligned",
    "model": "base",
    "prompts": "data/prompts.jsonl",
    "reward": "rule:data/vowels.py",
    "rank": 0,
    "steps": 2,
    "batch": 8,
    "epochs": 1,
    "max_new_tokens": 6,
    "lr": 1e-2,
    "warmup": 0,
    "kl_coef": 0.0,
}


def train_with_server(root: Path, change: Change = id) -> list[dict[str, float]]:
    """PPO's metrics with rollouts from a server that keeps the initial weights."""
    project = project_with_base(root)
    config = configuration(ppo, PPO)
    served = load_policy(str(project.artifacts / "model" / "base"))
    with (
        server(served, change) as address,
        open_run(project, "ppo", config, kind=ppo.KIND, quiet=True) as run,
    ):
        return Trained(ppo.main(config, run, open_engine=lambda _: HttpEngine(address)), run.folder).rows


def test_ppo_trains_the_same_from_a_server_and_shows_outdated_weights_in_sampler_gap(tmp_path: Path) -> None:
    local = train(project_with_base(tmp_path / "local"), ppo, **PPO).rows
    remote = train_with_server(tmp_path / "remote")
    assert remote[0] == local[0]
    assert remote[1] != local[1]
    assert local[1]["sampler_gap"] < 1e-4 and remote[1]["sampler_gap"] > 0.05


def drop_last(rows: list[dict[str, Any]]) -> None:
    rows.pop()


def reverse(rows: list[dict[str, Any]]) -> None:
    rows.reverse()


def leave_the_vocabulary(rows: list[dict[str, Any]]) -> None:
    rows[3]["tokens"] = [len(tokenizer()), *rows[3]["tokens"][1:]]


def send_nan(rows: list[dict[str, Any]]) -> None:
    rows[3]["logps"] = [math.nan, *rows[3]["logps"][1:]]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (drop_last, "returned 7 rollouts for 8 prompts"),
        (reverse, "Rollout 0 of the engine: its prompt is"),
        (leave_the_vocabulary, r"Rollout 3 of the engine: token 0 is \d+"),
        (send_nan, "Rollout 3 of the engine: the log-probability of token 0 is nan"),
    ],
)
def test_ppo_does_not_train_on_impossible_rollouts_of_a_server(
    tmp_path: Path, change: Change, fault: str
) -> None:
    with pytest.raises(DataError, match=fault):
        train_with_server(tmp_path, change)


def test_the_sample_recipe_can_use_a_server(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    settings = {"model": "base", "prompts": "data/prompts.jsonl", "per_prompt": 2, "max_new_tokens": 8}
    local = train(project, sample, name="local", **settings)
    config = sample.Config(name="remote", **settings)  # type: ignore[arg-type]
    served = load_policy(str(project.artifacts / "model" / "base"))
    with server(served) as address, open_run(project, "sample", config, kind=sample.KIND, quiet=True) as run:
        made = sample.main(config, run, open_engine=lambda _: HttpEngine(address))
    assert (made.folder / sample.ROWS).read_bytes() == (local.artifact.folder / sample.ROWS).read_bytes()
