"""`fairlead export`: a model as a plain folder that other tools load, without Fairlead's own files."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli.lookup import ProjectDir, find_model
from fairlead.cli.output import AsJson, print_result, relative_path
from fairlead.cli.sampling_options import Model
from fairlead.core import files
from fairlead.core.errors import ConfigError, ModelError, ProjectError
from fairlead.store.artifact import MANIFEST

ADAPTER = "adapter_config.json"


def export(
    model: Model,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder to make; it must not hold anything yet.")
    ],
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge an adapter into its base, so that the folder stands alone.")
    ] = False,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --merge: native rows with a prompt, to compare on; by default some of its own.",
        ),
    ] = None,
    keep_rounding: Annotated[
        bool,
        typer.Option(
            "--keep-rounding", help="With --merge: into what 4 bits left of the base that it was trained on."
        ),
    ] = False,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Copy a model, or a reward model, to a folder that transformers, vLLM and others load.

    Before and after merging, the model's answers are compared; where they would change, nothing is made.

    Example: fairlead export aligned --out aligned-model --merge
    """
    _check_empty(out)
    found = find_model(model, project, or_reward_model=True)
    if found.location is None:
        raise ModelError(
            f"{model}: is on the Hub, where other tools find it by the same name. Nothing was exported."
        )
    source = found.location

    from fairlead.data.record_reader import read_prompts
    from fairlead.model import load, quantize, scalar_model
    from fairlead.rollout.merge import PROMPTS, merge_adapter

    is_adapter = (source / ADAPTER).is_file()
    if (prompts or keep_rounding) and not (merge and is_adapter):
        raise ConfigError(
            "--prompts and --keep-rounding say how an adapter is merged. Add --merge, and give an adapter."
        )
    if keep_rounding and not quantize.has_record(source):
        raise ConfigError(
            f"{model}: was not trained on a base in 4 bits, so there is no rounding to keep. Leave out --keep-rounding."
        )
    if not is_adapter:
        load.check_folder(str(source))
    elif not merge:
        _check_adapter(source, load.adapter_base(source))
    gap = None
    if is_adapter and merge:
        asked = [row.prompt for row in read_prompts(prompts)] if prompts else PROMPTS
        merged, gap = merge_adapter(
            source, asked, keep_rounding=keep_rounding, source=str(prompts or "Fairlead's own prompts")
        )
    if out.exists():
        out.rmdir()
    with files.atomic_folder(out) as folder:
        if is_adapter and merge:
            merged.save(folder)
        else:
            _copy(
                source,
                folder,
                left_out=scalar_model.ADAPTER
                if (source / scalar_model.ADAPTER / ADAPTER).is_file()
                else None,
            )
        if is_adapter and not merge:
            _name_base(folder / ADAPTER, load.adapter_base(source))
    kind = "an adapter beside its base" if is_adapter and not merge else "a model with all its weights"
    print_result(
        {
            "model": model,
            "digest": found.digest or None,
            "adapter": is_adapter and not merge,
            "merged": is_adapter and merge,
        }
        | {"merge_gap": gap and asdict(gap)},
        [
            f"{found.name} as {kind}.",
            *([f"Merging moved its next tokens by {gap.kl:.4f} nats (KL, mean)."] if gap else []),
        ],
        as_json=as_json,
        read=[source],
        wrote=[out],
        next=f"fairlead chat {relative_path(out)}",
    )


def _check_empty(out: Path) -> None:
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ProjectError(
            f"{out}: exists and is not an empty folder. Choose another --out; nothing is overwritten."
        )


def _check_adapter(source: Path, base: str) -> None:
    if not (source / "adapter_model.safetensors").is_file():
        raise ModelError(f"{source}: the adapter has no adapter_model.safetensors. Pickle files are refused.")
    if (Path(base) / ADAPTER).is_file():
        raise ModelError(
            f"{source}: is an adapter on another adapter ({base}), which other tools cannot load. Add --merge."
        )


def _copy(source: Path, folder: Path, *, left_out: str | None) -> None:
    """All but Fairlead's own files: the manifest, and a reward model's adapter, which its merged weights do not need."""
    for file in sorted(source.rglob("*")):
        name = file.relative_to(source)
        own = name == Path(MANIFEST) or name.parts[0] == left_out
        if file.is_file() and not own and not any(part.startswith(".") for part in name.parts):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / name)


def _name_base(path: Path, base: str) -> None:
    """An artifact names its base relative to its own place, which the copy has left."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = str(Path(base).resolve()) if Path(base).is_dir() else base
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
