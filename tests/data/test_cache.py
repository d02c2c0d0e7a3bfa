"""The cache: faster and never wrong, and never in the way."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitlab.data import MnistData, cache_folder
from digitlab.data.cache import read_cached, write_cached
from digitlab.data.storage import replacing

pytestmark = pytest.mark.slow

KEY = hashlib.sha256(b"key").digest()
PARTS = [bytearray(b"digits " * 50), bytearray(b"labels")]
CONTENT = b"".join(PARTS)
N_HEADER = 48


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DIGITLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def memory_map(array):
    """Return the memory map that an array is a view of, or None."""
    base = array
    while base is not None and not isinstance(base, np.memmap):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return base


def test_a_blob_comes_back_as_a_writable_private_memory_map(cache):
    assert write_cached("blob", KEY, PARTS)
    blob = read_cached("blob", KEY, len(CONTENT))
    assert blob.tobytes() == CONTENT
    assert type(blob) is np.ndarray
    assert memory_map(blob) is not None
    assert blob.flags.writeable
    blob[:] = 0
    assert read_cached("blob", KEY, len(CONTENT)).tobytes() == CONTENT


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_change_of_any_byte_is_found(tmp_path_factory, data):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.getbasetemp() / "flipped"
        patch.setenv("DIGITLAB_CACHE", str(folder))
        write_cached("blob", KEY, PARTS)
        content = bytearray((folder / "blob").read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        (folder / "blob").write_bytes(content)
        assert read_cached("blob", KEY, len(CONTENT)) is None


def test_a_blob_of_another_length_or_key_is_not_taken(cache):
    write_cached("blob", KEY, PARTS)
    assert read_cached("blob", KEY, len(CONTENT) - 1) is None
    assert read_cached("blob", hashlib.sha256(b"other").digest(), len(CONTENT)) is None
    assert read_cached("missing", KEY, len(CONTENT)) is None
    for size in (0, 10, N_HEADER, N_HEADER + len(CONTENT) - 1, N_HEADER + len(CONTENT) + 1):
        write_cached("blob", KEY, PARTS)
        os.truncate(cache / "blob", size)
        assert read_cached("blob", KEY, len(CONTENT)) is None


def test_a_folder_or_link_in_place_of_a_blob_is_not_taken(cache):
    write_cached("blob", KEY, PARTS)
    (cache / "folder").mkdir()
    assert read_cached("folder", KEY, len(CONTENT)) is None
    assert not write_cached("folder", KEY, PARTS)
    (cache / "link").symlink_to(cache / "blob")
    assert read_cached("link", KEY, len(CONTENT)) is None
    assert sorted(path.name for path in cache.iterdir()) == ["blob", "folder", "link"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and modes are of POSIX")
def test_a_pipe_in_place_of_a_blob_is_not_waited_for(cache):
    assert cache_folder() == cache
    os.mkfifo(cache / "blob", 0o600)
    assert read_cached("blob", KEY, 3) is None


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and modes are of POSIX")
def test_only_this_user_may_read_or_write_what_is_cached(cache):
    write_cached("blob", KEY, PARTS)
    assert cache.stat().st_mode & 0o777 == 0o700
    assert (cache / "blob").stat().st_mode & 0o777 == 0o600
    (cache / "blob").chmod(0o666)
    assert read_cached("blob", KEY, len(CONTENT)) is None
    cache.chmod(0o777)
    assert cache_folder() is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_another_user_is_not_taken(cache):
    write_cached("blob", KEY, PARTS)
    os.chown(cache / "blob", 12345, -1)
    assert read_cached("blob", KEY, len(CONTENT)) is None
    os.chown(cache, 12345, -1)
    assert cache_folder() is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_root_makes_no_cache_in_the_home_of_another_user(tmp_path, monkeypatch):
    monkeypatch.delenv("DIGITLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "digitlab"
    (tmp_path / "digitlab").rmdir()
    os.chown(tmp_path, 12345, -1)
    assert cache_folder() is None
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_no_error_and_leaves_nothing(cache, monkeypatch):
    write_cached("blob", KEY, PARTS)

    def full(_old, _new):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert not write_cached("blob", KEY, [bytearray(b"new")])
    assert [path.name for path in cache.iterdir()] == ["blob"]
    assert read_cached("blob", KEY, len(CONTENT)).tobytes() == CONTENT


@pytest.mark.parametrize("value", ["off", "OFF", "{file}/below", "{file}", "{file}-" + "b" * 5000, "~no-such-user/x"])
def test_without_a_usable_folder_there_is_no_cache_and_no_error(tmp_path, monkeypatch, value):
    (tmp_path / "file").write_bytes(b"kept")
    monkeypatch.setenv("DIGITLAB_CACHE", value.format(file=tmp_path / "file"))
    assert cache_folder() is None
    assert not write_cached("blob", KEY, PARTS)
    assert read_cached("blob", KEY, len(CONTENT)) is None
    assert (tmp_path / "file").read_bytes() == b"kept"


def test_what_a_killed_process_left_is_removed_by_the_next_write_and_what_another_writes_is_not(cache):
    cache.mkdir()
    (cache / ".digitlab-0123456789abcdef.tmp").write_bytes(b"part")
    with replacing(cache / "another") as file:
        write_cached("blob", KEY, PARTS)
        assert len(list(cache.iterdir())) == 2
        file.write(b"whole")
    assert sorted(path.name for path in cache.iterdir()) == ["another", "blob"]
    assert (cache / "another").read_bytes() == b"whole"


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "{base}/xdg"}, "xdg/digitlab"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache/digitlab"),
        ("linux", {}, "home/.cache/digitlab"),
        ("linux", {"DIGITLAB_CACHE": " ", "XDG_CACHE_HOME": ""}, "home/.cache/digitlab"),
        ("darwin", {"XDG_CACHE_HOME": "{base}/xdg"}, "home/Library/Caches/digitlab"),
        ("win32", {"LOCALAPPDATA": "{base}/local"}, "local/digitlab/cache"),
        ("win32", {}, "home/AppData/Local/digitlab/cache"),
        ("linux", {"DIGITLAB_CACHE": "{base}/own", "XDG_CACHE_HOME": "{base}/xdg"}, "own"),
        ("linux", {"DIGITLAB_CACHE": "~/own"}, "home/own"),
        ("linux", {"DIGITLAB_CACHE": "own"}, "work/own"),
    ],
)
def test_the_folder_is_where_the_system_keeps_caches(tmp_path, monkeypatch, platform, variables, expected):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", classmethod(lambda _cls: tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("DIGITLAB_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(base=tmp_path))
    folder = cache_folder()
    assert folder == tmp_path / expected
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


def test_without_a_home_there_is_no_cache_and_no_error(monkeypatch):
    def homeless(_cls):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("DIGITLAB_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", classmethod(homeless))
    assert cache_folder() is None


def test_the_second_load_is_a_memory_map_and_equals_the_first(cache):
    first = MnistData.load()
    assert memory_map(first.training.images) is None
    (blob,) = cache.iterdir()
    second = MnistData.load()
    assert (second.digest, second.source) == (first.digest, first.source)
    for split in ("training", "validation", "test"):
        one, two = getattr(first, split), getattr(second, split)
        np.testing.assert_array_equal(two.images, one.images)
        np.testing.assert_array_equal(two.labels, one.labels)
        for array in (two.images, two.labels):
            assert memory_map(array) is not None
            assert type(array) is np.ndarray
            assert array.flags.writeable
            assert array.flags.c_contiguous
    # A damaged cache is not believed, and is made again.
    good = blob.stat()
    with open(blob, "r+b") as file:
        file.seek(30_000_000)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 16]))
    third = MnistData.load()
    assert memory_map(third.training.images) is None
    np.testing.assert_array_equal(third.training.images, first.training.images)
    assert memory_map(MnistData.load().training.images) is not None
    assert [path.name for path in cache.iterdir()] == [blob.name]
    assert blob.stat().st_size == good.st_size


def test_two_processes_that_start_at_once_read_the_same(cache):
    program = (
        "import zlib; from digitlab.data import MnistData; data = MnistData.load(); "
        "print(data.digest, zlib.crc32(data.training.images), zlib.crc32(data.test.images))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert answers[0] == answers[1]
    assert len(list(cache.iterdir())) == 1
    assert memory_map(MnistData.load().training.images) is not None
