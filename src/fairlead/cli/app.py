"""The `fairlead` command: runs one command, and turns errors into messages and exit codes.

Commands import their dependencies when they run, so `--help` and commands without models never load torch.
"""

import errno
import logging
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

import fairlead
from fairlead.cli.other_commands import RootGroup
from fairlead.cli.output import print_error_object, print_note
from fairlead.cli.start import STOPPED
from fairlead.core.allocator import cache_onednn_primitives, keep_freed_pages
from fairlead.core.errors import FairleadError
from fairlead.core.full_disk import NO_ROOM, describe, disk_errno, refused_path
from fairlead.core.full_memory import describe_full_memory
from fairlead.core.threads import limit_spinning

# Package -> the extra that installs it.
EXTRAS = {
    "torch": "train",
    "transformers": "train",
    "tokenizers": "train",
    "safetensors": "train",
    "peft": "train",
    "datasets": "hub",
    "pyarrow": "hub",
    "authlib": "oidc",
    "joserfc": "oidc",
}

# Errors of the file system that the user can resolve with another path or more space.
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
    "Exit codes: 0 success; 1 an error in the input, which the message explains; 2 a bug in Fairlead; "
    "3 a gate failed; 130 interrupted with Ctrl-C, and the same command resumes."
)

app = typer.Typer(
    name="fairlead",
    cls=RootGroup,
    help="Align a language model with human preferences, and measure it.\n\nExample: fairlead quickstart",
    epilog=EXIT_CODES,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(requested: bool) -> None:
    if requested:
        print(f"fairlead {fairlead.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run the command line of this process, and exit."""
    limit_spinning()
    cache_onednn_primitives()
    keep_freed_pages()
    sys.exit(call(sys.argv[1:]))


def call(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    as_json = "--json" in arguments
    # bitsandbytes would list optional components on every import of PEFT.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Libraries address these warnings to each other's developers.
            warnings.simplefilter("ignore", FutureWarning)
            app(list(arguments), prog_name="fairlead")
    except SystemExit as parser_exit:
        return _exit_code_of_parser(parser_exit, as_json)
    except KeyboardInterrupt:
        return _report_error("Stopped", STOPPED, 130, as_json)
    except FairleadError as error:
        return _report_error(type(error).__name__, str(error), error.exit_code, as_json)
    except Exception as error:
        name, message, exit_code = _describe_unexpected(error)
        return _report_error(name, message, exit_code, as_json)
    return 0


def _exit_code_of_parser(parser_exit: SystemExit, as_json: bool) -> int:
    """Typer exits with 2 for an invalid command line; for Fairlead that is 1, an error in the input."""
    if parser_exit.code == 130:
        return _report_error("Stopped", STOPPED, 130, as_json)
    if parser_exit.code != 2:
        return int(parser_exit.code or 0)
    if as_json:
        print_error_object("UsageError", "The command line is not valid; standard error says why.", 1)
    return 1


def _describe_unexpected(error: Exception) -> tuple[str, str, int]:
    """Name, message and exit code of an exception that is not a FairleadError."""
    if isinstance(error, ModuleNotFoundError):
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is not None:
            message = (
                f"This command needs {error.name}, which is not installed. "
                f"Install it with: pip install 'fairlead[{extra}]'"
            )
            return "ConfigError", message, 1
    code = disk_errno(error)
    path = refused_path(error)
    if code is not None and (code in NO_ROOM or (code in REFUSALS and path is not None)):
        return "OSError" if code in NO_ROOM else type(error).__name__, describe(code, path), 1
    full_memory = describe_full_memory(error)
    if full_memory is not None:
        return "MemoryError", full_memory, 1
    message = f"This is a bug in Fairlead: {type(error).__name__}: {error}\n{_save_traceback(error)}"
    return "Bug", message, 2


def _report_error(name: str, message: str, exit_code: int, as_json: bool) -> int:
    with suppress(OSError):  # nobody reads, or the disk is full: the exit code says the rest
        print_note(message if name in ("Bug", "Stopped") else f"{name}  {message}")
        if as_json:
            print_error_object(name, message, exit_code)
    return exit_code


def _save_traceback(error: Exception) -> str:
    """Write the traceback to a file and name the file; with FAIRLEAD_DEBUG=1, return the traceback itself."""
    traceback_text = "".join(traceback.format_exception(error))
    if os.environ.get("FAIRLEAD_DEBUG") == "1":
        return traceback_text
    with tempfile.NamedTemporaryFile(
        "w", prefix="fairlead-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(traceback_text)
    return f"The traceback is in {file.name}; FAIRLEAD_DEBUG=1 prints it. Please report both."
