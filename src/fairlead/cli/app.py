"""The `fairlead` command: its parts put together, and the one place where an error becomes a message and an exit code.

Commands import what they need when they run, so that help and the commands about data and lineage never load torch.
"""

import errno
import logging
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

import fairlead
from fairlead.cli import (
    answer,
    chat,
    compare,
    data,
    eval,
    export,
    init,
    lineage,
    quickstart,
    report,
    sample,
    studio,
    train,
)
from fairlead.cli.output import print_error_object, print_note
from fairlead.core.allocator import cache_onednn_primitives, keep_freed_pages
from fairlead.core.errors import FairleadError
from fairlead.core.threads import limit_spinning

# Packages that only some commands need -> the extra that installs them.
EXTRAS = {
    "torch": "train",
    "transformers": "train",
    "tokenizers": "train",
    "safetensors": "train",
    "peft": "train",
    "datasets": "hub",
    "authlib": "oidc",
    "joserfc": "oidc",
}

# What a place on the disk can answer: the user chose it, or has to make room.
REFUSALS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}

EXIT_CODES = (
    "Exit codes: 0 done; 1 the input is at fault, and the message says how; 2 a bug in Fairlead; "
    "3 a check that decides said no; 130 stopped with Ctrl-C, and the same command goes on."
)

app = typer.Typer(
    name="fairlead",
    help="From a pre-trained language model to a model that people prefer, with the evidence.\n\nExample: fairlead quickstart",
    epilog=EXIT_CODES,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("quickstart")(quickstart.quickstart)
app.command("init")(init.init)
app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")
app.command("sample")(sample.sample)
app.command("compare")(compare.compare)
app.command("eval")(eval.evaluate)
app.command("chat")(chat.chat)
app.command("answer")(answer.answer)
app.command("report")(report.report)
app.add_typer(lineage.app, name="lineage")
app.command("export")(export.export)
app.add_typer(studio.app, name="studio")


def _version(asked: bool) -> None:
    if asked:
        print(f"fairlead {fairlead.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """The entry point of the command and of `python -m fairlead`."""
    limit_spinning()
    cache_onednn_primitives()
    keep_freed_pages()
    sys.exit(call(sys.argv[1:]))


def call(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    as_json = "--json" in arguments
    logging.getLogger("bitsandbytes").setLevel(
        logging.ERROR
    )  # which faster parts it could have, as soon as PEFT loads it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", FutureWarning
            )  # libraries telling each other's programmers what will change
            app(list(arguments), prog_name="fairlead")
    except SystemExit as ended:
        return _parser_ended(ended, as_json)
    except KeyboardInterrupt:
        return _tell("Stopped", "Stopped.", 130, as_json)
    except FairleadError as error:
        return _tell(type(error).__name__, str(error), error.exit_code, as_json)
    except Exception as error:
        name, message, exit_code = _explain(error)
        return _tell(name, message, exit_code, as_json)
    return 0


def _parser_ended(ended: SystemExit, as_json: bool) -> int:
    """The parser has said what it had to; it ends with 2 at a mistake in the command line, which is the user's input, so 1."""
    if ended.code == 130:
        return _tell("Stopped", "Stopped.", 130, as_json)
    if ended.code != 2:
        return int(ended.code or 0)
    if as_json:
        print_error_object("UsageError", "The command line is not valid; standard error says why.", 1)
    return 1


def _explain(error: Exception) -> tuple[str, str, int]:
    """Name, message and exit code of what Fairlead did not raise itself."""
    if isinstance(error, ModuleNotFoundError):
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is not None:
            message = f"This command needs {error.name}, which is not installed. Install it with: pip install 'fairlead[{extra}]'"
            return "ConfigError", message, 1
    if isinstance(error, OSError) and error.errno in REFUSALS and error.filename is not None:
        return (
            type(error).__name__,
            f"{error.filename}: {error.strerror}. Choose another place, or change this one.",
            1,
        )
    return "Bug", f"This is a bug in Fairlead: {type(error).__name__}: {error}\n{_where_written(error)}", 2


def _tell(name: str, message: str, exit_code: int, as_json: bool) -> int:
    print_note(message if name in ("Bug", "Stopped") else f"{name}  {message}")
    if as_json:
        print_error_object(name, message, exit_code)
    return exit_code


def _where_written(error: Exception) -> str:
    """Keep the traceback for a report of the bug, out of the way of somebody who only wanted to train a model."""
    text = "".join(traceback.format_exception(error))
    if os.environ.get("FAIRLEAD_DEBUG") == "1":
        return text
    with tempfile.NamedTemporaryFile(
        "w", prefix="fairlead-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    return f"The traceback is in {file.name}; FAIRLEAD_DEBUG=1 prints it. Please report both."
