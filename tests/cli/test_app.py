"""The command line as a whole: help, exit codes, late imports, and errors of every kind."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import fairlead
from outcome import Cli

COMMANDS = (
    "quickstart",
    "init",
    "data import",
    "data check",
    "data split",
    "train pretrain",
    "train sft",
    "train reward",
    "train dpo",
    "train ppo",
    "sample",
    "compare",
    "chat",
    "report",
    "lineage show",
    "lineage verify",
    "export",
)


def test_the_version_is_printed(cli: Cli) -> None:
    result = cli("--version")
    assert (result.code, result.out) == (0, f"fairlead {fairlead.__version__}\n")


def test_help_names_every_exit_code(cli: Cli) -> None:
    result = cli("--help")
    text = " ".join(result.out.split())
    assert result.code == 0
    assert (
        "0 success; 1 an error in the input" in text
        and "2 a bug" in text
        and "3 a gate failed" in text
        and "130 interrupted" in text
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_summary_and_an_example_and_json(cli: Cli, command: str) -> None:
    result = cli(*command.split(), "--help")
    assert result.code == 0
    assert f"Example: fairlead {command}" in " ".join(result.out.split())
    assert "--json" in result.out


def test_commands_that_nothing_serves_are_absent(cli: Cli) -> None:
    for absent in ("studio", "ask", "simulate", "loop", "eval"):
        assert cli(absent).code == 1


@pytest.mark.parametrize(
    "words",
    [("bogus",), ("data", "import"), ("init",), ("sample", "m", "--nope"), ("data", "split", "x.jsonl")],
)
def test_a_mistake_in_the_command_line_exits_1(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli(*words)
    assert (result.code, result.out) == (1, "")
    assert "Error" in result.err


def test_a_mistake_in_the_command_line_is_an_object_with_json(cli: Cli) -> None:
    assert cli("data", "import", "--json").json["exit_code"] == 1


def test_an_error_is_one_block_that_begins_with_its_class(cli: Cli, tmp_path: Path) -> None:
    result = cli("data", "check", tmp_path / "nothing.jsonl")
    assert (result.code, result.out) == (1, "")
    assert result.err == f"DataError  {tmp_path / 'nothing.jsonl'}: no such file. Check the path.\n"


def test_an_error_with_json_is_an_object_on_standard_output(cli: Cli, tmp_path: Path) -> None:
    result = cli("data", "check", tmp_path / "nothing.jsonl", "--json")
    assert result.json == {
        "error": "DataError",
        "message": f"{tmp_path / 'nothing.jsonl'}: no such file. Check the path.",
        "exit_code": 1,
    }


def test_control_characters_of_a_file_do_not_reach_the_terminal(cli: Cli, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "\x1b[2Jhidden\u202e", "chosen": ""}\n', encoding="utf-8")
    result = cli("data", "check", rows)
    assert result.code == 1
    assert "\x1b" not in result.out + result.err and "\u202e" not in result.out + result.err


def test_a_place_that_cannot_be_written_is_no_bug(cli: Cli, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "2 + 2?", "completion": "4"}\n', encoding="utf-8")
    result = cli("data", "import", rows, "--out", rows / "below" / "out.jsonl")
    assert result.code == 1
    assert "Not a directory" in result.err


def test_a_bug_exits_2_and_says_where_the_traceback_is(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAIRLEAD_DEBUG", raising=False)
    result = cli("report", "broken", "--project", broken_project(cli, tmp_path))
    assert result.code == 2
    assert result.err.startswith("This is a bug in Fairlead: KeyError")
    written = Path(result.err.split("The traceback is in ")[1].split("; ")[0])
    assert "Traceback (most recent call last)" in written.read_text(encoding="utf-8")
    written.unlink()


def test_debug_prints_the_traceback(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRLEAD_DEBUG", "1")
    result = cli("report", "broken", "--project", broken_project(cli, tmp_path))
    assert result.code == 2
    assert "Traceback (most recent call last)" in result.err


BASE_MODEL = Path(fairlead.__file__).parent / "simulate" / "base_model"


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    """In a separate process in which torch and datasets cannot be imported, as if they were not installed."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n')
    result = in_python(
        f"""
        import sys
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("torch", "transformers", "peft", "datasets"):
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Absent())
        from fairlead.cli.app import call
        assert call(["init", {str(tmp_path / "p")!r}]) == 0
        keys = ["name=a", "model=" + {str(BASE_MODEL)!r}, "demonstrations=" + {str(rows)!r}]
        print(call(["train", "sft", "--project", {str(tmp_path / "p")!r}, *keys]))
        print(call(["data", "import", "hf:owner/name", "--out", "x.jsonl"]))
        """
    )
    assert result.stdout.splitlines()[-2:] == ["1", "1"]
    for package, extra in (("torch", "train"), ("datasets", "hub")):
        assert (
            f"ConfigError  This command needs {package}, which is not installed. "
            f"Install it with: pip install 'fairlead[{extra}]'"
        ) in result.stderr


