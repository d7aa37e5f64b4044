"""Answers of a model to prompts, as a run of the project: what `sample` and `compare` begin with."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from fairlead.core import config as configs
from fairlead.core import digest
from fairlead.recipes import sample
from fairlead.store.artifact import Artifact
from fairlead.store.project import Project
from fairlead.store.resolve_inputs import resolve_input
from fairlead.store.run import open_run

MAX_WORD = 30  # characters of a name that a longer one is made from


def sample_answers(home: Project, asked: Mapping[str, Any]) -> tuple[Artifact, bool]:
    """The rollouts that `asked`, a sampling configuration without a name, describes, and whether they had been made before."""
    config = configs.from_dict(sample.Config, {"name": "", **asked})
    config = dataclasses.replace(config, name=unique_name(home, config, config.model, "on", config.prompts))
    with open_run(home, "sample", config, kind=sample.KIND) as run:
        made_before = run.finished is not None
        return sample.main(config, run), made_before


def unique_name(home: Project, config: Any, *words: str) -> str:
    """A name from the words and from all that was asked: the same command finds what it made, another one takes no name away."""
    found = {
        field: resolve_input(home, field, mark, ref) for field, (mark, ref) in configs.refs(config).items()
    }
    asked = {
        "config": configs.resolved(config),
        "inputs": {field: one.digest for field, one in found.items()},
    }
    return "-".join([*map(_word, words), digest.short(digest.of_json(asked))])


def _word(reference: str) -> str:
    """The last part of a path or of a Hub name, as far as it can stand in a name."""
    last = reference.rstrip("/").rpartition("/")[2].removesuffix(".jsonl")
    return re.sub(r"[^A-Za-z0-9._]+", "-", last).strip("-._")[:MAX_WORD] or "it"
