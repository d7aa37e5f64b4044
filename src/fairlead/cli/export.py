"""`fairlead export`: copy a model to a plain folder that other tools load, without Fairlead's own files."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli import next_commands
from fairlead.cli.lookup import ProjectDir, find_model
from fairlead.cli.output import AsJson, print_result
from fairlead.cli.sampling_options import Model, TemplateWords, read_template
from fairlead.core import files
from fairlead.core.errors import ConfigError, ModelError, ProjectError
from fairlead.core.output_path import require_outside_artifacts
from fairlead.store.artifact import MANIFEST

ADAPTER = "adapter_config.json"


def export(
    model: Model,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to create; it must be empty or absent.")],
    merge: Annotated[
        bool,
        typer.Option("--merge", help="Merge an adapter into its base, so that the folder is self-contained."),
    ] = False,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --merge: native rows with a prompt for the comparison; by default built-in prompts.",
        ),
    ] = None,
    keep_rounding: Annotated[
        bool,
        typer.Option(
            "--keep-rounding",
            help="With --merge, for an adapter on a 4-bit base: merge into the dequantised base.",
        ),
    ] = False,
    template: TemplateWords = None,
    project: ProjectDir = None,
    as_json: AsJson = False,
) -> None:
    """Copy a model or a reward model to a folder that transformers, vLLM and other tools load.

    With --merge, the command compares the model before and after; if they differ, it writes nothing.

    Example: fairlead export aligned --out aligned-model --merge
    """
    _check_empty(out)
    source_model = find_model(model, project, or_reward_model=True)
    if source_model.location is None:
        raise ModelError(
            f"{model}: is on the Hub, where other tools find it by the same name. Nothing was exported."
        )
    source = source_model.location
    if out.resolve().is_relative_to(source.resolve()):
        raise ProjectError(f"{out}: is inside the model that is exported. Choose another --out.")

    from fairlead.data.record_reader import read_prompts
    from fairlead.model import quantize, reward_reading, scalar_model
    from fairlead.model.check_model import adapter_base, check_model
    from fairlead.rollout.merge_adapter import PROMPTS, merge_adapter

    is_adapter = (source / ADAPTER).is_file()
    if (prompts or keep_rounding) and not (merge and is_adapter):
        raise ConfigError(
            "--prompts and --keep-rounding apply to merging an adapter. Add --merge, and name an adapter."
        )
    if keep_rounding and not quantize.has_record(source):
        raise ConfigError(
            f"{model}: was not trained on a 4-bit base, so there is no rounding to keep. "
            "Leave out --keep-rounding."
        )
    check_model(str(source))
    if is_adapter and not merge:
        _check_adapter(source, adapter_base(source))
    gap = None
    if is_adapter and merge:
        conversations = [row.prompt for row in read_prompts(prompts)] if prompts else PROMPTS
        merged, gap = merge_adapter(
            source,
            conversations,
            keep_rounding=keep_rounding,
            template=read_template(template, project),
            source=str(prompts or "Fairlead's own prompts"),
        )
    if out.exists():
        out.rmdir()
    reward_adapter = scalar_model.ADAPTER if (source / scalar_model.ADAPTER / ADAPTER).is_file() else None
    with files.atomic_folder(out) as folder:
        if is_adapter and merge:
            merged.save(folder)
        else:
            _copy(source, folder, left_out=reward_adapter)
        if is_adapter and not merge:
            _name_base(folder / ADAPTER, adapter_base(source))
    lines = [f"{source_model.name}: exported as {_describe(is_adapter and not merge)}."]
    is_reward_model = _is_reward_model(source)
    warning = ""
    if is_reward_model and reward_reading.is_read_elsewhere(str(source)):
        warning = (
            f"transformers and vLLM read {model} at another token than Fairlead, so their scores differ. "
            "Its padding token ends answers, or its chat template writes something after them. "
            "Train it again with this version of Fairlead."
        )
    if gap is not None:
        kl = max(gap.kl, 0.0)  # rounding can leave less than zero
        lines.append(f"Merging changed the next-token distributions by {kl:.4f} nats (mean KL).")
    print_result(
        {
            "model": model,
            "digest": source_model.digest or None,
            "adapter": is_adapter and not merge,
            "merged": is_adapter and merge,
            "merge_gap": None if gap is None else asdict(gap),
        },
        lines,
        as_json=as_json,
        read=[source],
        wrote=[out],
        next=next_commands.after_export(out, is_reward_model=is_reward_model),
        health=warning,
    )


def _is_reward_model(source: Path) -> bool:
    """Whether the model gives scores; an artifact's kind does not say so of a folder from elsewhere."""
    try:
        settings = json.loads((source / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # an adapter has no config.json
        return False
    return any("SequenceClassification" in name for name in settings.get("architectures") or ())


def _describe(needs_base: bool) -> str:
    return "an adapter that needs its base" if needs_base else "a model with all its weights"


def _check_empty(out: Path) -> None:
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ProjectError(
            f"{out}: is not an empty folder, and nothing is overwritten. Choose another --out."
        )
    require_outside_artifacts(out)


def _check_adapter(source: Path, base: str) -> None:
    if not (source / "adapter_model.safetensors").is_file():
        raise ModelError(f"{source}: the adapter has no adapter_model.safetensors. Pickle files are refused.")
    if (Path(base) / ADAPTER).is_file():
        raise ModelError(
            f"{source}: is an adapter on the adapter {base}, which other tools cannot load. Add --merge."
        )


def _copy(source: Path, folder: Path, *, left_out: str | None) -> None:
    """Copy all files but the manifest and a reward model's adapter, which merged weights do not need."""
    for file in sorted(source.rglob("*")):
        name = file.relative_to(source)
        is_internal = name == Path(MANIFEST) or name.parts[0] == left_out
        if file.is_file() and not is_internal and not any(part.startswith(".") for part in name.parts):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / name)


def _name_base(path: Path, base: str) -> None:
    """Name the base by its absolute path: an artifact's relative path is not valid in the copy."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = str(Path(base).resolve()) if Path(base).is_dir() else base
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
