"""The arguments of every command that lets a model speak."""

from typing import Annotated

import typer

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="An artifact, a folder, or OWNER/NAME on the Hub.")
]
Prompts = Annotated[
    str, typer.Option(metavar="FILE", help="Native rows with a prompt: a file, or a dataset of the project.")
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="The longest answer, in tokens.")]
Temperature = Annotated[
    float, typer.Option(min=0, help="0 takes the likeliest token always; 1 samples as the model learned.")
]
TopK = Annotated[int, typer.Option(min=0, help="Only the k likeliest tokens; 0 means all.")]
TopP = Annotated[float, typer.Option(help="Only the likeliest tokens that make up this much probability.")]
MinP = Annotated[
    float,
    typer.Option(
        help="Only tokens with at least this share of the likeliest one's probability; 0 means all."
    ),
]
Stop = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="An answer also ends where it says this. Can be given again."),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same answers.")]
