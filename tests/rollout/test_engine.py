"""Answers from inside and outside this process, and what is not believed of them."""

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
from fairlead.rollout.engine import LocalEngine, answers, check, spelling
from fairlead.rollout.records import Rollout, Sampling
from fairlead.store.run import open_run
from fakes import Trained, policy, project_with_base, tokenizer, train, turns

SETTINGS = Sampling(max_new_tokens=4, stop=("\n\n",))
PROMPTS = [(5, 9), (7,)]
STOPPED = Rollout((5, 9), (2, 1), (-0.3, -1.2), "stop")  # 1 is the stop token
CUT = Rollout((7,), (2, 3, 4, 5), (-0.3, 0.0, -7.5, -1), "length")


def text(tokens: Sequence[int]) -> str:
    """8 is the end of a line."""
    return "".join("\n" if token == 8 else chr(97 + token) for token in tokens)


def checked(*rollouts: Rollout, settings: Sampling = SETTINGS) -> None:
    check(rollouts, PROMPTS, settings, stop_ids=frozenset({1, 6}), vocabulary=10, text=text)


def test_honest_answers_pass() -> None:
    checked(STOPPED, CUT)
    checked(
        STOPPED, dataclasses.replace(CUT, tokens=(2, 3, 4, 1), finish="stop")
    )  # the last place that there was
    checked(STOPPED, Rollout((7,), (8, 2, 8, 8), (-1.0,) * 4, "stop"))  # a stop string


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"prompt_tokens": (5, 8)},
            r"answers another prompt, \[5, 8\] \(2 tokens\), where \[5, 9\] \(2 tokens\) was asked",
        ),
        ({"tokens": (), "logps": ()}, "has 0 tokens; 1 to 4 were asked for"),
        ({"tokens": (2, 3, 4, 5, 1), "logps": (-1.0,) * 5}, "has 5 tokens"),
        ({"tokens": (10, 1)}, "token 0 is 10; tokens are the numbers 0 to 9"),
        ({"tokens": (-1, 1)}, "token 0 is -1"),
        ({"tokens": (2, True)}, "token 1 is True"),
        ({"tokens": (2.0, 1)}, "token 0 is 2.0"),
        ({"tokens": ("2", 1)}, "token 0 is '2'"),
        ({"logps": (-0.3,)}, "has 1 log-probabilities for 2 tokens"),
        (
            {"logps": (-0.3, 0.1)},
            "the log-probability of token 1 is 0.1; it must be a finite number, 0 or below",
        ),
        ({"logps": (math.nan, -0.1)}, "the log-probability of token 0 is nan"),
        ({"logps": (-math.inf, -0.1)}, "the log-probability of token 0 is -inf"),
        ({"logps": (-(10**400), -0.1)}, "the log-probability of token 0 is -1000"),
        ({"logps": (None, -0.1)}, "the log-probability of token 0 is None"),
        ({"reused": 3}, "says that 3 of 2 tokens were reused"),
        ({"finish": "length"}, "says finish = 'length', but its last token, 1, makes it 'stop'"),
        ({"finish": "abort"}, "says finish = 'abort'"),
        ({"tokens": (2, 3)}, "says finish = 'stop', but its last token, 3, makes it 'length'"),
        ({"tokens": (2, 3), "finish": "length"}, "was cut off after 2 of 4 tokens"),
        ({"tokens": (1, 6)}, "goes on after a stop token or a stop string"),
        ({"tokens": (8, 8, 2, 1), "logps": (-1.0,) * 4}, "goes on after a stop token or a stop string"),
    ],
)
def test_what_came_back_is_said(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=f"^Answer 0 of the engine: {said}"):
        checked(dataclasses.replace(STOPPED, **change), CUT)


def test_an_answer_for_each_prompt() -> None:
    with pytest.raises(DataError, match="asked for 2 answers and gave 1"):
        checked(STOPPED)


def test_a_stop_string_of_white_space_ends_the_local_engines_answers(tmp_path: Path) -> None:
    made = policy(tmp_path / "base")
    prompts = [made.encode_prompt(turns("What is it?"))] * 64
    stop = (" ", "\n", "\t", "\r")
    found = answers(LocalEngine(made), made, prompts, Sampling(max_new_tokens=16, stop=stop), run_seed=0)
    spelled = [spelling(made)(rollout.tokens) for rollout in found]
    assert sum(said.endswith(stop) for said in spelled) > 2  # `Policy.text` would not have shown it
    for rollout in found:
        assert not any(each in spelling(made)(rollout.tokens[:-1]) for each in stop)


