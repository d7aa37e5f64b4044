import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fairlead.core import config
from fairlead.core.config import Advanced, DatasetRef, ModelRef, Ref
from fairlead.core.errors import ConfigError, require
from fairlead.train.settings import ReadsConversations


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


def test_an_override_beats_the_file_and_the_file_beats_the_default(tmp_path: Path) -> None:
    path = tmp_path / "dpo.toml"
    path.write_text('name = "a"\nmodel = "base"\nbeta = 0.2\nbatch = 8\n')
    loaded = config.load(Config, path, ["beta=0.3"])
    assert loaded == Config(name="a", model="base", beta=0.3, batch=8, whiten=True)


def test_overrides_alone_are_enough() -> None:
    loaded = config.load(Config, None, ["name=a", "model=x/y", "whiten=false", "sizes=[3, 4]", "beta=5e-2"])
    assert loaded == Config(name="a", model="x/y", whiten=False, sizes=(3, 4), beta=0.05)


@pytest.mark.parametrize("word", ["2024", "1e5", "true", "2024-01-01", "[1]"])
def test_a_text_key_takes_a_value_that_looks_like_another_type(word: str) -> None:
    assert config.load(Config, None, [f"name={word}", "model=m", f"replay={word}"]).name == word


def test_quotes_around_a_text_are_removed() -> None:
    assert config.load(Config, None, ['name="a b"', "model=m"]).name == "a b"


def test_a_value_may_contain_an_equals_sign() -> None:
    assert config.load(Config, None, ["name=a=b", "model=m"]).name == "a=b"


def test_an_unknown_key_is_reported_with_its_line_and_the_nearest_known_key(tmp_path: Path) -> None:
    text = 'name = "a"\nmodel = "m"\n\nbetta = 0.2\n'
    assert problems_of(tmp_path, text) == ['dpo.toml:4: unknown key "betta". Did you mean "beta"?']


def test_an_unknown_key_without_a_near_match_lists_all_keys(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, 'name = "a"\nmodel = "m"\n', "zzzzz=1")
    assert (
        problem
        == 'command line: unknown key "zzzzz". Known keys: name, model, replay, beta, batch, whiten, sizes.'
    )


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, 'name = "a"\nbatch = "many"\nbetta = 1\n', "whiten=maybe", "lonely")
    assert len(problems) == 5
    assert problems[0].startswith('dpo.toml:3: unknown key "betta"')
    assert problems[1].startswith('"lonely": expected key=value')
    assert '"model" is required: set it in the file or as model=VALUE.' in problems
    assert any(problem.startswith("dpo.toml:2: batch = 'many': ") for problem in problems)
    assert any(problem.startswith("command line: whiten = 'maybe': ") for problem in problems)


def test_a_value_refused_by_the_config_is_reported_with_its_place(tmp_path: Path) -> None:
    text = 'name = "a"\nmodel = "m"\nbeta = -1.0\n'
    assert problems_of(tmp_path, text) == ["dpo.toml:3: beta = -1.0: must be positive."]


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_number_without_a_json_form_is_refused(tmp_path: Path, value: str) -> None:
    (problem,) = problems_of(tmp_path, 'name = "a"\nmodel = "m"\n', f"beta={value}")
    assert problem.startswith("command line: beta = ")


@pytest.mark.parametrize("number", ["1000000001", "9" * 26, "-" + "9" * 26, "9" * 5000])
def test_a_whole_number_beyond_any_run_is_refused(tmp_path: Path, number: str) -> None:
    text = 'name = "a"\nmodel = "base"\n'
    [problem] = problems_of(tmp_path, text, f"batch={number}")
    assert "batch" in problem
    if len(number) < 4000:
        assert problem.endswith("must be at most 1,000,000,000.")
        [problem] = problems_of(tmp_path, text + f"batch = {number}\n")
        assert problem.startswith("dpo.toml:3: batch") and problem.endswith("must be at most 1,000,000,000.")
    else:
        [problem] = problems_of(tmp_path, text + f"batch = {number}\n")
        assert problem.startswith("dpo.toml: not valid TOML: Exceeds the limit")


def test_a_key_twice_on_the_command_line_is_refused(tmp_path: Path) -> None:
    text = 'name = "a"\nmodel = "base"\n'
    assert problems_of(tmp_path, text, "beta=0.2", "batch=8", "beta=0.3") == [
        "command line: beta is given twice, as 0.2 and as 0.3. Set it once."
    ]


def test_broken_toml_names_file_and_line(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, 'name = "a"\nmodel = = 3\n')
    assert problem.startswith("dpo.toml: not valid TOML") and "line 2" in problem


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        config.load(Config, tmp_path / "none.toml")


