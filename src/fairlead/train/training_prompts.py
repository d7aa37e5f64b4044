"""The prompts that an artifact and its ancestors were trained on, as digests stored with the artifact.

    training_prompts.json    {"own": [...], "inherited": [...], "not_checked": [...]}

`own` are the prompts of this training: rows that it held out are not in it.  `inherited` are those of the
models and rewards that it was made from, and of theirs, so that a deleted parent is not forgotten.  Artifacts
of earlier versions have no such file; their prompts are read again from their data while that is unchanged.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.core import files
from fairlead.core.errors import FairleadError, ProjectError
from fairlead.core.former_keys import read_value
from fairlead.data.prompt_digest import trained_prompt_digests
from fairlead.data.record_reader import ParsedRow, guess_kind, parse_rows
from fairlead.data.split import is_held_out
from fairlead.store import lineage
from fairlead.store.artifact import Artifact, Parent, load_artifacts
from fairlead.store.project import Project
from fairlead.store.resolve_inputs import RULE, ResolvedInput
from fairlead.store.run import Run, rows_file

FILE = "training_prompts.json"
# Inputs whose prompts are trained on, by their role in the lineage; of the first group, a share is held out.
SPLIT_ROLES = ("demonstrations", "comparisons", "rankings", "binary", "ratings", "stepwise")
WHOLE_ROLES = ("prompts", "replay", "ptx", "documents")
TRAINED_KINDS = ("model", "reward-model")


@dataclass(frozen=True)
class TrainingPrompts:
    own: frozenset[str] = frozenset()
    inherited: frozenset[str] = frozenset()
    not_checked: tuple[str, ...] = ()  # what is not known, one sentence each

    @property
    def all(self) -> frozenset[str]:
        return self.own | self.inherited


def of_run(run: Run) -> TrainingPrompts:
    """What a run trains on, and what its parents were trained on."""
    own: set[str] = set()
    for role in (*SPLIT_ROLES, *WHOLE_ROLES):
        if role in run.inputs:
            path = run.data_path(role, rows=_rows_of(role))
            own.update(_digests_of_file(path, role, run.config, run.seed))
    inherited: set[str] = set()
    not_checked: list[str] = []
    for source in run.inputs.values():
        if source.artifact is not None and source.artifact.manifest.kind in TRAINED_KINDS:
            parent = of_artifact(run.project, source.artifact)
            inherited |= parent.all
            not_checked += parent.not_checked
    return TrainingPrompts(frozenset(own), frozenset(inherited), tuple(dict.fromkeys(not_checked)))


def write(run: Run, folder: Path) -> None:
    """Store the training prompts of a run in the folder of its artifact."""
    prompts = of_run(run)
    contents = {
        "own": sorted(prompts.own),
        "inherited": sorted(prompts.inherited),
        "not_checked": list(prompts.not_checked),
    }
    files.write_text(folder / FILE, json.dumps(contents, indent=0, ensure_ascii=False) + "\n")


def of_input(project: Project, source: ResolvedInput) -> TrainingPrompts:
    """The training prompts of a policy or judge.  A rule is not trained."""
    if source.ref.startswith(RULE):
        return TrainingPrompts()
    if source.artifact is not None:
        return of_artifact(project, source.artifact)
    if source.location is not None and (source.location / FILE).is_file():
        return _read(source.location / FILE)
    return TrainingPrompts(
        not_checked=(f"{source.ref} was trained elsewhere, on prompts that are not known.",)
    )


def of_artifact(project: Project, artifact: Artifact) -> TrainingPrompts:
    """The stored training prompts, or those of the data in the lineage of an older artifact."""
    if FILE in artifact.manifest.files:
        return _read(artifact.folder / FILE)
    return _Recomputed(project).of(artifact, ())


class _Recomputed:
    """Reads the data of artifacts that were made before digests were stored."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.by_digest = {a.manifest.digest: a for a in load_artifacts(project)[0]}

    def of(self, artifact: Artifact, below: tuple[str, ...]) -> TrainingPrompts:
        manifest = artifact.manifest
        if FILE in manifest.files:
            return _read(artifact.folder / FILE)
        if manifest.kind not in TRAINED_KINDS or manifest.digest in below:
            return TrainingPrompts()
        own: set[str] = set()
        inherited: set[str] = set()
        not_checked: list[str] = []
        for parent in manifest.parents:
            ancestor = self.by_digest.get(parent.digest)
            if parent.role in (*SPLIT_ROLES, *WHOLE_ROLES):
                digests = self._of_data(parent, ancestor, manifest.config, manifest.seed)
                own |= digests or set()
                if digests is None:
                    not_checked.append(
                        f"{artifact.label}: its {parent.role}, {parent.name}, changed or is missing."
                    )
            elif ancestor is not None:
                above = self.of(ancestor, (*below, manifest.digest))
                inherited |= above.all
                not_checked += above.not_checked
            elif not parent.name.startswith(lineage.OUTSIDE):
                not_checked.append(f"{artifact.label}: its {parent.role}, {parent.name}, is missing.")
        return TrainingPrompts(frozenset(own), frozenset(inherited), tuple(dict.fromkeys(not_checked)))

    def _of_data(
        self, parent: Parent, dataset: Artifact | None, config: Mapping[str, Any], seed: int
    ) -> set[str] | None:
        """The digests of a data input; None if its content is not what it was."""
        try:
            if dataset is not None:
                path = rows_file(dataset, _rows_of(parent.role) or parent.role)
            else:
                path = lineage.unchanged_file(self.project, parent)
            return None if path is None else set(_digests_of_file(path, parent.role, config, seed))
        except (FairleadError, OSError):
            return None


def _read(path: Path) -> TrainingPrompts:
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
        own, inherited, not_checked = (contents[key] for key in ("own", "inherited", "not_checked"))
        return TrainingPrompts(frozenset(own), frozenset(inherited), tuple(map(str, not_checked)))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProjectError(
            f"{path}: cannot be read: {error}. The artifact is damaged. Create it again."
        ) from error


def _digests_of_file(path: Path, role: str, config: Mapping[str, Any], seed: int) -> Iterator[str]:
    held_out = _held_out_share(config) if role in SPLIT_ROLES else 0.0
    if path.suffix == ".txt":  # plain text to replay has no prompts
        return
    kind, rows = guess_kind(path)
    if kind is None:  # rows of plain text
        return
    for result in parse_rows(rows, kind):
        if isinstance(result, ParsedRow) and not (
            held_out and is_held_out(result.record, held_out=held_out, seed=seed)
        ):
            yield from trained_prompt_digests(result.record)


def _held_out_share(config: Mapping[str, Any]) -> float:
    try:
        return float(read_value(config, "data.held_out"))
    except (KeyError, TypeError, ValueError):  # a recipe that holds nothing out
        return 0.0


def _rows_of(role: str) -> str:
    """The rows to read from a dataset with several files, where they are not named like the role."""
    return "demonstrations" if role in ("replay", "ptx") else ""
