"""A simulated colleague: one of the panel of `simulate.raters`, who labels through the studio's HTTP API at the pace of people."""

import secrets
import threading
from collections.abc import Sequence
from random import Random
from typing import Any, Self

import httpx

from fairlead.labels.task_kinds import TaskKind
from fairlead.simulate import gold, raters, world
from fairlead.simulate.raters import SimulatedRater

WORD_S = 0.3  # to read a word
THINKING_S = (4.0, 20.0)
NOTHING_S = 15.0  # until the next look when there is nothing to do
SKIPS, FLAGS = 0.02, 0.01  # shares of tasks
MUCH, CLEAR = 4.0, 1.5  # differences of utility
LIVE_TURNS = 2


class Colleague:
    def __init__(
        self,
        origin: str,
        token: str,
        rater: SimulatedRater,
        rng: Random,
        stop: threading.Event,
        hurry: float = 1.0,
    ) -> None:
        self._rater, self._rng, self._stop, self._hurry = rater, rng, stop, hurry
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
        """Until told to stop.  A server that is away is waited for; one that says no is somebody else's to find out about."""
        weights = [6 if kind == "pairwise" else 1 for kind in kinds]
        with self:
            while not self._stop.is_set():
                wanted = self._rng.choices(kinds, weights)[0]
                try:
                    if not self.one(wanted):
                        self._wait(NOTHING_S)
                except httpx.HTTPError:
                    self._wait(NOTHING_S)

    def one(self, kind: TaskKind) -> bool:
        """One task of a campaign of this kind; False where there is none."""
        found = self._get("/work")["campaigns"]
        slugs = [one["slug"] for one in found if one["kind"] == kind and one["state"] == "open"]
        if not slugs:
            return False
        home = f"/campaigns/{slugs[0]}"
        assignments = self._post(f"{home}/next", {"count": 1})["assignments"]
        if not assignments:
            return False
        task = assignments[0]
        here = f"{home}/tasks/{task['token']}"
        num_words = sum(len(one["text"].split()) for one in (*task["prompt"], *task["answers"]))
        seconds = num_words * WORD_S + self._rng.uniform(*THINKING_S)
        if self._wait(seconds):
            self._post(f"{here}/release")
            return False
        if self._rng.random() < FLAGS:
            self._post(f"{here}/flag", {"reason": "other", "note": "Is this question meant like that?"})
        if self._rng.random() < SKIPS:
            self._post(f"{here}/skip", {"reason": "unclear"})
            return True
        if kind == "chat":
            self._talk(here, task["prompt"][-1]["text"])
            if self._stop.is_set():
                return False
        value, reasons = judged(self._rater, task, self._rng)
        body = {"value": value, "reasons": reasons, "active_ms": round(seconds * 1000)}
        self._post(f"{here}/judgement", body, {"Idempotency-Key": secrets.token_hex(12)})
        self.num_done += 1
        return True

    def _talk(self, here: str, message: str) -> None:
        for n in range(LIVE_TURNS):
            self._post(f"{here}/chat/turns", {"n": n, "message": message})
            self._client.get(f"{here}/chat/turns/{n}/stream").raise_for_status()
            turn = self._get(f"{here}/chat")["turns"][n]
            texts = [(one["answer"] or {"text": ""})["text"] for one in turn["answers"]]
            value, _ = compared(self._rater, message, texts, self._rng)
            self._client.put(
                f"{here}/chat/turns/{n}/choice", json={"choice": value["choice"]}
            ).raise_for_status()
            message = world.draw_prompt(self._rng).prompt
            if self._wait(self._rng.uniform(*THINKING_S)):
                return

    def _get(self, path: str) -> Any:
        return self._client.get(path).raise_for_status().json()

    def _post(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        answer = self._client.post(path, json=body, headers=headers).raise_for_status()
        return answer.json() if answer.content else None

    def _wait(self, seconds: float) -> bool:
        """True when it is time to stop."""
        return self._stop.wait(seconds / self._hurry)


# ---------------------------------------------------------------- what they think


def judged(rater: SimulatedRater, task: dict[str, Any], rng: Random) -> tuple[dict[str, Any], list[str]]:
    """The value of a task as the API gives it, and the reasons."""
    prompt = task["prompt"][-1]["text"]
    texts = [one["text"] for one in task["answers"]]
    points = task["options"]["points"]
    match task["kind"]:
        case "pairwise":
            value, reasons = compared(rater, prompt, texts, rng)
            return value, [reason for reason in reasons if reason in task["options"]["chips"]]
        case "ranking":
            worth = [utility(rater, prompt, text) + rng.gauss(0, 0.7) for text in texts]
            order = sorted(range(len(texts)), key=lambda n: -worth[n])
            return {
                "ranks": {task["answers"][n]["letter"]: place for place, n in enumerate(order, start=1)}
            }, []
        case "rating":
            return {"score": _step(_quality(prompt, texts[0]), points, rng)}, []
        case "thumbs":
            return {"label": _quality(prompt, texts[0]) + rng.gauss(0, 0.1) > 0.7}, []
        case "aspects":
            quality = _quality(prompt, texts[0])
            return {"aspects": {name: _step(quality, points, rng) for name in task["options"]["aspects"]}}, []
        case "demonstration":
            return {"text": _written(prompt, rng)}, []
        case "edit":
            better = _written(prompt, rng)
            return {
                "letter": task["answers"][0]["letter"],
                "text": better if better != texts[0] else f"{better} That is all.",
            }, []
        case "conversation":
            places = [n for n, one in enumerate(task["prompt"]) if one["role"] == "assistant"]
            good = {
                n: _quality(task["prompt"][n - 1]["text"], task["prompt"][n]["text"]) > 0.7 for n in places
            }
            return {"turns": {str(n): {"label": label} for n, label in good.items()}}, []
        case _:
            return {}, []


def compared(
    rater: SimulatedRater, prompt: str, texts: Sequence[str], rng: Random
) -> tuple[dict[str, Any], list[str]]:
    """A step of the scale for two answers in the order shown."""
    first, second = (utility(rater, prompt, text) for text in texts)
    choice = raters.choose_answer(rater, first, second, rng)
    if choice in ("tie good", "tie bad"):
        return {"choice": 4 if choice == "tie good" else 5}, []
    difference = abs(first - second)
    step = 1 if difference > MUCH else 2 if difference > CLEAR else 3
    reasons = rng.sample(["right", "clearer", "shorter", "kinder", "safer"], rng.choice([0, 0, 1, 2]))
    return {"choice": step if choice == "first" else 9 - step}, reasons


def utility(rater: SimulatedRater, prompt: str, text: str) -> float:
    """Of something that is not of the toy world: the longer, up to a point, the better."""
    if world.parse_prompt(prompt) is None:
        return min(len(text), 400) / 100
    return raters.utility(rater, prompt, text)


def _quality(prompt: str, text: str) -> float:
    """0 to 1."""
    if world.parse_prompt(prompt) is None:
        return 0.5
    aspects = gold.judge(prompt, text).aspects()
    return sum(gold.WEIGHTS[name] * value for name, value in aspects.items()) / sum(gold.WEIGHTS.values())


def _step(quality: float, points: int, rng: Random) -> int:
    return max(1, min(points, round(1 + (points - 1) * (quality + rng.gauss(0, 0.08)))))


def _written(prompt: str, rng: Random) -> str:
    task = world.parse_prompt(prompt)
    return "I would rather not answer this." if task is None else world.write_answer(task, world.PERFECT, rng)
