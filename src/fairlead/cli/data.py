"""`fairlead data`: import, check and split files of native rows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from fairlead.cli import next_commands
from fairlead.cli.lookup import ProjectDir
from fairlead.cli.output import AsJson, print_note, print_result, relative_path
from fairlead.cli.sampling_options import TemplateWords, read_template
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.plural import counted
from fairlead.data import column_map, importer, sources
from fairlead.data.check import CheckReport, check_file, drop_bad
from fairlead.data.file_source import SourceRow
from fairlead.data.kind_names import kind_noun
from fairlead.data.records import RECORD_KINDS
from fairlead.data.row_problem import RowProblem
from fairlead.data.split import split_file

MAX_PRINTED = 20  # problems on the terminal; every problem is counted, and --json lists more of them

app = typer.Typer(help="Import, check and split data.", no_args_is_help=True)

Rows = Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines of native rows, also gzipped.")]


@app.command("import")
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help=r"A file, a folder, a pattern, dataset_info.json:NAME, or hf:OWNER/NAME\[@subset]\[:split].",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The .jsonl file to write.")],
    format: Annotated[
        str | None,
        typer.Option(help="Name of a format, such as sharegpt; by default detected from the rows."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help=f"One of {', '.join(RECORD_KINDS)}; by default detected from the rows."),
    ] = None,
    map: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=SOURCE,…",
            help="Read a native column from another one, such as prompt=question,completion=data.answer.",
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH", help="Lowest and highest score of the source, such as 1:5."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Leave a column out on purpose; can be repeated."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Version of a data set of the Hub: a branch, a tag or a commit.")
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Take N rows at random, the same ones every time."),
    ] = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="Move bad rows to OUT.rejected.jsonl, each with its reason.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Convert rows of a known format to native rows.

    Example: fairlead data import hf:Anthropic/hh-rlhf:train --out data/comparisons.jsonl --drop
    """
    opened = sources.open_source(source, _hub_reader(revision))
    if revision is not None and not opened.is_hub:
        raise ConfigError(
            "--revision names a version of a data set of the Hub. Remove it, or name hf:OWNER/NAME."
        )
    report = importer.import_file(
        opened.rows,
        out,
        format=format or opened.format,
        kind=kind,
        drop=drop,
        columns=column_map.parse(map or (), ignore or (), scale),
        num_samples=opened.num_samples,
        sample=sample,
    )
    written = counted(report.num_written, kind_noun(report.kind))
    lines = [f"Read {counted(report.num_read, 'row')}; wrote {written}. The format is {report.format}."]
    if report.num_repeated:
        repeated = "row that repeats" if report.num_repeated == 1 else "rows that repeat"
        lines.append(f"Left out {report.num_repeated:,} {repeated} an earlier prompt.")
    if report.num_other_references:
        repeated = "row that asks" if report.num_other_references == 1 else "rows that ask"
        lines.append(
            f"Kept {report.num_other_references:,} {repeated} an earlier prompt with another reference."
        )
    lines += [f"Left out {number:,}: {reason}." for reason, number in sorted(report.left_out.items())]
    if report.num_dropped:
        lines.append(f"Dropped {counted(report.num_dropped, 'bad row')}, each with its reason.")
    if report.metadata_columns:
        lines.append(f"Kept as metadata: {', '.join(report.metadata_columns)}.")
    if report.ignored_columns:
        lines.append(f"Left out columns: {', '.join(report.ignored_columns)}.")
    facts = {
        "format": report.format,
        "kind": report.kind,
        "num_read": report.num_read,
        "num_written": report.num_written,
        "num_dropped": report.num_dropped,
        "num_repeated": report.num_repeated,
        "num_other_references": report.num_other_references,
        "left_out": dict(report.left_out),
        "metadata_columns": list(report.metadata_columns),
        "ignored_columns": list(report.ignored_columns),
    }
    wrote = [out] if report.rejected_path is None else [out, report.rejected_path]
    print_result(
        facts,
        lines,
        as_json=as_json,
        read=[source],
        wrote=wrote,
        next=next_commands.after_import(report.kind, out),
    )


