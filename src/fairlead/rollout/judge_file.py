"""The file of a judge: a language model behind an OpenAI-compatible endpoint, named as `llm:FILE.toml`.

See docs/reference/judges.md.  The file holds no API key, only the name of the environment variable with it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairlead.core import config as configs
from fairlead.core.chat_client import Endpoint, RequestLimits, is_http_url, key_from_environment
from fairlead.core.config import Advanced
from fairlead.core.errors import require, require_positive
from fairlead.store.resolve_inputs import LLM

OWN_FIELDS = ("model", "messages", "stream", "n")  # of a request's body, which the judge itself sets
LONGEST_RUBRIC = 50_000  # characters


@dataclass(frozen=True, kw_only=True)
class JudgeFile:
    url: str  # address of the endpoint, up to and including /v1
    model: str  # name of the model at the endpoint
    rubric: str  # what makes an answer good, in words; the judge reads it with every answer
    key_env: str = ""  # environment variable with the API key; empty sends none
    lowest: float = 1.0  # score of the worst answers
    highest: float = 10.0  # score of the best answers
    show_reference: bool = False  # whether the judge reads the column `reference` of a row
    max_tokens: Advanced[int] = 1024  # longest reply, reasoning included
    concurrent: int = 8  # requests at the same time
    timeout: float = 120.0  # seconds that one reply may take
    patience: float = 600.0  # seconds without any reply after which a run ends, to be resumed
    # other fields of each request, such as reasoning_effort; temperature is 0 unless it is set here
    request: Advanced[dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        why = "is no address such as http://127.0.0.1:8000/v1, without user name, password and query"
        require(is_http_url(self.url), "url", self.url, why)
        require(bool(self.model.strip()), "model", self.model, "must not be empty")
        require(bool(self.rubric.strip()), "rubric", self.rubric, "must not be empty")
        too_long = f"has more than {LONGEST_RUBRIC:,} characters"
        require(len(self.rubric) <= LONGEST_RUBRIC, "rubric", self.rubric[:20] + "...", too_long)
        require(self.lowest < self.highest, "lowest", self.lowest, "must be below highest")
        require_positive(self, "max_tokens", "concurrent", "timeout", "patience")
        own = [name for name in OWN_FIELDS if name in self.request]
        require(not own, "request", own, "are fields that Fairlead sets itself")

    @property
    def limits(self) -> RequestLimits:
        return RequestLimits(concurrent=self.concurrent, timeout_s=self.timeout, patience_s=self.patience)

    def body(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        """The body of a request."""
        lengths = {} if "max_completion_tokens" in self.request else {"max_tokens": self.max_tokens}
        return {"model": self.model, "messages": messages, "temperature": 0, **lengths, **self.request}


def read_judge_file(path: Path) -> JudgeFile:
    """Raises ConfigError with all problems of the file."""
    return configs.load(JudgeFile, path)


def open_endpoint(judge: JudgeFile, *, name: str) -> Endpoint:
    """The endpoint with its API key.  Raises ConfigError if the environment has none."""
    return Endpoint(name, judge.url.rstrip("/"), key_from_environment(judge.key_env, wanted_by=name))


def is_llm(reference: str) -> bool:
    """Whether a reference names the file of a judge."""
    return reference.startswith(LLM)
