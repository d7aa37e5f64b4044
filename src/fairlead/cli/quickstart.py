"""`fairlead quickstart`: run the whole loop on the toy world."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fairlead.cli.output import AsJson, print_note, print_result, relative_path
from fairlead.core.errors import Stopped


def quickstart(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Project folder to create or resume.")] = Path(
        "fairlead-quickstart"
    ),
    seed: Annotated[int, typer.Option(help="Seed for raters, prompts and samples.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Align a small base model on the embedded toy world: a few minutes, no GPU, no download.

    Example: fairlead quickstart --out fairlead-quickstart
    """
    from fairlead.loop.quickstart import quickstart as run_quickstart

    try:
        summary = run_quickstart(out, seed=seed, say=print_note)
    except (Stopped, KeyboardInterrupt) as error:
        raise Stopped(
            f"Stopped. The finished work is in {relative_path(out)}. "
            f"Resume with: fairlead quickstart --out {out} --seed {seed}"
        ) from error
    page = out / summary["report"]
    print_result(
        summary,
        [_table(summary), f"Open {relative_path(page)} in a browser."],
        as_json=as_json,
        wrote=[page, out / "summary.json"],
        next=f"fairlead chat aligned --project {relative_path(out)}",
    )


def _table(summary: Mapping[str, Any]) -> Table:
    reward_model = summary["reward_model"]
    win_rate = summary["win_rate_vs_sft"]
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
        "win rate, aligned against fine-tuned",
        f"{win_rate['value']:.1%}",
        f"{win_rate['low']:.1%} to {win_rate['high']:.1%}",
        str(win_rate["n"]),
    )
    table.add_row(
        "reward model, held-out accuracy",
        f"{reward_model['accuracy']:.1%}",
        f"{reward_model['low']:.1%} to {reward_model['high']:.1%}",
        str(reward_model["n"]),
    )
    table.add_row("  length-only baseline", f"{reward_model['length_only']:.1%}", "", str(reward_model["n"]))
    table.add_row("time", f"{summary['seconds']:.0f} s")
    table.add_row("peak memory", f"{summary['peak_rss_mb']:.0f} MB")
    return table
