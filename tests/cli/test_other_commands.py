"""Methods and commands under the names that other tools give them."""

import pytest

from outcome import Cli


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (["train", "orpo", "model=m"], "fairlead train dpo loss=orpo model=m"),
        (["train", "simpo"], "fairlead train dpo loss=simpo"),
        (["train", "ipo"], "fairlead train dpo loss=ipo"),
        (["train", "rm", "name=r"], "fairlead train reward name=r"),
        (["train", "reward_model"], "fairlead train reward"),
        (["train", "Reward-Model"], "fairlead train reward"),
        (["train", "rloo"], "fairlead train grpo baseline=leave-one-out"),
        (["sft", "name=a"], "fairlead train sft"),
        (["orpo"], "fairlead train dpo loss=orpo"),
        (["import", "x.jsonl"], "fairlead data import"),
        (["generate"], "fairlead sample"),
        (["serve"], "fairlead studio serve"),
    ],
)
def test_a_name_from_another_tool_is_answered_with_the_command(
    cli: Cli, words: list[str], written: str
) -> None:
    outcome = cli(*words)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("ConfigError") and f"rite `{written}`." in outcome.err


def test_an_unknown_name_is_still_an_error_of_the_command_line(cli: Cli) -> None:
    for words in (["train", "frobnicate"], ["frobnicate"]):
        outcome = cli(*words)
        assert outcome.code == 1 and "No such command" in outcome.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lr", "1e-5"], '"--lr": settings are written without dashes: lr=1e-5.'),
        (["--learning_rate", "1e-5"], '"--learning_rate": write lr=1e-5.'),
        (["--beta", "0.1", "--num_train_epochs", "2"], '"--num_train_epochs": write epochs=2.'),
        (["--projct", "p"], "--projct: no such option. Did you mean --project?"),
    ],
)
def test_options_of_other_tools_are_explained_with_their_value(
    cli: Cli, project: object, words: list[str], message: str
) -> None:
    outcome = cli("train", "sft", "name=x", "model=m", "demonstrations=d", *words, "--project", str(project))
    assert outcome.code == 1 and message in outcome.err
