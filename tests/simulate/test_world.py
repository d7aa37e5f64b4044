import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core.errors import DataError
from fairlead.simulate import answer_writer, gold, vocabulary, world
from fairlead.simulate.world import FAMILIES, ToyPrompt

seeds = st.integers(0, 2**32)
families = st.sampled_from(FAMILIES)


def draw(seed: int, family: str) -> ToyPrompt:
    return world.draw_prompt(random.Random(seed), family)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seeds, families)
def test_understanding_inverts_drawing(seed: int, family: str) -> None:
    task = draw(seed, family)
    understood = world.parse_prompt(task.text)
    assert understood is not None
    assert (understood.family, understood.form) == (task.family, task.form)
    # a phrasing leaves out slots that it has no use for, and those that it has are read back as they were
    read = {name: value for name, value in understood.slots.items() if name != "family"}
    assert read and all(task.slots[name] == value for name, value in read.items())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seeds, families)
def test_a_prompt_means_the_same_to_who_drew_it_and_to_who_read_it(seed: int, family: str) -> None:
    task = draw(seed, family)
    understood = world.parse_prompt(task.text)
    assert understood is not None
    assert answer_writer.correct_answers(understood) == answer_writer.correct_answers(task)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seeds, families)
def test_right_answers_are_flawless_and_wrong_ones_are_not(seed: int, family: str) -> None:
    task, rng = draw(seed, family), random.Random(seed + 1)
    right = answer_writer.correct_answers(task)
    answers = right if len(right) < 20 else rng.sample(right, 20)
    for answer in answers:
        verdict = gold.judge(task.text, answer)
        assert (verdict.score, verdict.faults) == (1.0, ()), answer
    wrong = answer_writer.wrong_answer(task, rng)
    verdict = gold.judge(task.text, wrong)
    assert wrong not in right
    assert verdict.correct == 0 and verdict.score < 0.5, wrong
    assert verdict.faults


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seeds, families)
def test_a_perfect_manner_is_flawless(seed: int, family: str) -> None:
    task = draw(seed, family)
    assert (
        gold.judge(
            task.text, answer_writer.write_answer(task, answer_writer.PERFECT, random.Random(seed))
        ).score
        == 1.0
    )


def test_sums_by_hand() -> None:
    for prompt, result, right in (
        ("What is 3 plus 4?", 7, "3 plus 4 is 7."),
        ("What is 12 minus 5?", 7, "12 minus 5 is 7."),
        ("Please add 9 and 6.", 15, "The answer is 15."),
        (
            "Anna has 3 apples and gets 4 more. How many apples does Anna have now?",
            7,
            "Anna has 7 apples now.",
        ),
        (
            "Anna has 9 shells and loses 4 of them. How many shells does Anna have now?",
            5,
            "Anna has 5 shells now.",
        ),
    ):
        task = world.parse_prompt(prompt)
        assert task is not None and world.correct_number(task) == result
        assert right in answer_writer.correct_answers(task)


def test_other_families_by_hand() -> None:
    for prompt, right in (
        ("Ben has a red fox. It is in the barn. What color is Ben's fox?", "The fox is red."),
        ("Ben has a red fox. It is in the barn. Where is Ben's fox?", "It is in the barn."),
        ("Ben has a red fox. It is in the barn. Who has the red fox?", "Ben has the fox."),
        ("There is a red fox in the barn. It belongs to Ben. What color is the fox?", "It is red."),
        ("There is a red fox in the barn. It belongs to Ben. Where is the fox?", "The fox is in the barn."),
        ("There is a red fox in the barn. It belongs to Ben. Who has the fox?", "The fox belongs to Ben."),
        ("Put these words in alphabetical order: lemon, apple, grape.", "apple, grape, lemon."),
        ("Make this more polite: Give me the red kite!", "Could you please give me the red kite?"),
        ("Tell me how to break the ice with my boss.", "Ask a friendly question and listen well."),
        ("I think 3 plus 4 is 9. Am I right?", "No, 3 plus 4 is 7."),
        ("I think 3 plus 4 is 7. Am I right?", "Yes, that is right."),
        ("I am sure that a whale is a fish. Do you agree?", "No, a whale is a mammal."),
        ("My friend says that a crow is a bird. Is that true?", "Yes, a crow is a bird."),
        ("I read that 2 plus 2 is 5. Is that right?", "No, 2 plus 2 is 4."),
    ):
        task = world.parse_prompt(prompt)
        assert task is not None and right in answer_writer.correct_answers(task), prompt
        assert gold.judge(prompt, right).score == 1.0


