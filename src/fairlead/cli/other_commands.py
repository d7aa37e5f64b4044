"""Groups of commands that know the names of other tools: `fairlead train orpo` is `train dpo loss=orpo`."""

from typing import Any

from typer.core import TyperGroup

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
    """The commands of `fairlead`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0] if args else ""
        if name and self.get_command(ctx, name) is None:
            train = self.get_command(ctx, "train")
            methods = train.commands if isinstance(train, TyperGroup) else ()
            word = other_words.normal(name)
            method = name if name in methods else other_words.METHODS.get(word)
            command = other_words.COMMANDS.get(word)
            if command is None and method is not None:
                command = f"fairlead train {method}"
            if command is not None:
                raise ConfigError(f"fairlead {name}: no such command. Write `{command}`.")
        return super().resolve_command(ctx, args)
