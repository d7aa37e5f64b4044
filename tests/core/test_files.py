import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.core import files
from fairlead.core.errors import ProjectError
from fairlead.core.full_disk import refused_path

# Each child says that it is in the middle of a write, and then writes on until it is killed.
WRITES_A_FILE = """
import sys
from pathlib import Path
from fairlead.core import files
with files.atomic_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    while True:
        file.write(b"x")
"""
FILLS_A_FOLDER = """
import sys
from pathlib import Path
from fairlead.core import files
with files.atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "first").write_text("half")
    print("writing", flush=True)
    while True:
        (folder / "second").write_text("x")
"""


def kill_in_the_middle(program: str, path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"writing\n"
        child.kill()
        assert child.wait(timeout=30) == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_name_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a"
    with files.atomic_file(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new" and names(path.parent) == ["a"]


def test_somebody_reading_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "old")
    with open(tmp_path / "a") as reader:
        files.write_text(tmp_path / "a", "new")
        assert reader.read() == "old"


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "old")
    with pytest.raises(RuntimeError, match="stop"), files.atomic_file(tmp_path / "a") as file:
        file.write(b"new")
        raise RuntimeError("stop")
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]


def test_a_file_that_cannot_be_written_is_named_and_not_its_temporary_name(tmp_path: Path) -> None:
    path = tmp_path / f"{'long' * 62}.html"  # the temporary name is longer than a name may be
    with pytest.raises(OSError, match="long") as raised:
        files.write_text(path, "new")
    assert refused_path(raised.value) == str(path)


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "old")
    kill_in_the_middle(WRITES_A_FILE, tmp_path / "a")
    assert (tmp_path / "a").read_text() == "old"
    assert len(names(tmp_path)) == 2  # the killed process could not clear up
    files.remove_leftovers(tmp_path)
    assert names(tmp_path) == ["a"]


def test_a_process_killed_while_filling_a_folder_leaves_no_folder(tmp_path: Path) -> None:
    kill_in_the_middle(FILLS_A_FOLDER, tmp_path / "step-1")
    assert not (tmp_path / "step-1").exists()
    assert len(names(tmp_path)) == 1
    files.remove_leftovers(tmp_path)
    assert names(tmp_path) == []


def test_a_folder_takes_its_name_when_the_block_ends(tmp_path: Path) -> None:
    with files.atomic_folder(tmp_path / "model") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "weights").write_text("w")
        (folder / "link").symlink_to("nowhere")
        assert not (tmp_path / "model").exists()
    assert (tmp_path / "model" / "sub" / "weights").read_text() == "w" and names(tmp_path) == ["model"]


def test_an_exception_while_filling_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), files.atomic_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("w")
        raise RuntimeError("stop")
    assert names(tmp_path) == []


def test_a_folder_with_something_in_it_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("old")
    with pytest.raises(OSError), files.atomic_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("new")
    assert (tmp_path / "model" / "weights").read_text() == "old" and names(tmp_path) == ["model"]


def test_remove_leftovers_keeps_what_is_whole_and_hidden(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".a.part-12").touch()
    (tmp_path / ".b.part-12").mkdir()
    (tmp_path / ".b.part-12" / "x").touch()
    files.remove_leftovers(tmp_path)
    assert names(tmp_path) == [".lock"]
    files.remove_leftovers(tmp_path / "none")


@pytest.mark.parametrize("name", ["a", "a/b.json", "..a", "a..b/c", "not/there/yet"])
def test_a_name_inside_is_joined(tmp_path: Path, name: str) -> None:
    assert files.path_inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize("name", ["..", "../a", "a/../../b", "a/../b", "/etc/passwd", "//etc", "a\0b"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProjectError, match="points outside the folder"):
        files.path_inside(tmp_path, name)


def test_a_link_that_points_out_is_refused_and_one_that_points_in_is_not(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (folder / "out").symlink_to(outside)
    (folder / "up").symlink_to("../outside/secret")
    (folder / "circle").symlink_to("circle")
    (folder / "real").mkdir()
    (folder / "in").symlink_to("real")
    for name in ("out", "out/secret", "up", "circle"):
        with pytest.raises(ProjectError, match="points outside the folder"):
            files.path_inside(folder, name)
    assert files.path_inside(folder, "in/a") == folder / "in" / "a"


def test_a_folder_reached_through_a_link_is_no_escape(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert files.path_inside(tmp_path / "link", "a") == tmp_path / "link" / "a"
