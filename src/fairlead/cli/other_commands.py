"""Groups of commands that know the names of other tools: `fairlead train orpo` is `train dpo loss=orpo`."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

from fairlead.cli.commands import COMMANDS, load_command
from fairlead.core import other_words
from fairlead.core.errors import ConfigError


class TrainGroup(TyperGroup):
    """The methods of `fairlead train`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0] if args else ""
        if name and self.get_command(ctx, name) is None:
            method = other_words.METHODS.get(other_words.normal(name))
            if method is not None:
                rest = " ".join(args[1:])
                raise ConfigError(
                    f"fairlead train {name}: write `fairlead train {method}{rest and ' '}{rest}`."
                )
        return super().resolve_command(ctx, args)


class RootGroup(TyperGroup):
    """The commands of `fairlead`, each imported when it is used."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._shows_summaries = False
        for name, place in COMMANDS.items():
            self.add_command(TyperCommand(name, help=place.summary))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self._shows_summaries or cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        return load_command(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._shows_summaries = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._shows_summaries = False

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0] if args else ""
        if name and name not in COMMANDS:
            word = other_words.normal(name)
            command = other_words.COMMANDS.get(word)
            if command is None:
                methods = self.get_command(ctx, "train").commands
                method = name if name in methods else other_words.METHODS.get(word)
                command = f"fairlead train {method}" if method is not None else None
            if command is not None:
                raise ConfigError(f"fairlead {name}: no such command. Write `{command}`.")
        return super().resolve_command(ctx, args)
