"""`fairlead data`: rows from elsewhere into native files, and what is wrong with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from fairlead.cli.lookup import ProjectDir
from fairlead.cli.output import AsJson, print_note, print_result, relative_path
from fairlead.core.errors import ConfigError
from fairlead.data import check as checks
from fairlead.data import file_source, importer
from fairlead.data import split as splits
from fairlead.data.check import CheckReport
from fairlead.data.file_source import SourceRow
from fairlead.data.records import RECORD_KINDS
from fairlead.data.row_problem import RowProblem

MAX_SHOWN = 20  # problems on the screen; all are counted, and --json has up to checks.MAX_PROBLEMS

app = typer.Typer(help="Import, check and split data.", no_args_is_help=True)

Rows = Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines of native rows; .gz is read too.")]


@app.command("import")
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A .jsonl or .json file (or .gz of these), or hf:OWNER/NAME[:split].".replace("[", r"\["),
        ),
    ],
    out: Annotated[Path, typer.Option(help="The .jsonl file to write.")],
    format: Annotated[
        str | None,
        typer.Option(help=f"One of {', '.join(importer.FORMATS)}; otherwise guessed from the rows."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(RECORD_KINDS)}; otherwise what the rows are.")
    ] = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="Set bad rows aside in OUT.rejected.jsonl, each with the reason.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Turn rows of a known format into native rows.

    Example: fairlead data import hf:Anthropic/hh-rlhf:train --out data/comparisons.jsonl --drop
    """
    report = importer.import_file(_source_rows(source), out, format=format, kind=kind, drop=drop)
    shown = [
        f"{report.num_written} of {report.num_read} rows written as {report.kind}s; the format is {report.format}."
    ]
    if report.num_repeated:
        shown.append(f"{report.num_repeated} repeated an earlier prompt and were left out.")
    if report.num_dropped:
        shown.append(f"{report.num_dropped} could not be used and were set aside, each with its reason.")
    if report.unused_columns:
        shown.append(f"Not read: the columns {', '.join(report.unused_columns)}.")
    facts = {
        "format": report.format,
        "kind": report.kind,
        "num_read": report.num_read,
        "num_written": report.num_written,
        "num_dropped": report.num_dropped,
        "num_repeated": report.num_repeated,
        "unused_columns": list(report.unused_columns),
    }
    wrote = [out] if report.rejected_path is None else [out, report.rejected_path]
    print_result(
        facts,
        shown,
        as_json=as_json,
        read=[source],
        wrote=wrote,
        next=f"fairlead data check {relative_path(out)}",
    )


