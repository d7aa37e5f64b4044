"""The file that describes a judge."""

import re
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.config_keys import keys
from fairlead.core.errors import ConfigError
from fairlead.rollout.judge_file import JudgeFile, open_endpoint, read_judge_file

ROOT = Path(__file__).parents[2]
NEEDED = 'url = "http://127.0.0.1:8000/v1"\nmodel = "m"\nrubric = "Be kind."\n'


def read(tmp_path: Path, text: str) -> JudgeFile:
    path = tmp_path / "judge.toml"
    path.write_text(text, encoding="utf-8")
    return read_judge_file(path)


def test_three_keys_are_enough(tmp_path: Path) -> None:
    judge = read(tmp_path, NEEDED)
    assert (judge.lowest, judge.highest, judge.concurrent) == (1, 10, 8)
    assert judge.body([]) == {"model": "m", "messages": [], "temperature": 0, "max_tokens": 1024}


def test_fields_of_the_request_can_be_added_and_replaced(tmp_path: Path) -> None:
    judge = read(
        tmp_path, NEEDED + '[request]\nreasoning_effort = "low"\ntemperature = 1\nmax_completion_tokens = 9\n'
    )
    assert judge.body([]) == {
        "model": "m",
        "messages": [],
        "temperature": 1,
        "max_completion_tokens": 9,
        "reasoning_effort": "low",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (NEEDED + "lowset = 0\n", 'judge.toml:4: unknown key "lowset". Did you mean "lowest"?'),
        (NEEDED + "lowest = 10\n", "must be below highest"),
        (NEEDED.replace("http://", "http://me:secret@"), "is no address such as"),
        (NEEDED.replace("/v1", "/v1?key=secret"), "is no address such as"),
        (NEEDED.replace("Be kind.", " "), "rubric = ' ': must not be empty"),
        (NEEDED.replace('rubric = "Be kind."', ""), '"rubric" is required'),
        (NEEDED + "timeout = 0\n", "timeout = 0"),
        (NEEDED + "concurrent = 0\n", "concurrent = 0"),
        (NEEDED + '[request]\nmodel = "other"\n', "are fields that Fairlead sets itself"),
        (NEEDED + "highest = inf\n", "must be a finite number"),
        ("url = \n", "not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert problem in str(error.value)


def test_a_key_is_read_from_the_environment_only(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MY_KEY", "sk-1")
    judge = read(tmp_path, NEEDED + 'key_env = "MY_KEY"\n')
    assert open_endpoint(judge, name="judge").key == "sk-1"
    assert open_endpoint(read(tmp_path, NEEDED), name="judge").key is None
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(ConfigError, match=r"^judge = llm:a\.toml: the environment variable MY_KEY"):
        open_endpoint(judge, name="judge = llm:a.toml")


def test_every_key_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "reference" / "judges.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `?([^|`]+)`? \|", page, re.MULTILINE)
    documented = {key.name: "required" if key.default is None else key.default for key in keys(JudgeFile)}
    assert dict(rows) == {name: value.replace("'", '"') for name, value in documented.items()}
