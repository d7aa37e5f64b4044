"""`fairlead sample`: write a model's answers to prompts to a file."""

from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli import next_commands
from fairlead.cli.lookup import ProjectDir, open_project
from fairlead.cli.metrics_text import metric_lines
from fairlead.cli.output import AsJson, print_note, print_result
from fairlead.cli.sampling_options import (
    MaxNewTokens,
    MinP,
    Model,
    Prompts,
    Seed,
    Stop,
    Temperature,
    TemplateWords,
    TooLong,
    TopK,
    TopP,
    read_template,
)
from fairlead.core import digest, files
from fairlead.core.errors import DataError
from fairlead.data.record_writer import require_jsonl_name
from fairlead.store.artifact import load_artifacts
from fairlead.store.project import Project


def sample(
    model: Model,
    prompts: Prompts,
    out: Annotated[Path, typer.Option(help="The .jsonl file to write.")],
    per_prompt: Annotated[int, typer.Option("-n", "--per-prompt", help="Answers per prompt.")] = 1,
    max_new_tokens: MaxNewTokens = 128,
    temperature: Temperature = 1.0,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    min_p: MinP = 0.0,
    stop: Stop = None,
    seed: Seed = 0,
    too_long: TooLong = "error",
    template: TemplateWords = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Sample answers to prompts from a model: one row per prompt with its answers.

    Example: fairlead sample sft --prompts data/prompts.jsonl -n 4 --out answers.jsonl
    """
    _check_out(out, prompts)
    opened_project = open_project(project)
    _check_overwritten(out, opened_project)

    from fairlead.cli.sampled_answers import sample_answers
    from fairlead.recipes.sample import ROWS

    settings = {
        "model": model,
        "prompts": prompts,
        "per_prompt": per_prompt,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "stop": stop or [],
        "seed": seed,
        "too_long": too_long,
        "template": read_template(template),
    }
    artifact, existed = sample_answers(opened_project, settings)
    if existed:
        print_note(f"{artifact.label} already exists; copying its answers.")
    with files.atomic_file(out) as file:
        file.write((artifact.folder / ROWS).read_bytes())
    metrics = artifact.manifest.metrics
    print_result(
        {"artifact": artifact.label, "out": str(out), "metrics": metrics, "made_before": existed},
        [f"{artifact.label}.", *metric_lines(metrics)],
        as_json=as_json,
        read=[f"{parent.role}: {parent.name}" for parent in artifact.manifest.parents],
        wrote=[out, artifact.folder],
        next=next_commands.after_sample(model, prompts, out),
    )


def _check_overwritten(out: Path, project: Project) -> None:
    """Refuse to overwrite rows that are nowhere else: earlier answers are, in their rollouts."""
    if out.exists() and out.stat().st_size:
        before = digest.of_file(out)
        rollouts = (each for each in load_artifacts(project)[0] if each.manifest.kind == "rollouts")
        if not any(before in rollout.manifest.files.values() for rollout in rollouts):
            raise DataError(
                f"{out}: holds other rows than sampled answers of this project, and would be overwritten. "
                "Choose another --out, or remove the file."
            )


def _check_out(out: Path, prompts: str) -> None:
    """Refuse an output that cannot be written or that would overwrite the prompts, before sampling starts."""
    if require_jsonl_name(out).is_dir():
        raise DataError(f"{out}: is a folder. Name a file for the answers.")
    if out.exists() and Path(prompts).exists() and out.samefile(prompts):
        raise DataError(f"{out}: holds the prompts and would be overwritten. Choose another --out.")
