from fairlead.data.records import Message
from fairlead.data.sampled_answers import SampledAnswers
from fairlead.simulate import campaign, gold, world
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
