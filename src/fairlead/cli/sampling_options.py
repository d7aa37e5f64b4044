"""Arguments and options that all sampling commands share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from fairlead.core import config as configs
from fairlead.core.template_settings import OWN_TEMPLATE, Template
from fairlead.store.project import project_root

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="An artifact, a folder, or OWNER/NAME on the Hub.")
]
Prompts = Annotated[
    str, typer.Option(metavar="FILE", help="Native rows with a prompt: a file, or a dataset of the project.")
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Maximum length of an answer, in tokens.")]
Temperature = Annotated[
    float, typer.Option(min=0, help="Sampling temperature; 0 always takes the most likely token.")
]
TopK = Annotated[int, typer.Option(min=0, help="Sample only from the k most likely tokens; 0 disables.")]
TopP = Annotated[
    float, typer.Option(help="Sample only from the most likely tokens that sum to this probability.")
]
MinP = Annotated[
    float,
    typer.Option(
        help="Sample only tokens with at least this fraction of the top token's probability; 0 disables."
    ),
]
Stop = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="End an answer after this text; repeatable.")
]
TooLong = Annotated[
    str,
    typer.Option(
        metavar="error|drop|truncate-prompt", help="What to do with prompts that leave no room for an answer."
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same answers.")]
TemplateWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="template.KEY=VALUE",
        help="How the model reads conversations: file, arguments, stop_tokens, date, fold_system.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class _TemplateConfig:
    template: Template = OWN_TEMPLATE


def read_template(words: Sequence[str] | None, project: Path | None = None) -> Template:
    """The `[template]` settings of a command line.  Raises ConfigError.

    The path of a template is relative to the working directory, or else to the root of `project` or of the
    project around the working directory, as for the inputs of a run.
    """
    template = configs.load(_TemplateConfig, None, words or ()).template
    root = project or project_root(Path.cwd())
    if root is not None and template.file and not Path(template.file).exists():
        in_project = root / template.file
        return replace(template, file=str(in_project)) if in_project.is_file() else template
    return template
