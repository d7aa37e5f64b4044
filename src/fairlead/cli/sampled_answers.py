"""Samples answers to prompts as a run of the project: the first stage of `sample` and `compare`."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from fairlead.core import config as configs
from fairlead.core import digest
from fairlead.core.spelling import OPTIONS
from fairlead.core.template_settings import OWN_TEMPLATE
from fairlead.model.check_inputs import checker
from fairlead.recipes import sample
from fairlead.store.artifact import Artifact
from fairlead.store.project import Project
from fairlead.store.resolve_inputs import resolve_input
from fairlead.store.run import open_run

MAX_PART_LENGTH = 30  # characters of one part of a generated name


def sample_answers(project: Project, settings: Mapping[str, Any]) -> tuple[Artifact, bool]:
    """The rollouts for a sampling configuration without a name, and whether they existed before."""
    config = configs.from_dict(sample.Config, {"name": "", **settings}, spelling=OPTIONS)
    name = unique_name(project, config, config.model, "on", config.prompts)
    config = dataclasses.replace(config, name=name)
    with open_run(
        project, "sample", config, kind=sample.KIND, spelling=OPTIONS, check=checker(config)
    ) as run:
        existed = run.finished is not None
        return sample.main(config, run), existed


def unique_name(project: Project, config: Any, *parts: str) -> str:
    """A name from the parts and a digest of configuration and inputs.

    The same command gets the same name, and different commands get different names.
    """
    inputs = {
        field: resolve_input(project, field, mark, ref, OPTIONS).digest
        for field, (mark, ref) in configs.refs(config).items()
    }
    settings = configs.resolved(config)
    if settings.get("template") == configs.resolved(OWN_TEMPLATE):
        del settings["template"]  # the names of answers from before this table stay the same
    identity = {"config": settings, "inputs": inputs}
    return "-".join([*map(_name_part, parts), digest.short(digest.of_json(identity))])


def _name_part(reference: str) -> str:
    """The last part of a path or Hub name, reduced to the characters of an artifact name."""
    last = reference.rstrip("/").rpartition("/")[2].removesuffix(".jsonl")
    return re.sub(r"[^A-Za-z0-9._]+", "-", last).strip("-._")[:MAX_PART_LENGTH] or "it"
