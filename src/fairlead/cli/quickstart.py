"""`fairlead quickstart`: the whole loop on the embedded example."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fairlead.cli.output import AsJson, print_note, print_result, relative_path
from fairlead.core.errors import Stopped


def quickstart(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The project folder to make, or to go on in.")
    ] = Path("fairlead-quickstart"),
    seed: Annotated[int, typer.Option(help="Another seed makes other people, prompts and samples.")] = 0,
    as_json: AsJson = False,
) -> None:
    """From a base model to one that people prefer, on an embedded example: a few minutes, no GPU, no download.

    Example: fairlead quickstart --out fairlead-quickstart
    """
    from fairlead.loop.quickstart import quickstart as run_quickstart

    try:
        summary = run_quickstart(out, seed=seed, say=print_note)
    except (Stopped, KeyboardInterrupt) as error:
        raise Stopped(
            f"Stopped; the work so far is in {relative_path(out)}. `fairlead quickstart --out {out} --seed {seed}` goes on."
        ) from error
    page = out / summary["report"]
    print_result(
        summary,
        [_table(summary), f"Open {relative_path(page)}"],
        as_json=as_json,
        wrote=[page, out / "summary.json"],
        next=f"fairlead chat aligned --project {relative_path(out)}",
    )


def _table(summary: Mapping[str, Any]) -> Table:
    reward, rate = summary["reward_model"], summary["win_rate_vs_sft"]
    table = Table("", "value", "95 % interval", "n", box=None, pad_edge=False)
    for name, label in (("base", "base model"), ("sft", "fine-tuned"), ("aligned", "aligned")):
        gold = summary["gold"][name]
        table.add_row(
            f"gold score, {label}",
            f"{gold['mean']:.3f}",
            f"{gold['low']:.3f} to {gold['high']:.3f}",
            str(gold["n"]),
        )
    table.add_row(
        "aligned wins against fine-tuned",
        f"{rate['value']:.1%}",
        f"{rate['low']:.1%} to {rate['high']:.1%}",
        str(rate["n"]),
    )
    accuracy = f"{reward['low']:.1%} to {reward['high']:.1%}"
    table.add_row("reward model's held-out accuracy", f"{reward['accuracy']:.1%}", accuracy, str(reward["n"]))
    table.add_row("  looking at length only", f"{reward['length_only']:.1%}", "", str(reward["n"]))
    table.add_row("time", f"{summary['seconds']:.0f} s")
    table.add_row("peak memory", f"{summary['peak_rss_mb']:.0f} MB")
    return table
