"""A rater of `simulate.raters` who labels through the studio's HTTP API at a human pace."""

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Self

import httpx

from fairlead.labels.task_kinds import TaskKind
from fairlead.simulate import answer_writer, gold, raters, world
from fairlead.simulate.raters import SimulatedRater

WORD_S = 0.3  # time to read a word
THINKING_S = (4.0, 20.0)
BREAK_S = (120.0, 360.0)  # between two tasks: a demo should last a working day
LEFT_FRAC = 0.3  # of a campaign's judgements, which the labellers leave to whoever tries the demo
IDLE_S = 15.0  # until the next try when there is nothing to label or the server does not answer
SKIP_FRAC = 0.02  # of all tasks
FLAG_FRAC = 0.01
MUCH_BETTER = 4.0  # difference of utility
BETTER = 1.5
NUM_CHAT_TURNS = 2
PAIRWISE_WEIGHT = 6  # pairwise campaigns are chosen this many times as often as others
REASONS = ("right", "clearer", "shorter", "kinder", "safer")


@dataclass(frozen=True)
class Pace:
    """How fast a labeller works and when they stop."""

    stop: threading.Event
    speed: float = 1.0  # times as fast as people


class SimulatedLabeller:
    def __init__(self, origin: str, token: str, rater: SimulatedRater, rng: Random, pace: Pace) -> None:
        self._rater = rater
        self._rng = rng
        self._pace = pace
        self._client = httpx.Client(
            base_url=f"{origin}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
            trust_env=False,
        )
        self.num_done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def work(self, kinds: Sequence[TaskKind]) -> None:
        """Label until the stop event is set.

        Requests that fail are retried with another task after a pause.
        """
        weights = [PAIRWISE_WEIGHT if kind == "pairwise" else 1 for kind in kinds]
        with self:
            while not self._pace.stop.is_set():
                [kind] = self._rng.choices(kinds, weights)
                try:
                    has_worked = self.label_item(kind)
                except httpx.HTTPError:
                    has_worked = False
                self._wait(self._rng.uniform(*BREAK_S) if has_worked else IDLE_S)

    def label_item(self, kind: TaskKind) -> bool:
        """Label or skip an item of a campaign of this kind.  False when there is none."""
        campaigns = self._get("/work")["campaigns"]
        slugs = [
            campaign["slug"]
            for campaign in campaigns
            if campaign["kind"] == kind
            and campaign["state"] == "open"
            and campaign["done"] < (1 - LEFT_FRAC) * campaign["wanted"]
        ]
        if not slugs:
            return False
        campaign_path = f"/campaigns/{slugs[0]}"
        assignments = self._post(f"{campaign_path}/next", {"count": 1})["assignments"]
        if not assignments:
            return False
        task = assignments[0]
        path = f"{campaign_path}/tasks/{task['token']}"
        num_words = sum(len(text["text"].split()) for text in (*task["prompt"], *task["answers"]))
        seconds = num_words * WORD_S + self._rng.uniform(*THINKING_S)
        if self._wait(seconds):
            self._post(f"{path}/release")
            return False
        if self._rng.random() < FLAG_FRAC:
            self._post(f"{path}/flag", {"reason": "other", "note": "Is this question complete?"})
        if self._rng.random() < SKIP_FRAC:
            self._post(f"{path}/skip", {"reason": "unclear"})
            return True
        if kind == "chat":
            self._chat(path, task["prompt"][-1]["text"])
            if self._pace.stop.is_set():
                return False
        value, reasons = judge(self._rater, task, self._rng)
        body = {"value": value, "reasons": reasons, "active_ms": round(seconds * 1000)}
        self._post(f"{path}/judgement", body, {"Idempotency-Key": secrets.token_hex(12)})
        self.num_done += 1
        return True

    def _chat(self, path: str, message: str) -> None:
        for n in range(NUM_CHAT_TURNS):
            self._post(f"{path}/chat/turns", {"n": n, "message": message})
            self._client.get(f"{path}/chat/turns/{n}/stream").raise_for_status()
            turn = self._get(f"{path}/chat")["turns"][n]
            texts = [(answer["answer"] or {"text": ""})["text"] for answer in turn["answers"]]
            value, _ = compare(self._rater, message, texts, self._rng)
            choice_path = f"{path}/chat/turns/{n}/choice"
            self._client.put(choice_path, json={"choice": value["choice"]}).raise_for_status()
            message = world.draw_prompt(self._rng).text
            if self._wait(self._rng.uniform(*THINKING_S)):
                return

    def _get(self, path: str) -> Any:
        return self._client.get(path).raise_for_status().json()

    def _post(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        response = self._client.post(path, json=body, headers=headers).raise_for_status()
        return response.json() if response.content else None

    def _wait(self, seconds: float) -> bool:
        """Wait, and return True when it is time to stop."""
        return self._pace.stop.wait(seconds / self._pace.speed)


# ---------------------------------------------------------------- verdicts


def judge(rater: SimulatedRater, task: dict[str, Any], rng: Random) -> tuple[dict[str, Any], list[str]]:
    """(value, reasons) for a task in the API's format."""
    prompt = task["prompt"][-1]["text"]
    answers = task["answers"]
    texts = [answer["text"] for answer in answers]
    points = task["options"]["points"]
    match task["kind"]:
        case "pairwise":
            value, reasons = compare(rater, prompt, texts, rng)
            return value, [reason for reason in reasons if reason in task["options"]["chips"]]
        case "ranking":
            utilities = [utility(rater, prompt, text) + rng.gauss(0, 0.7) for text in texts]
            order = sorted(range(len(texts)), key=lambda index: -utilities[index])
            return {
                "ranks": {answers[index]["letter"]: rank for rank, index in enumerate(order, start=1)}
            }, []
        case "rating":
            return {"score": _score(_quality(prompt, texts[0]), points, rng)}, []
        case "thumbs":
            return {"label": _quality(prompt, texts[0]) + rng.gauss(0, 0.1) > 0.7}, []
        case "aspects":
            quality = _quality(prompt, texts[0])
            return {
                "aspects": {name: _score(quality, points, rng) for name in task["options"]["aspects"]}
            }, []
        case "demonstration":
            return {"text": _write_answer(prompt, rng)}, []
        case "edit":
            improved = _write_answer(prompt, rng)
            text = improved if improved != texts[0] else f"{improved} That is all."
            return {"letter": answers[0]["letter"], "text": text}, []
        case "conversation":
            return {"turns": _judge_turns(task["prompt"])}, []
        case _:
            return {}, []


def compare(
    rater: SimulatedRater, prompt: str, texts: Sequence[str], rng: Random
) -> tuple[dict[str, Any], list[str]]:
    """A choice from 1 (first much better) to 8 (second much better), for two answers in the order shown."""
    first, second = (utility(rater, prompt, text) for text in texts)
    choice = raters.choose_answer(rater, first, second, rng)
    if choice in ("tie good", "tie bad"):
        return {"choice": 4 if choice == "tie good" else 5}, []
    difference = abs(first - second)
    step = 1 if difference > MUCH_BETTER else 2 if difference > BETTER else 3
    reasons = rng.sample(REASONS, rng.choice([0, 0, 1, 2]))
    return {"choice": step if choice == "first" else 9 - step}, reasons


def utility(rater: SimulatedRater, prompt: str, text: str) -> float:
    """For prompts outside the toy world, longer answers are better up to 400 characters."""
    if world.parse_prompt(prompt) is None:
        return min(len(text), 400) / 100
    return raters.utility(rater, prompt, text)


def _judge_turns(messages: Sequence[dict[str, Any]]) -> dict[str, dict[str, bool]]:
    return {
        str(n): {"label": _quality(messages[n - 1]["text"], message["text"]) > 0.7}
        for n, message in enumerate(messages)
        if message["role"] == "assistant"
    }


def _quality(prompt: str, text: str) -> float:
    """0 to 1."""
    if world.parse_prompt(prompt) is None:
        return 0.5
    aspects = gold.judge(prompt, text).aspects()
    return sum(gold.WEIGHTS[name] * value for name, value in aspects.items()) / sum(gold.WEIGHTS.values())


def _score(quality: float, points: int, rng: Random) -> int:
    return max(1, min(points, round(1 + (points - 1) * (quality + rng.gauss(0, 0.08)))))


def _write_answer(prompt: str, rng: Random) -> str:
    task = world.parse_prompt(prompt)
    return (
        "I would rather not answer this."
        if task is None
        else answer_writer.write_answer(task, answer_writer.PERFECT, rng)
    )