@pytest.mark.parametrize("place", ["folder", "latin.toml"])
def test_a_file_that_is_not_text_is_reported(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        config.load(Config, tmp_path / place)


def test_resolved_has_every_value_and_builds_an_equal_config() -> None:
    original = Config(name="a", model="m")
    values = config.resolved(original)
    assert values == {
        "name": "a",
        "model": "m",
        "replay": None,
        "beta": 0.1,
        "batch": 64,
        "whiten": True,
        "sizes": [1, 2],
    }
    assert config.from_dict(Config, values) == original


def test_from_dict_is_as_strict_as_a_file() -> None:
    with pytest.raises(ConfigError, match='unknown key "modle". Did you mean "model"?'):
        config.from_dict(Config, {"name": "a", "model": "m", "modle": "n"})


def test_refs_are_the_keys_that_name_an_input_and_are_set() -> None:
    assert config.refs(Config(name="a", model="m")) == {"model": (Ref("model"), "m")}
    assert config.refs(Config(name="a", model="m", replay="d"))["replay"] == (Ref("dataset"), "d")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixture:
    model: ModelRef
    weights: dict[ModelRef, float] = dataclasses.field(default_factory=dict)  # how much of each


def test_a_dictionary_of_inputs_comes_from_a_file_or_from_a_word(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('model = "m"\n[weights]\nhelpful = 1\n"rule:a.b.py" = 0.5\n')
    loaded = config.load(Mixture, path)
    assert loaded == config.load(Mixture, None, ["model=m", 'weights={helpful = 1.0, "rule:a.b.py" = 0.5}'])
    references = {role: ref for role, (_, ref) in config.refs(loaded).items()}
    assert references == {"model": "m", "weights.helpful": "helpful", "weights.rule:a.b.py": "rule:a.b.py"}
    assert config.resolved(loaded)["weights"] == {"helpful": 1.0, "rule:a.b.py": 0.5}


def test_a_dictionary_of_inputs_takes_finite_numbers_only() -> None:
    for word, problem in (
        ("weights={a = inf}", "must be a finite number"),
        ("weights={a = 'x'}", "valid number"),
        ("weights=3", "valid dict"),
    ):
        with pytest.raises(ConfigError, match=problem):
            config.load(Mixture, None, ["model=m", word])


# ---------------------------------------------------------------- tables


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optim:
    """How the weights move."""

    lr: float
    warmup: int = 3
    bits: Advanced[int] = 32

    def __post_init__(self) -> None:
        require(self.lr > 0, "lr", self.lr, "must be positive")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adapter:
    rank: int = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extra:
    data: DatasetRef = ""
    rate: float = 1.0
    constraints: dict[ModelRef, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    name: str
    rank: int = 1  # also the name of a key of [adapter]
    optim: Optim = Optim(lr=5e-5, warmup=10)
    adapter: Adapter = Adapter()
    ptx: Extra = Extra()
    guard: Extra = Extra(rate=2.0)


def recipe_problems(tmp_path: Path, text: str, *words: str) -> list[str]:
    path = tmp_path / "dpo.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(Recipe, path, words)
    return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    "text", ["[optim]\nwarmup = 5\n", "warmup = 5\n", "optim.warmup = 5\n", "optim = {warmup = 5}\n"]
)
def test_one_key_of_a_table_leaves_the_recipe_s_other_defaults(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    assert config.load(Recipe, path, ["name=a"]).optim == Optim(lr=5e-5, warmup=5)


@pytest.mark.parametrize("word", ["optim.lr=1e-3", "lr=1e-3", "optim={lr=1e-3}"])
def test_a_key_of_a_table_on_the_command_line(word: str) -> None:
    assert config.load(Recipe, None, ["name=a", word]).optim == Optim(lr=1e-3, warmup=10)


@pytest.mark.parametrize(
    "values",
    [{"optim": {"lr": 1e-3}}, {"optim.lr": 1e-3}, {"lr": 1e-3}, {"optim": Optim(lr=1e-3, warmup=10)}],
)
def test_a_key_of_a_table_in_python(values: dict[str, object]) -> None:
    assert config.from_dict(Recipe, {"name": "a", **values}).optim == Optim(lr=1e-3, warmup=10)


def test_the_command_line_overrides_a_key_of_a_table_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[optim]\nlr = 1.0\nwarmup = 5\n")
    assert config.load(Recipe, path, ["name=a", "lr=2"]).optim == Optim(lr=2.0, warmup=5)


def test_a_key_of_the_recipe_goes_before_a_key_of_a_table() -> None:
    loaded = config.load(Recipe, None, ["name=a", "rank=8"])
    assert (loaded.rank, loaded.adapter.rank) == (8, 16)


def test_an_ambiguous_key_is_an_error_with_the_full_names(tmp_path: Path) -> None:
    (problem,) = recipe_problems(tmp_path, "rate = 2.0\n", "name=a")
    assert problem == 'dpo.toml:1: "rate" is ambiguous. Write ptx.rate or guard.rate.'


def test_one_key_in_two_spellings_is_an_error(tmp_path: Path) -> None:
    (problem,) = recipe_problems(tmp_path, "lr = 1.0\n[optim]\nlr = 2.0\n", "name=a")
    assert problem == 'dpo.toml:3: "optim.lr" and "lr" are the same key. Set one of them.'
    (problem,) = recipe_problems(tmp_path, "", "name=a", "optim.lr=1", "lr=2")
    assert problem == 'command line: "lr" and "optim.lr" are the same key. Set one of them.'


def test_all_problems_of_all_tables_are_reported_with_their_lines(tmp_path: Path) -> None:
    text = 'rnk = 1\n\n[optim]\nlr = -1.0\nwarmop = 3\n[guard]\nrate = "fast"\n[nothing]\na = 1\n'
    problems = recipe_problems(tmp_path, text, "rank.x=1")
    assert 'dpo.toml:1: unknown key "rnk". Did you mean "rank"?' in problems
    assert 'dpo.toml:5: unknown key "optim.warmop". Did you mean "optim.warmup"?' in problems
    assert any(problem.startswith('dpo.toml:8: unknown key "nothing".') for problem in problems)
    assert any(problem.startswith('command line: unknown key "rank.x".') for problem in problems)
    assert '"name" is required: set it in the file or as name=VALUE.' in problems
    assert "dpo.toml:4: optim.lr = -1.0: must be positive." in problems
    assert any(problem.startswith("dpo.toml:7: guard.rate = 'fast': ") for problem in problems)
    assert len(problems) == 7


def test_a_key_in_the_wrong_table_is_led_to_the_right_one(tmp_path: Path) -> None:
    (problem,) = recipe_problems(tmp_path, "[adapter]\nwarmup = 1\n", "name=a")
    assert problem == 'dpo.toml:2: unknown key "adapter.warmup". Did you mean "optim.warmup"?'


@pytest.mark.parametrize(
    ("former", "present", "value"),
    [("lora_rank", "adapter.rank", 8), ("optimizer_bits", "optim.bits", 8), ("ptx", "ptx.data", "rows")],
)
def test_a_former_name_is_read_as_the_present_key(former: str, present: str, value: Any) -> None:
    assert config.load(Recipe, None, ["name=a", f"{former}={value}"]) == config.load(
        Recipe, None, ["name=a", f"{present}={value}"]
    )


def test_a_former_name_beside_the_present_key_is_an_error(tmp_path: Path) -> None:
    (problem,) = recipe_problems(tmp_path, "lora_rank = 8\n[adapter]\nrank = 4\n", "name=a")
    assert problem.endswith('"adapter.rank" and "lora_rank" are the same key. Set one of them.')


def test_a_table_given_as_a_value_is_an_error(tmp_path: Path) -> None:
    (problem,) = recipe_problems(tmp_path, "optim = 3\n", "name=a")
    assert problem == 'dpo.toml:1: "optim" is a table. Its keys are optim.lr, optim.warmup, optim.bits.'


@pytest.mark.parametrize(
    "text", ["[ptx.constraints]\nharmless = inf\n", "ptx.constraints = {harmless = inf}\n"]
)
def test_a_dictionary_inside_a_table_takes_finite_numbers_only(tmp_path: Path, text: str) -> None:
    (problem,) = recipe_problems(tmp_path, text, "name=a")
    assert "ptx.constraints = {'harmless': inf}: must be a finite number." in problem
    assert problem.startswith("dpo.toml:1: ")


def test_roles_of_inputs_do_not_name_the_table() -> None:
    values = {"name": "a", "ptx.data": "d", "guard": {"constraints": {"harmless": 0.5}}}
    assert config.refs(config.from_dict(Recipe, values)) == {
        "ptx": (Ref("dataset"), "d"),
        "constraints.harmless": (Ref("model"), "harmless"),
    }


def test_resolved_is_nested_and_builds_an_equal_config() -> None:
    original = config.load(Recipe, None, ["name=a", "lr=1", "guard.constraints={harmless = 1}"])
    values = config.resolved(original)
    assert values["optim"] == {"lr": 1.0, "warmup": 10, "bits": 32}
    assert config.from_dict(Recipe, values) == original
    flat = config.by_full_key(Recipe, values)
    assert flat["optim.lr"] == 1.0 and flat["guard.constraints"] == {"harmless": 1.0} and flat["rank"] == 1


def test_defaults_are_those_of_the_recipe() -> None:
    defaults = config.defaults(Recipe)
    assert defaults["optim.warmup"] == 10 and defaults["guard.rate"] == 2.0 and defaults["rank"] == 1
    assert "name" not in defaults


def test_a_template_s_path_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.jinja").write_text("", encoding="utf-8")
    path = tmp_path / "configs" / "sft.toml"
    path.write_text('[template]\nfile = "mine.jinja"\n', encoding="utf-8")
    assert config.load(ReadsConversations, path).template.file == str(path.parent / "mine.jinja")
    assert config.load(ReadsConversations, path, ["template.file=mine.jinja"]).template.file == "mine.jinja"
    path.write_text('[template]\nfile = "chatml"\n', encoding="utf-8")
    assert config.load(ReadsConversations, path).template.file == "chatml"


def test_a_required_input_must_not_be_empty() -> None:
    with pytest.raises(ConfigError, match="command line: model is empty, and it is required"):
        config.load(Config, None, ["name=a", "model="])
    assert config.load(Config, None, ["name=a", "model=b", "replay="]).replay == ""
