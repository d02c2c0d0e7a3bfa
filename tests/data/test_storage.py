"""Who writes keeps others out, and what a kill leaves behind is cleared away, or put back."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from digitlab.data import storage as benches
from digitlab.data.storage import bench, clear_leftovers, holding, replace_folder, replacing, scratch
from digitlab.errors import StorageError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs flock")

# Replaces the folder "it", and is killed at the call that is named.
KILLED = """
import os, pathlib, shutil, sys
from digitlab.data import storage as benches
killing, exchanges = sys.argv[1], sys.argv[2] == "True"
if not exchanges:
    benches._exchanged = lambda one, other: False
renames = []
def rename(path, target, rename=pathlib.Path.rename):
    renames.append(path)
    if killing == f"rename {len(renames)}":
        os._exit(9)
    return rename(path, target)
pathlib.Path.rename = rename
if killing == "rmtree":
    shutil.rmtree = lambda *_, **__: os._exit(9)
target = pathlib.Path("it")
with benches.bench(target.parent) as place:
    (place / "it").mkdir()
    (place / "it" / "new").touch()
    benches.replace_folder(place / "it", target, place)
os._exit(0)
"""


def folder_with(path: Path, name: str) -> Path:
    path.mkdir()
    (path / name).touch()
    return path


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("killing", ["rename 1", "rename 2", "rmtree", "nothing"])
def test_a_folder_is_the_old_or_the_new_one_wherever_a_kill_comes(
    tmp_path: Path, killing: str, exchanges: bool
) -> None:
    target = folder_with(tmp_path / "it", "old")
    done = subprocess.run([sys.executable, "-c", KILLED, killing, str(exchanges)], cwd=tmp_path)
    has_exchange = exchanges and sys.platform.startswith("linux")
    if has_exchange:
        assert os.listdir(target) == ["new"]
    clear_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["it"]
    assert os.listdir(target) == (["old"] if done.returncode and "rename" in killing else ["new"])


def test_what_is_being_made_is_not_swept_away(tmp_path: Path) -> None:
    with bench(tmp_path) as place, replacing(tmp_path / "file") as file:
        clear_leftovers(tmp_path)
        file.write(b"whole")
        (place / "made").touch()
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_was_taken_for_left_over_right_after_it_was_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, calls = benches.try_lock, []

    def late(descriptor: int) -> bool | None:
        calls.append(descriptor)
        if len(calls) == 1:
            (left,) = tmp_path.iterdir()
            left.unlink()
        return lock(descriptor)

    monkeypatch.setattr(benches, "try_lock", late)
    with replacing(tmp_path / "file") as file:
        file.write(b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert len(calls) == 2


def test_where_there_are_no_locks_only_what_is_old_is_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benches, "try_lock", lambda _: None)
    for name, age_s in (("0" * 16, 7200), ("1" * 16, 0)):
        path = tmp_path / f".digitlab-{name}.tmp"
        path.touch()
        os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    (tmp_path / ".digitlab-mine.tmp").touch()
    clear_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".digitlab-1111111111111111.tmp", ".digitlab-mine.tmp"]


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    inside, most = [], []

    def work() -> None:
        for _ in range(20):
            with holding(tmp_path):
                inside.append(None)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (max(most), len(most)) == (1, 80)


def test_who_waits_too_long_for_a_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benches, "_PATIENCE_S", 0.0)
    with holding(tmp_path), pytest.raises(StorageError, match="is being written by another process"), holding(tmp_path):
        pass


def test_a_folder_that_is_not_there_needs_no_holding(tmp_path: Path) -> None:
    with holding(tmp_path / "nothing"):
        assert not (tmp_path / "nothing").exists()


def test_a_folder_that_cannot_be_replaced_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = folder_with(tmp_path / "it", "old")
    monkeypatch.setattr(benches, "_exchanged", lambda one, other: False)
    with bench(tmp_path) as place, pytest.raises(FileNotFoundError):
        replace_folder(place / "nothing", target, place)
    assert os.listdir(target) == ["old"]
    assert os.listdir(tmp_path) == ["it"]


def test_what_killed_exports_left_in_the_systems_folder_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = "import os; from digitlab.data.storage import scratch\nwith scratch() as f: (f / 'x').touch(); os._exit(9)"
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", killed], env=environment).returncode == 9
    [left] = tmp_path.iterdir()
    (tmp_path / "digitlab-export-link").symlink_to(tmp_path / "mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "digitlab-export-file").touch()
    with scratch() as first, scratch() as second:
        assert first.is_dir()
        assert second.is_dir()
        assert not left.exists()
        assert first.stat().st_mode & 0o077 == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["digitlab-export-file", "digitlab-export-link", "mine"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no owners of that kind")
def test_what_others_have_in_the_systems_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    theirs = tmp_path / "digitlab-export-theirs"
    theirs.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: theirs.stat().st_uid + 1)
    with scratch():
        assert theirs.is_dir()
