"""Writes docs/reference/configuration.md from the code: `python docs/make_configuration.py`."""

import importlib
import textwrap
from pathlib import Path

from fairlead.core import config_keys
from fairlead.core.former_keys import FORMER_NAMES
from fairlead.train import settings

PAGE = Path(__file__).parent / "reference" / "configuration.md"
TABLES = {
    "optim": settings.Optim,
    "adapter": settings.Adapter,
    "hardware": settings.Hardware,
    "data": settings.Data,
    "checkpoints": settings.Checkpoints,
    "template": settings.Template,
    "rewards": settings.Rewards,
    "scoring": settings.Scoring,
    "guard": settings.Guard,
    "ptx": settings.Ptx,
}
METHODS = (
    *("sft", "reward", "process_reward", "dpo", "kto", "uft", "alternate", "ppo", "grpo", "pretrain"),
    *("best_of_n", "rounds", "compare"),
)

OPENING = """# Configuration

Every training method reads its settings from a TOML file, from the command line, or from both. This page
documents the settings that methods share. Each method's own keys are on its page under
[algorithms](../algorithms/README.md). `configs/` has a commented file for every method.

```toml
# dpo.toml
name = "dpo"
model = "sft"
comparisons = "data/comparisons.jsonl"
beta = 0.1

[optim]
lr = 5e-5

[adapter]
rank = 16
```

```sh
fairlead train dpo dpo.toml optim.lr=2e-5 seed=1
fairlead train dpo --help      # the keys of a method
fairlead train dpo --help-all  # the advanced keys too
```

- **Names.** Write a shared key with its table, `optim.lr`, or alone, `lr`. The short form needs a name that
  is unique in the method. An ambiguous name is an error that lists the full names.
- **Precedence.** The command line overrides the file. The file overrides the method's defaults, and those
  override the defaults below. Setting one key of a table leaves the other keys as they are.
  A key is given once on the command line.
- **Errors.** All unknown keys and invalid values are reported together, before anything is loaded. Files do
  not include other files, and environment variables are not read.

This page is generated from the code: `python docs/make_configuration.py`.
"""


def table_section(name: str, table_class: type) -> str:
    summary = (table_class.__doc__ or "").split("\n\n")[0].replace(".  ", ". ")
    methods = [method for method in METHODS if name in config_keys.tables(_config_class(method))]
    links = ", ".join(f"[{method.replace('_', '-')}](../algorithms/{method}.md)" for method in methods)
    rows = [
        f"| `{name}.{key.name}` | {_code(key.type)} | {_default(key.default)} | {_cell(key.help)} |"
        f"{' yes |' if key.advanced else ' |'}"
        for key in config_keys.keys(table_class)
    ]
    used_by = textwrap.fill(f"Used by {links}.", width=110, break_long_words=False, break_on_hyphens=False)
    head = "| key | type | default | meaning | advanced |\n|---|---|---|---|---|"
    return f"## [{name}]\n\n{summary}\n\n{used_by}\n\n{head}\n" + "\n".join(rows) + "\n"


def former_names() -> str:
    rows = [f"| `{former}` | `{key}` |" for key, former in FORMER_NAMES.items()]
    return (
        "## Former names\n\nA former name is read as the present key.\n\n"
        "| former name | key |\n|---|---|\n" + "\n".join(rows) + "\n"
    )


def render() -> str:
    sections = [table_section(name, table_class) for name, table_class in TABLES.items()]
    return "\n".join([OPENING, *sections, former_names()])


def _config_class(method: str) -> type:
    config_class = importlib.import_module(f"fairlead.recipes.{method}").Config
    assert isinstance(config_class, type)
    return config_class


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(default: str | None) -> str:
    return "by method" if default is None else f"`{default}`"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