def test_help_and_the_commands_about_data_and_lineage_never_load_torch(project: Path, tmp_path: Path) -> None:
    home, rows, out = str(project), str(project / "data" / "comparisons.jsonl"), str(tmp_path / "out.jsonl")
    lines = [
        ["--help"],
        ["train", "--help"],
        ["init", str(tmp_path / "new")],
        ["data", "import", rows, "--out", out],
        ["data", "check", out],
        [
            "data",
            "split",
            out,
            "--held-out",
            "0.4",
            "--out-train",
            str(tmp_path / "a.jsonl"),
            "--out-held-out",
            str(tmp_path / "b.jsonl"),
        ],
        ["lineage", "show", "sft", "--project", home],
        ["lineage", "verify", "--project", home],
        ["report", "sft", "--project", home, "--out", str(tmp_path / "r.html")],
    ]
    result = in_python(
        f"""
        import sys
        from fairlead.cli.app import call
        for line in {lines!r}:
            assert call(line) == 0, line
            loaded = sorted({{"torch", "transformers", "peft", "datasets"}} & sys.modules.keys())
            assert not loaded, (line, loaded)
        """
    )
    assert result.returncode == 0, result.stderr


def test_help_takes_less_than_a_second_of_processor_time() -> None:
    """Of processor time, because a clock on the wall would measure what else the machine has to do."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(
        [sys.executable, "-m", "fairlead", "--help"], capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0 and "quickstart" in result.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_the_module_runs_as_the_command(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "fairlead", "data", "check", str(tmp_path / "nothing.jsonl"), "--json"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert json.loads(result.stdout)["error"] == "DataError"


def broken_project(cli: Cli, tmp_path: Path) -> Path:
    """A project with a run whose config.json somebody emptied: nothing that Fairlead foresees."""
    root = tmp_path / "project"
    assert cli("init", root).code == 0
    (root / "runs" / "broken").mkdir()
    (root / "runs" / "broken" / "config.json").write_text("{}", encoding="utf-8")
    return root


def in_python(source: str) -> subprocess.CompletedProcess[str]:
    lines = source.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    text = "\n".join(line[indent:] for line in lines)
    return subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_COLOR": "1"},
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_output_that_nobody_can_write_ends_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": [{"role": "user", "content": "Why?"}]}\n')
    command = [sys.executable, "-m", "fairlead", "data", "check", str(tmp_path / "p.jsonl"), "--json"]
    with open("/dev/full", "w") as full:
        process = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert process.returncode == 1
    assert process.stderr.startswith("OSError  The disk: No space left") and "Traceback" not in process.stderr


def test_ctrl_c_before_a_loop_says_how_to_go_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.jsonl")
    command = [sys.executable, "-m", "fairlead", "data", "check", str(tmp_path / "rows.jsonl")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        with open(tmp_path / "rows.jsonl", "wb"):  # waits until the command reads
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 130
        assert process.stderr is not None
        assert process.stderr.read() == "Stopped. Run the same command again to go on.\n"
