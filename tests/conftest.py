"""What tests of several packages share: a project made through the real commands, commands run in this
process, real data, databases.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import argon2
import hypothesis
import pytest

import postgres
from databases import Copies, Files
from fairlead.cli.app import call
from fairlead.core import jsonl
from fairlead.data.record_writer import write_records
from fairlead.data.records import Comparison, Demonstration, Message
from fairlead.labels import passwords
from fairlead.labels.database import Database, open_database
from fairlead.simulate import campaign, corpus
from outcome import Cli, Outcome
from temporary_folders import in_memory

if memory := in_memory():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))  # pytest makes tmp_path below it

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # before torch is imported, and for processes that tests start: a core for each worker

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # so it is in a process started in the background
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # tests and the processes that they start get Ctrl-C

hypothesis.settings.register_profile("tests", deadline=None)  # a busy machine is no fault of the code
hypothesis.settings.load_profile("tests")

TESTS = Path(__file__).parent
SHARED = Path(os.environ.get("FAIRLEAD_SHARED", Path(__file__).parents[2] / "shared"))
TINY = [
    "vocab_size=320",
    "hidden=32",
    "layers=2",
    "heads=2",
    "intermediate=64",
    "context=256",
    "batch=16",
    "warmup=1",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests: whole recipes in two folders, and the tests in slow_tests.txt."""
    slow_tests = set((TESTS / "slow_tests.txt").read_text(encoding="utf-8").split())
    for item in items:
        name = f"{item.path.relative_to(TESTS).as_posix()}::{item.name.partition('[')[0]}"
        if item.path.parent.name in ("smoke", "property") or name in slow_tests:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def real_passwords() -> Iterator[tuple[argon2.PasswordHasher, str]]:
    """Tests hash passwords at the least cost; labels/test_passwords.py takes the real hasher from here."""
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    real = passwords._hasher, passwords._DUMMY_HASH
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", cheap)
        patch.setattr(passwords, "_DUMMY_HASH", cheap.hash("the password of nobody"))
        yield real


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs one command line and returns what it said."""

    def run(*words: str | Path) -> Outcome:
        capsys.readouterr()
        code = call([str(word) for word in words])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """base, sft (an adapter) and reward, from three steps of training each; tests read it and add names of
    their own.
    """
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)  # models this small only make the threads wait for each other
    root = tmp_path_factory.mktemp("cli") / "project"
    assert call(["init", str(root)]) == 0
    data = root / "data"
    jsonl.write(data / "documents.jsonl", corpus.conversations(50, 0))
    demonstrations = campaign.demonstrations(24, 0)
    write_records(data / "demonstrations.jsonl", demonstrations)
    write_records(data / "comparisons.jsonl", [longer_is_worse(one) for one in demonstrations])
    write_records(data / "prompts.jsonl", campaign.prompts(6, 0, purpose="cli", held_out=True))
    train = [
        ["pretrain", "name=base", f"documents={data / 'documents.jsonl'}", "steps=3", *TINY],
        [
            "sft",
            "name=sft",
            "model=base",
            f"demonstrations={data / 'demonstrations.jsonl'}",
            "batch=8",
            "held_out=0",
        ],
        [
            "reward",
            "name=reward",
            "model=base",
            f"comparisons={data / 'comparisons.jsonl'}",
            "batch=8",
            "held_out=0.4",
            "rank=0",
        ],
    ]
    for words in train:
        assert call(["train", *words, "--project", str(root)]) == 0
    return root


def longer_is_worse(demonstration: Demonstration) -> Comparison:
    worse = Message("assistant", demonstration.completion[0].content + " And so on.")
    return Comparison(demonstration.prompt, demonstration.completion, (worse,))


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The path of a file in shared/data; the test skips where it is absent."""

    def locate(name: str) -> Path:
        path = SHARED / "data" / name
        if not path.exists():
            pytest.skip(f"no {name} in {SHARED / 'data'}; set FAIRLEAD_SHARED to the folder that holds data/")
        return path

    return locate


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def copies() -> Iterator[Copies]:
    """The PostgreSQL server of this session."""
    if postgres.programs() is None:
        missing = "no PostgreSQL on this machine; tests/get_postgres.py says how to get one"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with postgres.running(below=in_memory()) as server:
        made = Copies(server)
        yield made
        made.close()


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]
)  # quick ones are for one who is writing
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database with all tables, this test's own; every test that uses it runs on both kinds."""
    if request.param == "sqlite":
        files: Files = request.getfixturevalue("files")
        yield files.copy(tmp_path)
    else:
        copies: Copies = request.getfixturevalue("copies")
        url = copies.copy()
        yield url
        copies.drop(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()
