"""Rows of rollouts, which `fairlead sample` writes: the answers of several models to the same prompts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from fairlead.data import file_source
from fairlead.data.records import Messages, prompt_text
from fairlead.data.records import Prompt as PromptRecord
from fairlead.data.row_problem import RowProblem
from fairlead.labels import row_parsing
from fairlead.labels.errors import Invalid
from fairlead.labels.row_parsing import ParsedRow
from fairlead.store.artifact import Artifact, load_artifacts
from fairlead.store.project import Project

MAX_ROLLOUTS = 8


def list_all(project: Project) -> list[Artifact]:
    """Rollouts of the project that contain answers, newest first."""
    present, _ = load_artifacts(project)
    rollouts = [
        artifact
        for artifact in present
        if artifact.manifest.kind == "rollouts" and "answers.jsonl" in artifact.manifest.files
    ]
    return sorted(rollouts, key=lambda artifact: artifact.manifest.created_at, reverse=True)


def find(project: Project, refs: Sequence[str]) -> list[Artifact]:
    if len(refs) > MAX_ROLLOUTS:
        raise Invalid({"rollouts": f"must be at most {MAX_ROLLOUTS}"})
    # Looked up by label, because a path could lead outside the project.
    present = {artifact.label: artifact for artifact in list_all(project)}
    for ref in refs:
        if ref not in present or not present[ref].folder.resolve().is_relative_to(
            project.artifacts.resolve()
        ):
            raise Invalid({"rollouts": f"{ref!r} is not among the rollouts of this project; check the name"})
    return [present[ref] for ref in refs]


def merge(rollouts: Sequence[Artifact]) -> Iterator[ParsedRow | RowProblem]:
    """The rows of the first rollouts, with the answers of the others to the same prompts.

    Answers alternate: the first answer of each, then the second answer of each, and so on.
    """
    others = [
        {
            prompt_text(PromptRecord(row.prompt)): row
            for row in _read_rollouts(artifact)
            if isinstance(row, ParsedRow)
        }
        for artifact in rollouts[1:]
    ]
    for row in _read_rollouts(rollouts[0]):
        if isinstance(row, RowProblem):
            yield row
            continue
        rows = [
            row,
            *(other[key] for other in others if (key := prompt_text(PromptRecord(row.prompt))) in other),
        ]
        most = max(len(same_prompt.answers) for same_prompt in rows)
        alternating = [
            same_prompt.answers[i]
            for i in range(most)
            for same_prompt in rows
            if i < len(same_prompt.answers)
        ]
        unique: dict[Messages, Any] = {}
        for answer in alternating:
            unique.setdefault(answer.messages, answer)
        problems = tuple(problem for same_prompt in rows for problem in same_prompt.problems)
        yield replace(row, answers=tuple(unique.values()), problems=problems)


def _read_rollouts(artifact: Artifact) -> Iterator[ParsedRow | RowProblem]:
    model = next(
        (parent.name for parent in artifact.manifest.parents if parent.role == "model"), artifact.label
    )
    params = {
        name: artifact.manifest.config[name]
        for name in ("temperature", "top_p", "top_k", "min_p", "max_new_tokens")
        if name in artifact.manifest.config
    }
    for row in row_parsing.parse_rows(
        file_source.read_file_rows(artifact.folder / "answers.jsonl"),
        row_parsing.ANSWERS_FORMAT,
        model=model,
    ):
        if isinstance(row, ParsedRow):
            row = replace(
                row,
                answers=tuple(
                    replace(answer, params=params | {"rollouts": artifact.label}) for answer in row.answers
                ),
            )
        yield with_path(row, artifact.label)


def with_path(row: ParsedRow | RowProblem, filename: str) -> ParsedRow | RowProblem:
    """Replace the path of the stored file by the name that its owner knows."""
    return (
        replace(row, path=filename)
        if isinstance(row, RowProblem)
        else replace(row, where=row.where._replace(path=filename))
    )
