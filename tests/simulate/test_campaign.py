import subprocess
import sys
from pathlib import Path

from fairlead.core import jsonl
from fairlead.data.records import Message
from fairlead.data.sampled_answers import SampledAnswers
from fairlead.simulate import campaign, corpus, gold, world
from fairlead.simulate.raters import SimulatedRater


def test_demonstrations_are_careful_answers_to_training_prompts() -> None:
    found = campaign.demonstrations(100, 0)
    assert len({one.prompt for one in found}) == 100
    assert not any(world.is_held_out(one.prompt[0].content) for one in found)
    scores = [gold.judge(one.prompt[0].content, one.completion[0].content).score for one in found]
    assert 0.8 < sum(scores) / len(scores) < 0.99  # careful and not perfect
    assert campaign.demonstrations(100, 0) == found != campaign.demonstrations(100, 1)


def test_prompts_carry_their_family_and_stay_on_their_side() -> None:
    held_out = campaign.prompts(100, 0, purpose="test", held_out=True)
    assert all(world.is_held_out(one.prompt[0].content) for one in held_out)
    assert {tag for one in held_out for tag in one.tags} == set(world.FAMILIES)
    assert not any(
        world.is_held_out(one.prompt[0].content)
        for one in campaign.prompts(100, 0, purpose="a", held_out=False)
    )


def test_empty_answers_are_not_shown_to_people() -> None:
    prompt = (Message("user", "What is 3 plus 4?"),)
    three = SampledAnswers(prompt, ("", "The answer is 7.", "The answer is 8."), (True, True, True))
    one = SampledAnswers(prompt, ("", "It is."), (True, True))
    found = campaign.comparisons([three, one], (SimulatedRater(name="R", sharpness=100.0),), 0)
    assert [(pair.chosen[0].content, pair.rejected[0].content) for pair in found] == [
        ("The answer is 7.", "The answer is 8.")
    ]


def test_the_corpus_never_contains_a_held_out_prompt() -> None:
    rows = list(corpus.conversations(300, 0))
    assert len(rows) == 300
    assert not any(world.is_held_out(row["messages"][0]["content"]) for row in rows)
    assert rows == list(corpus.conversations(300, 0))
    assert rows != list(corpus.conversations(300, 1))
    scores = [gold.judge(*(message["content"] for message in row["messages"])).score for row in rows]
    assert 0.4 < sum(scores) / len(scores) < 0.85  # good and bad behaviour mixed


def test_the_corpus_is_written_by_its_documented_command(tmp_path: Path) -> None:
    out = tmp_path / "corpus.jsonl"
    command = [sys.executable, "-m", "fairlead.simulate.corpus", str(out), "--rows", "20", "--seed", "3"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    assert said == f"wrote 20 conversations to {out}\n"
    assert [row for _, row in jsonl.read(out)] == list(corpus.conversations(20, 3))
