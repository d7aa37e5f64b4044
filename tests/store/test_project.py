from pathlib import Path

import pytest

from fairlead.core.errors import ProjectError
from fairlead.store.project import check_name, create_project, find_project, load_project


def test_init_makes_what_a_project_starts_with(tmp_path: Path) -> None:
    project = create_project(tmp_path / "new" / "mine")
    found = sorted(path.relative_to(project.root).as_posix() for path in project.root.rglob("*"))
    assert found == [
        ".gitignore",
        "artifacts",
        "data",
        "fairlead.toml",
        "guidelines",
        "guidelines/helpful.md",
        "runs",
    ]
    assert [project.artifacts.name, project.runs.name, project.data.name] == ["artifacts", "runs", "data"]
    assert "artifacts" in (project.root / ".gitignore").read_text()


def test_init_keeps_files_that_are_there(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")
    create_project(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


def test_init_refuses_a_project_and_changes_nothing(tmp_path: Path) -> None:
    create_project(tmp_path)
    (tmp_path / "guidelines" / "helpful.md").unlink()
    with pytest.raises(ProjectError, match="already a project"):
        create_project(tmp_path)
    assert not (tmp_path / "guidelines" / "helpful.md").exists()


def test_init_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProjectError, match="is a file"):
        create_project(tmp_path / "file")


def test_a_project_is_found_from_below(tmp_path: Path) -> None:
    create_project(tmp_path)
    deep = tmp_path / "data" / "deep"
    deep.mkdir()
    assert find_project(deep) == find_project(tmp_path) == load_project(tmp_path.resolve())


def test_the_nearest_project_is_found(tmp_path: Path) -> None:
    create_project(tmp_path)
    inner = create_project(tmp_path / "inner")
    assert find_project(inner.data).root == inner.root.resolve()


def test_outside_of_a_project_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="`fairlead init .`"):
        find_project(tmp_path)
    with pytest.raises(ProjectError, match="fairlead init"):
        load_project(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"), [("format = = 1", "cannot be read as TOML"), ("format = 2", "newer version")]
)
def test_a_marker_that_cannot_be_used_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "fairlead.toml").write_text(text)
    with pytest.raises(ProjectError, match=message):
        find_project(tmp_path)


@pytest.mark.parametrize("name", ["a", "9", "dpo-2.1_b", "x" * 100])
def test_a_name_can_be(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "-a", "_a", "a/b", "a b", "a\n", "ä", "x" * 101, "a\0"]
)
def test_a_name_cannot_be(name: str) -> None:
    with pytest.raises(ProjectError, match="is invalid"):
        check_name(name)
