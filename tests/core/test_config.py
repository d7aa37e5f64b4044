import dataclasses
from pathlib import Path

import pytest

from fairlead.core import config
from fairlead.core.config import DatasetRef, Knob, ModelRef, Ref
from fairlead.core.errors import ConfigError, require


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """beta: this line of prose is not the comment of a field."""

    name: str
    model: ModelRef
    replay: DatasetRef | None = None
    beta: float = 0.1  # strength of the pull to the reference
    # pairs per optimiser step,
    batch: int = 64  # whatever the micro-batch
    whiten: bool = True
    sizes: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        require(self.beta > 0, "beta", self.beta, "must be positive")


def problems_of(tmp_path: Path, text: str, *words: str) -> list[str]:
    path = tmp_path / "dpo.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(Config, path, words)
    return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_a_word_goes_before_the_file_and_the_file_before_the_default(tmp_path: Path) -> None:
    path = tmp_path / "dpo.toml"
    path.write_text('name = "a"\nmodel = "base"\nbeta = 0.2\nbatch = 8\n')
    loaded = config.load(Config, path, ["beta=0.3"])
    assert loaded == Config(name="a", model="base", beta=0.3, batch=8, whiten=True)


def test_words_alone_are_enough() -> None:
    loaded = config.load(Config, None, ["name=a", "model=x/y", "whiten=false", "sizes=[3, 4]", "beta=5e-2"])
    assert loaded == Config(name="a", model="x/y", whiten=False, sizes=(3, 4), beta=0.05)


@pytest.mark.parametrize("word", ["2024", "1e5", "true", "2024-01-01", "[1]"])
def test_a_text_field_takes_a_word_that_looks_like_something_else(word: str) -> None:
    assert config.load(Config, None, [f"name={word}", "model=m", f"replay={word}"]).name == word


def test_a_quoted_word_is_the_text_between_the_quotes() -> None:
    assert config.load(Config, None, ['name="a b"', "model=m"]).name == "a b"


def test_a_value_may_contain_an_equals_sign() -> None:
    assert config.load(Config, None, ["name=a=b", "model=m"]).name == "a=b"


def test_an_unknown_key_is_told_with_its_line_and_the_nearest_known_one(tmp_path: Path) -> None:
    text = 'name = "a"\nmodel = "m"\n\nbetta = 0.2\n'
    assert problems_of(tmp_path, text) == ['dpo.toml:4: unknown key "betta". Did you mean "beta"?']


def test_an_unknown_key_like_no_other_is_told_with_all_known_ones(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, 'name = "a"\nmodel = "m"\n', "zzzzz=1")
    assert (
        problem
        == 'command line: unknown key "zzzzz". Known keys: name, model, replay, beta, batch, whiten, sizes.'
    )


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, 'name = "a"\nbatch = "many"\nbetta = 1\n', "whiten=maybe", "lonely")
    assert len(problems) == 5
    assert problems[0].startswith('"lonely": expected key=value')
    assert problems[1].startswith('dpo.toml:3: unknown key "betta"')
    assert '"model" is required: set it in the file or as model=VALUE.' in problems
    assert any(problem.startswith("dpo.toml:2: batch = 'many': ") for problem in problems)
    assert any(problem.startswith("command line: whiten = 'maybe': ") for problem in problems)


def test_what_the_config_itself_refuses_is_told_with_its_place(tmp_path: Path) -> None:
    text = 'name = "a"\nmodel = "m"\nbeta = -1.0\n'
    assert problems_of(tmp_path, text) == ["dpo.toml:3: beta = -1.0: must be positive."]


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_number_that_has_no_json_is_refused(tmp_path: Path, value: str) -> None:
    (problem,) = problems_of(tmp_path, 'name = "a"\nmodel = "m"\n', f"beta={value}")
    assert problem.startswith("command line: beta = ")


def test_broken_toml_names_file_and_line(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, 'name = "a"\nmodel = = 3\n')
    assert problem.startswith("dpo.toml: not valid TOML") and "line 2" in problem


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        config.load(Config, tmp_path / "none.toml")


@pytest.mark.parametrize("place", ["folder", "latin.toml"])
def test_what_is_no_text_is_told(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        config.load(Config, tmp_path / place)


def test_resolved_has_every_value_and_makes_the_same_config_again() -> None:
    made = Config(name="a", model="m")
    values = config.resolved(made)
    assert values == {
        "name": "a",
        "model": "m",
        "replay": None,
        "beta": 0.1,
        "batch": 64,
        "whiten": True,
        "sizes": [1, 2],
    }
    assert config.from_dict(Config, values) == made


def test_from_dict_is_as_strict_as_a_file() -> None:
    with pytest.raises(ConfigError, match='unknown key "modle". Did you mean "model"?'):
        config.from_dict(Config, {"name": "a", "model": "m", "modle": "n"})


def test_refs_are_the_fields_that_name_an_input_and_are_set() -> None:
    assert config.refs(Config(name="a", model="m")) == {"model": (Ref("model"), "m")}
    assert config.refs(Config(name="a", model="m", replay="d"))["replay"] == (Ref("dataset"), "d")


def test_knobs_have_the_comments_of_the_source() -> None:
    assert config.knobs(Config) == [
        Knob("name", "str", None, ""),
        Knob("model", "model", None, ""),
        Knob("replay", "dataset", "None", ""),
        Knob("beta", "float", "0.1", "strength of the pull to the reference"),
        Knob("batch", "int", "64", "pairs per optimiser step, whatever the micro-batch"),
        Knob("whiten", "bool", "True", ""),
        Knob("sizes", "tuple[int, ...]", "(1, 2)", ""),
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tables:
    model: ModelRef
    weights: dict[ModelRef, float] = dataclasses.field(default_factory=dict)  # how much of each


def test_a_table_of_inputs_comes_from_a_file_or_from_a_word(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('model = "m"\n[weights]\nhelpful = 1\n"rule:a.b.py" = 0.5\n')
    loaded = config.load(Tables, path)
    assert loaded == config.load(Tables, None, ["model=m", 'weights={helpful = 1.0, "rule:a.b.py" = 0.5}'])
    found = {field: ref for field, (_, ref) in config.refs(loaded).items()}
    assert found == {"model": "m", "weights.helpful": "helpful", "weights.rule:a.b.py": "rule:a.b.py"}
    assert config.resolved(loaded)["weights"] == {"helpful": 1.0, "rule:a.b.py": 0.5}
    assert config.knobs(Tables)[1] == Knob("weights", "table of model = number", "{}", "how much of each")


def test_a_table_takes_numbers_only_and_finite_ones() -> None:
    for word, problem in (
        ("weights={a = inf}", "must be a finite number"),
        ("weights={a = 'x'}", "valid number"),
        ("weights=3", "valid dict"),
    ):
        with pytest.raises(ConfigError, match=problem):
            config.load(Tables, None, ["model=m", word])