@app.command("check")
def check(
    file: Rows,
    drop: Annotated[
        bool,
        typer.Option("--drop", help="Write the good rows to --out and set the bad ones aside beside it."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="With --drop; otherwise FILE.good.jsonl.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Also render every row for this model, and show what would be trained.")
    ] = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Say what a file of native rows holds and what is wrong with it; exit 1 when rows cannot be used.

    Example: fairlead data check data/comparisons.jsonl --model Qwen/Qwen2.5-0.5B-Instruct
    """
    if out is not None and not drop:
        raise ConfigError(
            "--out is where the good rows go when bad ones are dropped. Add --drop, or leave --out away."
        )
    report = checks.check_file(file)
    facts = _facts(report)
    shown: list[RenderableType] = [*_describe(report)]
    num_unfit = 0
    if model is not None:
        from fairlead.cli import preview
        from fairlead.cli.lookup import find_model, load_path

        fit = preview.fit(file, load_path(find_model(model, project)))
        facts["model"] = {"name": model, **fit.facts()}
        shown += fit.describe(MAX_SHOWN)
        num_unfit = fit.num_unfit
    wrote: list[Path] = []
    if drop and report.num_bad:
        good = out or _good_beside(file)
        written = checks.drop_bad(file, good)
        wrote = [good] if written.rejected_path is None else [good, written.rejected_path]
        shown.append(
            f"{written.num_written} good rows kept, {written.num_dropped} set aside with their reasons."
        )
    elif drop:
        shown.append("Nothing had to be dropped, so nothing was written.")
    usable = wrote[0] if wrote else file
    next = f"fairlead data split {relative_path(usable)} --held-out 0.1 --out-train train.jsonl --out-held-out held_out.jsonl"
    if report.num_bad and not drop:
        next = f"fairlead data check {relative_path(file)} --drop"
    print_result(facts, shown, as_json=as_json, read=[file], wrote=wrote, next=next)
    if report.num_bad and not drop:
        print_note(
            f"DataError  {file}: {report.num_bad} of {report.num_rows} rows cannot be used. Repair them, or set them aside with --drop."
        )
    if num_unfit:
        print_note(
            f"DataError  {file}: {num_unfit} rows cannot be trained on by {model}. Shorten or remove them."
        )
    if num_unfit or (report.num_bad and not drop):
        raise typer.Exit(1)


@app.command("split")
def split(
    file: Rows,
    out_train: Annotated[Path, typer.Option(help="The .jsonl file for training.")],
    out_held_out: Annotated[Path, typer.Option(help="The .jsonl file that nothing is trained on.")],
    held_out: Annotated[float, typer.Option(help="Share of the prompts that is held out.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Another seed holds out other prompts.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Hold some prompts out: all the rows of one prompt stand on one side.

    Example: fairlead data split data/comparisons.jsonl --out-train data/train.jsonl --out-held-out data/held_out.jsonl
    """
    report = splits.split_file(file, out_train, out_held_out, held_out=held_out, seed=seed)
    recipe, field = ("reward", "comparisons") if report.kind == "comparison" else ("sft", "demonstrations")
    print_result(
        {
            "kind": report.kind,
            "num_train": report.num_train,
            "num_held_out": report.num_held_out,
            "held_out": held_out,
            "seed": seed,
        },
        [
            f"{report.num_train} {report.kind}s for training, {report.num_held_out} held out; no prompt is on both sides."
        ],
        as_json=as_json,
        read=[file],
        wrote=[out_train, out_held_out],
        next=f"fairlead train {recipe} name={recipe} model=MODEL {field}={relative_path(out_train)}",
    )


def _source_rows(source: str) -> Iterator[SourceRow | RowProblem]:
    if source.startswith("hf:"):
        from fairlead.data import hub_source

        return hub_source.read_hub_rows(source)
    return file_source.read_file_rows(Path(source))


def _good_beside(file: Path) -> Path:
    return file.with_name(
        file.name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".json") + ".good.jsonl"
    )


def _facts(report: CheckReport) -> dict[str, Any]:
    longer = report.longer_chosen
    return {
        "file": str(report.path),
        "kind": report.kind,
        "num_rows": report.num_rows,
        "num_good": report.num_good,
        "num_bad": report.num_bad,
        "num_prompts": report.num_prompts,
        "num_sharing_prompt": report.num_sharing_prompt,
        "num_repeated": report.num_repeated,
        "num_contradictions": report.num_contradictions,
        "characters": {part: {"median": one.median, "max": one.max} for part, one in report.lengths.items()},
        "longer_chosen_frac": None if longer is None else longer.longer_frac,
        "unused_columns": report.unused_columns,
        "warnings": list(report.warnings),
        "problems": [
            {"line": one.line, "field": one.field, "why": one.why, "remedy": one.remedy, "message": str(one)}
            for one in report.problems
        ],
    }


def _describe(report: CheckReport) -> list[str]:
    kind = f"{report.kind}s" if report.kind else "rows of no known kind"
    shown = [f"{report.num_rows} rows, {kind}: {report.num_good} good, {report.num_bad} bad."]
    if report.num_good:
        sharing = (
            f"; {report.num_sharing_prompt} rows share theirs with another"
            if report.num_sharing_prompt
            else ""
        )
        shown.append(f"{report.num_prompts} different prompts{sharing}.")
        parts = [f"{part} {one.median:g} (longest {one.max})" for part, one in report.lengths.items()]
        shown.append(f"Characters, in the middle: {', '.join(parts)}.")
    shown += [f"Warning: {warning}" for warning in report.warnings]
    shown += [str(problem) for problem in report.problems[:MAX_SHOWN]]
    if report.num_bad > MAX_SHOWN:
        shown.append(f"… and {report.num_bad - MAX_SHOWN} more.")
    return shown
