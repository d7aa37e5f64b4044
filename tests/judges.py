"""Files of judges for tests, and what a judge on the test's server reads."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chat_server import Body
from fairlead.core.config import RewardModelRef

KEY_ENV = "FAIRLEAD_TEST_JUDGE_KEY"
KEY = "sk-judge-secret-0815"


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """The configuration of a run with nothing but a judge."""

    name: str
    judge: RewardModelRef
    seed: int = 0


def write_judge(path: Path, url: str, **keys: Any) -> Path:
    """A judge's file; text, numbers and truth values only."""
    values = {"url": url, "model": "grader", "rubric": "More vowels are better.", "key_env": KEY_ENV} | keys
    lines = [
        f"{name} = {str(value).lower() if isinstance(value, bool) else value!r}"
        for name, value in values.items()
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def parts(body: Body) -> dict[str, str]:
    """The parts of the data in a request, by name."""
    content = body["messages"][-1]["content"]
    found_parts = re.findall(r"^== (\w+) (.+)\n(.*?)\n== \1 end of \2$", content, re.DOTALL | re.MULTILINE)
    return {name: text for _, name, text in found_parts}


def vowels(text: str) -> int:
    return sum(character in "aeiou" for character in text)