@app.command("check")
def check(
    file: Rows,
    template: TemplateWords = None,
    drop: Annotated[
        bool,
        typer.Option("--drop", help="Write the good rows to --out, and move bad rows to a file beside it."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="With --drop: file for the good rows; by default FILE.good.jsonl.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Also encode every row for this model, and show which tokens would be trained."),
    ] = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Report the contents and the problems of a file of native rows; exit with 1 if rows cannot be used.

    Example: fairlead data check data/comparisons.jsonl --model Qwen/Qwen2.5-0.5B-Instruct
    """
    if out is not None and not drop:
        raise ConfigError("--out names the file for the good rows of --drop. Add --drop, or remove --out.")
    report = check_file(file)
    facts = _facts(report)
    lines: list[RenderableType] = [*_report_lines(report)]
    fit = None
    if model is not None:
        from fairlead.cli.lookup import find_model, load_path
        from fairlead.cli.preview import check_fit

        fit = check_fit(file, load_path(find_model(model, project)), read_template(template, project))
        facts["model"] = {"name": model, **fit.facts()}
        lines += fit.report_lines(MAX_PRINTED)
    num_unfit = fit.num_unfit if fit is not None else 0
    wrote: list[Path] = []
    if drop and fit is not None and 0 < fit.num_rows == num_unfit:
        raise DataError(f"{file}: {model} can train on none of its rows: {fit.refusal_lines()[0]}")
    if drop and (report.num_bad or num_unfit):
        good_file = out or _default_good_file(file)
        refused = {} if fit is None else {line: refusal[1:] for line, refusal in fit.refusals.items()}
        written = drop_bad(file, good_file, refused)
        wrote = [good_file] if written.rejected_path is None else [good_file, written.rejected_path]
        lines.append(
            f"Kept {counted(written.num_written, 'good row')}; "
            f"dropped {written.num_dropped} with their reasons."
        )
    elif drop:
        lines.append("There were no bad rows, so nothing was written.")
    next_command: str | list[str] = []
    if report.kind is not None:
        next_command = next_commands.after_check(report.kind, wrote[0] if wrote else file)
    if (report.num_bad or num_unfit) and not drop:
        with_model = f" --model {model}" if num_unfit else ""
        next_command = f"fairlead data check {relative_path(file)}{with_model} --drop"
    if report.num_good == 0:  # another format, not a file with bad rows
        next_command = f"fairlead data import {relative_path(file)} --out data/rows.jsonl"
    print_result(facts, lines, as_json=as_json, read=[file], wrote=wrote, next=next_command)
    if report.num_good == 0:
        print_note(f"DataError  {file}: has no native row. Convert it with `fairlead data import`.")
    elif report.num_bad and not drop:
        print_note(
            f"DataError  {file}: {report.num_bad} of {counted(report.num_rows, 'row')} cannot be used. "
            "Repair them, or set them aside with --drop."
        )
    if num_unfit and not drop:
        print_note(
            f"DataError  {file}: {model} cannot train on {counted(num_unfit, 'row')}. "
            "Change them as said above, or set them aside with --drop."
        )
    if (num_unfit or report.num_bad) and not drop:
        raise typer.Exit(1)


@app.command("split")
def split(
    file: Rows,
    out_train: Annotated[Path, typer.Option(help="The .jsonl file for training.")],
    out_held_out: Annotated[Path, typer.Option(help="The .jsonl file to keep out of training.")],
    held_out: Annotated[float, typer.Option(help="Expected share of the prompts to hold out.")] = 0.1,
    out_judge: Annotated[
        Path | None, typer.Option(help="A third .jsonl file, to train a judge that pays nobody.")
    ] = None,
    judge: Annotated[
        float, typer.Option(help="With --out-judge: expected share of the prompts for the judge.")
    ] = 0.3,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Split a file by prompt: all rows of a prompt go to the same side.

    Example: fairlead data split data/rows.jsonl --out-train train.jsonl --out-held-out held_out.jsonl
    """
    report = split_file(
        file, out_train, out_held_out, held_out=held_out, seed=seed, out_judge=out_judge, judge=judge
    )
    for_judge = "" if out_judge is None else f"{report.num_judge:,} for a judge, "
    facts_of_judge = {} if out_judge is None else {"num_judge": report.num_judge, "judge": judge}
    facts = {
        "kind": report.kind,
        "num_train": report.num_train,
        "num_held_out": report.num_held_out,
        "held_out": held_out,
        **facts_of_judge,
        "seed": seed,
    }
    print_result(
        facts,
        [
            f"{counted(report.num_train, kind_noun(report.kind))} for training, {for_judge}"
            f"{report.num_held_out:,} held out; no prompt is on two sides."
        ],
        as_json=as_json,
        read=[file],
        wrote=[out_train, *([] if out_judge is None else [out_judge]), out_held_out],
        next=next_commands.after_split(report.kind, out_train),
    )


def _hub_reader(revision: str | None) -> Callable[[str], Iterator[SourceRow | RowProblem]]:
    def read(name: str) -> Iterator[SourceRow | RowProblem]:
        from fairlead.data import hub_source

        return hub_source.read_hub_rows(name, revision=revision)

    return read


def _default_good_file(file: Path) -> Path:
    stem = file.name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".json")
    return file.with_name(f"{stem}.good.jsonl")


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
        "characters": {
            column: {"median": lengths.median, "max": lengths.max}
            for column, lengths in report.lengths.items()
        },
        "longer_chosen_frac": None if longer is None else longer.longer_frac,
        "unused_columns": report.unused_columns,
        "warnings": list(report.warnings),
        "problems": [
            {
                "line": problem.line,
                "field": problem.field,
                "why": problem.why,
                "remedy": problem.remedy,
                "message": str(problem),
            }
            for problem in report.problems
        ],
    }


def _report_lines(report: CheckReport) -> list[str]:
    number = f"{counted(report.num_rows, 'row')} of no known kind"
    if report.kind:
        number = counted(report.num_rows, kind_noun(report.kind))
    lines = [f"{number}: {report.num_good} good, {report.num_bad} bad."]
    if report.num_good:
        sharing = ""
        if report.num_sharing_prompt:
            sharing = f"; {counted(report.num_sharing_prompt, 'row')} with the prompt of another row"
        lines.append(f"{counted(report.num_prompts, 'different prompt')}{sharing}.")
        medians = [
            f"{column} {lengths.median:g} (longest {lengths.max})"
            for column, lengths in report.lengths.items()
        ]
        lines.append(f"Median characters: {', '.join(medians)}.")
    lines += [f"Warning: {warning}" for warning in report.warnings]
    num_printed = MAX_PRINTED if report.num_good else 1
    lines += [str(problem) for problem in report.problems[:num_printed]]
    if report.num_bad > num_printed:
        lines.append(f"… and {report.num_bad - num_printed} more.")
    return lines
