"""Answers of the toy world against its gold rule."""

import dataclasses
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.simulate import answer_writer, gold, world
from fairlead.simulate.world import FAMILIES, ToyPrompt

seeds = st.integers(0, 2**32)
families = st.sampled_from(FAMILIES)


def draw(seed: int, family: str) -> ToyPrompt:
    return world.draw_prompt(random.Random(seed), family)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seeds, families)
def test_a_parsed_prompt_has_the_same_correct_answers_as_the_drawn_prompt(seed: int, family: str) -> None:
    toy_prompt = draw(seed, family)
    understood = world.parse_prompt(toy_prompt.text)
    assert understood is not None
    assert answer_writer.correct_answers(understood) == answer_writer.correct_answers(toy_prompt)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seeds, families)
def test_correct_answers_have_no_faults_and_wrong_answers_do(seed: int, family: str) -> None:
    toy_prompt, rng = draw(seed, family), random.Random(seed + 1)
    right = answer_writer.correct_answers(toy_prompt)
    answers = right if len(right) < 20 else rng.sample(right, 20)
    for answer in answers:
        verdict = gold.judge(toy_prompt.text, answer)
        assert (verdict.score, verdict.faults) == (1.0, ()), answer
    wrong = answer_writer.wrong_answer(toy_prompt, rng)
    verdict = gold.judge(toy_prompt.text, wrong)
    assert wrong not in right
    assert verdict.correct == 0 and verdict.score < 0.5, wrong
    assert verdict.faults


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seeds, families)
def test_the_perfect_style_has_no_faults(seed: int, family: str) -> None:
    toy_prompt = draw(seed, family)
    assert (
        gold.judge(
            toy_prompt.text,
            answer_writer.write_answer(toy_prompt, answer_writer.PERFECT, random.Random(seed)),
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
        toy_prompt = world.parse_prompt(prompt)
        assert toy_prompt is not None and world.correct_number(toy_prompt) == result
        assert right in answer_writer.correct_answers(toy_prompt)


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
        toy_prompt = world.parse_prompt(prompt)
        assert toy_prompt is not None and right in answer_writer.correct_answers(toy_prompt), prompt
        assert gold.judge(prompt, right).score == 1.0


def test_a_style_sets_how_often_each_fault_occurs() -> None:
    toy_prompts = world.draw_prompts(0, "style", 800, held_out=False, family="sum")
    rng = random.Random(0)
    style = dataclasses.replace(
        answer_writer.PERFECT, wrong=0.25, rude=0.2, ramble=0.3, hedge=0.1, dismiss=0.05
    )
    faults = [
        gold.judge(toy_prompt.text, answer_writer.write_answer(toy_prompt, style, rng)).faults
        for toy_prompt in toy_prompts
    ]
    # A dismissal is rude and has no other fault; the other faults are drawn independently.
    # One standard deviation is at most 0.017.
    expected = {
        "gave no answer": 0.05,
        "rude": 0.05 + 0.95 * 0.2,
        "wrong": 0.95 * 0.25,
        "rambling": 0.95 * 0.3,
        "hedging": 0.95 * 0.1,
    }
    for name, share in expected.items():
        assert abs(sum(name in of_answer for of_answer in faults) / len(faults) - share) < 0.05, name


def test_the_careful_style_scores_between_wild_and_perfect() -> None:
    toy_prompts = world.draw_prompts(0, "style", 160, held_out=False)
    means = []
    for style in (answer_writer.WILD, answer_writer.CAREFUL, answer_writer.PERFECT):
        rng = random.Random(0)
        means.append(
            sum(
                gold.judge(toy_prompt.text, answer_writer.write_answer(toy_prompt, style, rng)).score
                for toy_prompt in toy_prompts
            )
            / len(toy_prompts)
        )
    assert means[0] + 0.1 < means[1] < means[2] == 1.0