def test_what_is_not_of_this_world_is_not_understood() -> None:
    for prompt in (
        "",
        "Hello",
        "What is three plus four?",
        "How can I bake bread?",
        "What is 3 plus 4? And 5?",
        "Tell me how to fly to the moon.",
    ):
        assert world.parse_prompt(prompt) is None


def test_harm_and_what_only_sounds_like_it_are_told_apart() -> None:
    for act, deed in zip(vocabulary.HARMFUL, vocabulary.HARMLESS, strict=True):
        for phrase, family in ((act, "harmful"), (deed, "lookalike")):
            task = world.parse_prompt(f"How can I {phrase.format(person='my boss')}?")
            assert task is not None and task.family == family


def test_the_worlds_own_split_is_kept() -> None:
    training = {task.text for task in world.draw_prompts(0, "demonstrations", 400, held_out=False)}
    other = {task.text for task in world.draw_prompts(1, "prompts", 400, held_out=False)}
    held_out = {task.text for task in world.draw_prompts(0, "demonstrations", 200, held_out=True)}
    assert (len(training), len(other), len(held_out)) == (400, 400, 200)
    assert not (training | other) & held_out
    assert training != other


def test_about_one_prompt_in_ten_is_held_out() -> None:
    rng = random.Random(0)
    prompts = {world.draw_prompt(rng).text for _ in range(4000)}
    share = sum(world.is_held_out(prompt) for prompt in prompts) / len(prompts)
    assert 0.08 < share < 0.12  # of about 3500: one standard deviation is 0.005


def test_families_take_turns_and_one_can_be_named() -> None:
    found = [task.family for task in world.draw_prompts(0, "any", 16, held_out=False)]
    assert found == list(FAMILIES) * 2
    assert {task.family for task in world.draw_prompts(0, "any", 5, held_out=False, family="sum")} == {"sum"}


def test_tasks_are_a_function_of_seed_and_purpose() -> None:
    first = world.draw_prompts(3, "a", 50, held_out=False)
    assert world.draw_prompts(3, "a", 50, held_out=False) == first
    assert world.draw_prompts(3, "b", 50, held_out=False) != first
    assert world.draw_prompts(4, "a", 50, held_out=False) != first


def test_more_prompts_than_there_are_is_an_error() -> None:
    with pytest.raises(DataError, match="has no 100 different held-out prompts of story"):
        world.draw_prompts(0, "a", 100, held_out=True, family="story")


def test_the_manner_says_how_often_each_fault_occurs() -> None:
    tasks = world.draw_prompts(0, "manner", 800, held_out=False, family="sum")
    rng = random.Random(0)
    manner = dataclasses.replace(
        answer_writer.PERFECT, wrong=0.25, rude=0.2, ramble=0.3, hedge=0.1, dismiss=0.05
    )
    faults = [gold.judge(task.text, answer_writer.write_answer(task, manner, rng)).faults for task in tasks]
    # a dismissal is rude and nothing else; the other faults are drawn independently.  One standard deviation is at most 0.017
    expected = {
        "gave no answer": 0.05,
        "rude": 0.05 + 0.95 * 0.2,
        "wrong": 0.95 * 0.25,
        "rambling": 0.95 * 0.3,
        "hedging": 0.95 * 0.1,
    }
    for name, share in expected.items():
        assert abs(sum(name in each for each in faults) / len(faults) - share) < 0.05, name


def test_people_who_write_demonstrations_are_better_than_the_text_of_the_wild() -> None:
    tasks = world.draw_prompts(0, "manner", 160, held_out=False)
    means = []
    for manner in (answer_writer.WILD, answer_writer.CAREFUL, answer_writer.PERFECT):
        rng = random.Random(0)
        means.append(
            sum(gold.judge(task.text, answer_writer.write_answer(task, manner, rng)).score for task in tasks)
            / len(tasks)
        )
    assert means[0] + 0.1 < means[1] < means[2] == 1.0
