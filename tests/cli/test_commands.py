"""The table of the commands: complete, as their `--help` says, and imported one at a time."""

import inspect
import subprocess
import sys

import pytest

from fairlead.cli import commands


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_list_of_commands_says_what_each_ones_help_says(name: str) -> None:
    command = commands.load_command(name)
    said = inspect.cleandoc(command.help).partition("\n\n")[0].replace("\n", " ")
    assert said.split() == commands.COMMANDS[name].summary.split()


def test_help_imports_no_command() -> None:
    lists = "import sys; from fairlead.cli.app import call; call(['--help'])"
    finds = "print(sorted({'fairlead.cli.data', 'fairlead.core.config', 'httpx'} & sys.modules.keys()))"
    ended = subprocess.run(
        [sys.executable, "-c", f"{lists}; {finds}"], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[]"