# ---------------------------------------------------------------- an engine in another process


@dataclass(frozen=True)
class HttpEngine:
    """Asks a server that speaks JSON."""

    address: str

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        settings: Sampling,
        *,
        run_seed: int,
        rows: Sequence[int] | None = None,
        drafts: Sequence[Sequence[int]] | None = None,
    ) -> list[Rollout]:
        asked: dict[str, Any] = {
            "prompts": [*map(list, prompts)],
            "longest": settings.max_new_tokens,
            "seed": run_seed,
        }
        asked["rows"] = None if rows is None else list(rows)
        with urllib.request.urlopen(self.address, data=json.dumps(asked).encode(), timeout=60) as reply:
            given = json.load(reply)
        return [
            Rollout(tuple(one["prompt"]), tuple(one["tokens"]), tuple(one["logps"]), one["finish"])
            for one in given
        ]


Change = Callable[[list[dict[str, Any]]], object]


@contextmanager
def server(served: Policy, change: Change = id) -> Iterator[str]:
    """Answers with a policy of its own, changed before they are sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            settings = Sampling(max_new_tokens=asked["longest"])
            found = LocalEngine(served).sample(
                asked["prompts"], settings, run_seed=asked["seed"], rows=asked["rows"]
            )
            given = [
                {"prompt": one.prompt_tokens, "tokens": one.tokens, "logps": one.logps, "finish": one.finish}
                for one in found
            ]
            change(given)
            body = json.dumps(given).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

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
    "name": "aligned", "model": "base", "prompts": "data/prompts.jsonl", "reward": "rule:data/vowels.py", "lora_rank": 0,
    "steps": 2, "batch": 8, "epochs": 1, "max_new_tokens": 6, "lr": 1e-2, "warmup": 0, "kl_coef": 0.0,
}  # fmt: skip


def by_server(root: Path, change: Change = id) -> list[dict[str, float]]:
    """PPO's metrics where the answers come from a server that keeps the weights that it began with."""
    project = project_with_base(root)
    config = ppo.Config(**PPO)  # type: ignore[arg-type]
    served = load_policy(str(project.artifacts / "model" / "base"))
    with (
        server(served, change) as address,
        open_run(project, "ppo", config, kind=ppo.KIND, quiet=True) as run,
    ):
        return Trained(ppo.main(config, run, open_engine=lambda _: HttpEngine(address)), run.folder).rows


def test_ppo_learns_the_same_from_a_server_and_shows_when_its_weights_are_old(tmp_path: Path) -> None:
    local = train(project_with_base(tmp_path / "local"), ppo, **PPO).rows
    remote = by_server(tmp_path / "remote")
    assert remote[0] == local[0]
    assert remote[1] != local[1]
    assert local[1]["sampler_gap"] < 1e-4 and remote[1]["sampler_gap"] > 0.05


def drop_one(given: list[dict[str, Any]]) -> None:
    given.pop()


def swap(given: list[dict[str, Any]]) -> None:
    given.reverse()


def beyond(given: list[dict[str, Any]]) -> None:
    given[3]["tokens"] = [len(tokenizer()), *given[3]["tokens"][1:]]


def no_number(given: list[dict[str, Any]]) -> None:
    given[3]["logps"] = [math.nan, *given[3]["logps"][1:]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop_one, "asked for 8 answers and gave 7"),
        (swap, "Answer 0 of the engine: answers another prompt"),
        (beyond, r"Answer 3 of the engine: token 0 is \d+"),
        (no_number, "Answer 3 of the engine: the log-probability of token 0 is nan"),
    ],
)
def test_ppo_does_not_train_on_what_a_hostile_server_says(tmp_path: Path, change: Change, said: str) -> None:
    with pytest.raises(DataError, match=said):
        by_server(tmp_path, change)


def test_sample_takes_answers_from_a_server(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    settings = {"model": "base", "prompts": "data/prompts.jsonl", "per_prompt": 2, "max_new_tokens": 8}
    local = train(project, sample, name="local", **settings)
    config = sample.Config(name="remote", **settings)  # type: ignore[arg-type]
    served = load_policy(str(project.artifacts / "model" / "base"))
    with server(served) as address, open_run(project, "sample", config, kind=sample.KIND, quiet=True) as run:
        made = sample.main(config, run, open_engine=lambda _: HttpEngine(address))
    assert (made.folder / sample.ROWS).read_bytes() == (local.artifact.folder / sample.ROWS).read_bytes()
