"""The recipe `sample`: rows, seeds, requests, stop strings and sampling cuts."""

from pathlib import Path

import pytest

from fairlead.core import config as configs
from fairlead.core import jsonl
from fairlead.core.errors import ConfigError, DataError
from fairlead.data.sampled_answers import read_sampled_answers
from fairlead.recipes import compare, sample
from fakes import assistant, check_finished, project_with_base, train, user

SAMPLE = {"name": "a", "model": "base", "prompts": "data/prompts.jsonl", "per_prompt": 2, "max_new_tokens": 8}


def test_rows_hold_prompts_and_their_answers(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    trained = train(project, sample, **SAMPLE)
    rows = read_sampled_answers(trained.artifact.folder / sample.ROWS)
    prompts = [row["prompt"][0]["content"] for _, row in jsonl.read(project.data / "prompts.jsonl")]
    assert [row.prompt[0].content for row in rows] == prompts
    assert all(len(row.texts) == len(row.finished) == 2 for row in rows)
    assert sum(row.texts[0] != row.texts[1] for row in rows) > 30  # each answer has its own random numbers
    metrics = trained.artifact.manifest.metrics
    assert metrics["answers"] == 80
    assert metrics["finished_frac"] == sum(sum(row.finished) for row in rows) / 80
    check_finished(project, sample, trained, **SAMPLE)


def test_rows_carry_the_columns_of_their_prompts(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    (_, prompt), *_ = jsonl.read(project.data / "prompts.jsonl")
    columns = {"id": "7", "metadata": {"source": "a"}, "reference": "4", "tags": ["sum"]}
    jsonl.write(project.data / "rows.jsonl", [prompt | columns])
    trained = train(project, sample, **SAMPLE | {"prompts": "data/rows.jsonl"})
    ((_, row),) = jsonl.read(trained.artifact.folder / sample.ROWS)
    assert {name: row[name] for name in columns} == columns
    rule = {"name": "c", "a": "a", "b": "a", "judge": "rule:data/vowels.py"}
    compared = train(project, compare, **rule)
    ((_, scores),) = jsonl.read(compared.artifact.folder / "scores.jsonl")
    assert {name: scores[name] for name in columns} == columns


def test_long_prompts_are_left_out_and_two_models_are_compared_on_the_others(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    (_, prompt), (_, other), *_ = jsonl.read(project.data / "prompts.jsonl")
    long = {"prompt": [{"role": "user", "content": "word " * 300}]}
    jsonl.write(project.data / "rows.jsonl", [prompt, long, other])
    settings = SAMPLE | {"prompts": "data/rows.jsonl", "per_prompt": 1}
    with pytest.raises(DataError, match="rows.jsonl: 1 prompt of 3 leaves no room for 8 new tokens"):
        train(project, sample, **settings)
    dropped = train(project, sample, **settings | {"too_long": "drop"}).artifact
    cut = train(project, sample, **settings | {"name": "cut", "too_long": "truncate-prompt"}).artifact
    assert dropped.manifest.metrics["left_out"] == {"prompts too long": 1}
    assert cut.manifest.metrics["left_out"] == {"prompts cut to fit": 1}
    rows = [row["prompt"] for _, row in jsonl.read(cut.folder / sample.ROWS)]
    assert rows == [prompt["prompt"], long["prompt"], other["prompt"]]  # the whole prompt is written
    rule = {"name": "c", "a": "a", "b": "cut", "judge": "rule:data/vowels.py"}
    metrics = train(project, compare, **rule).artifact.manifest.metrics
    assert metrics["win_rate_a"]["n"] == 2
    assert metrics["left_out"] == {"prompts too long": 1, "prompts cut to fit": 1}


def test_answers_depend_on_the_seed_only(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    texts = [
        (
            train(project, sample, **SAMPLE | {"name": name, "seed": seed}).artifact.folder / sample.ROWS
        ).read_text()
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert texts[0] == texts[1] != texts[2]


def test_answers_do_not_depend_on_the_number_of_requests(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    rows = [row for _, row in jsonl.read(project.data / "prompts.jsonl")]
    jsonl.write(project.data / "many.jsonl", rows * 8)
    assert len(rows) * 8 > sample.ANSWERS_PER_REQUEST
    many = train(project, sample, **SAMPLE | {"name": "many", "prompts": "data/many.jsonl", "per_prompt": 1})
    few = train(project, sample, **SAMPLE | {"name": "few", "per_prompt": 1})
    many_rows, few_rows = (
        read_sampled_answers(trained.artifact.folder / sample.ROWS) for trained in (many, few)
    )
    assert [row.texts for row in many_rows[:40]] == [row.texts for row in few_rows]
    repetitions = [row.texts for row in many_rows if row.prompt == many_rows[0].prompt]
    assert len(repetitions) == 8 and len(set(repetitions)) > 4


def test_a_stop_string_finishes_an_answer(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    free = train(project, sample, **SAMPLE)
    trained = train(project, sample, **SAMPLE | {"name": "b", "stop": ("e", "a")})
    num_cut = 0
    num_matching = 0
    for before, row in zip(
        *(read_sampled_answers(run.artifact.folder / sample.ROWS) for run in (free, trained)), strict=True
    ):
        for full_text, text, finished in zip(before.texts, row.texts, row.finished, strict=True):
            num_matching += "e" in full_text or "a" in full_text
            num_cut += "e" in text or "a" in text
            assert full_text.startswith(text)
            assert finished or not {"e", "a"} & set(text)
    assert num_cut == num_matching > 10
    assert (
        trained.artifact.manifest.metrics["response_tokens"]
        < free.artifact.manifest.metrics["response_tokens"]
    )


def test_min_p_of_one_leaves_the_likeliest_token(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    filtered = train(project, sample, **SAMPLE | {"min_p": 1.0}).artifact.folder / sample.ROWS
    greedy = train(project, sample, **SAMPLE | {"name": "b", "temperature": 0}).artifact.folder / sample.ROWS
    assert filtered.read_text() == greedy.read_text()


@pytest.mark.parametrize(("field", "value"), [("min_p", 1.5), ("min_p", -0.1), ("stop", ["x", ""])])
def test_meaningless_sampling_settings_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{field} = "):
        configs.from_dict(sample.Config, SAMPLE | {field: value})


def test_a_conversation_can_be_a_prompt(tmp_path: Path) -> None:
    project = project_with_base(tmp_path)
    turns = (user("One?"), assistant("Yes."), user("Two?"))
    jsonl.write(
        project.data / "long.jsonl", [{"prompt": [{"role": m.role, "content": m.content} for m in turns]}]
    )
    trained = train(project, sample, **SAMPLE | {"prompts": "data/long.jsonl"})
    assert read_sampled_answers(trained.artifact.folder / sample.ROWS)[0].prompt == turns
