from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitlab.network.formats.hdf5 import Hdf5Error, Hdf5File

h5py = pytest.importorskip("h5py")


def made(fill: Callable[[Any], None], **options: Any) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w", **options) as file:
        fill(file)
    return memory.getvalue()


ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def plain(file: Any) -> None:
    file["a/b/c"] = ARRAY
    file["a/half"] = ARRAY.astype(np.float16)
    file["a/double"] = ARRAY.astype(np.float64)
    file["a/whole"] = np.arange(3)
    file["a/big_endian"] = ARRAY.astype(">f4")
    file["scalar"] = np.float32(3.0)
    file["a"].attrs["name"] = "a"


CONTENT = made(plain)


def test_arrays_of_the_library_are_read() -> None:
    file = Hdf5File(CONTENT)
    for path in ("a/b/c", "a/half", "a/double"):
        np.testing.assert_array_equal(file.array(path, (2, 3, 4)), ARRAY, strict=True)
    assert file.array("scalar", ()) == 3.0


def test_groups_with_many_members_are_read() -> None:
    def fill(file: Any) -> None:
        for i in range(300):
            file[f"layers/dense_{i}/vars/0"] = np.full(2, i, np.float32)

    file = Hdf5File(made(fill))
    assert [file.array(f"layers/dense_{i}/vars/0", (2,))[0] for i in (0, 7, 151, 299)] == [0, 7, 151, 299]


@pytest.mark.parametrize(
    ("path", "shape", "expected"),
    [
        ("a/b/none", (2, 3, 4), "a/b/none is missing"),
        ("a/b/c", (2, 3, 5), "should have the shape (2, 3, 5)"),
        ("a/b", (1,), "not an array"),
        ("a/b/c/d", (1,), "is missing"),
        ("a/whole", (3,), "floating-point"),
        ("a/big_endian", (2, 3, 4), "floating-point"),
    ],
)
def test_what_is_not_there_is_said(path: str, shape: tuple[int, ...], expected: str) -> None:
    with pytest.raises(Hdf5Error) as caught:
        Hdf5File(CONTENT).array(path, shape)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "fill",
    [
        lambda file: file.create_dataset("x", data=ARRAY, chunks=(1, 3, 4), compression="gzip"),
        lambda file: file.__setitem__("x", h5py.ExternalLink("/etc/passwd", "x")),
        lambda file: file.__setitem__("x", h5py.SoftLink("/y")),
        lambda file: file.create_dataset("x", (2, 3, 4), "f4", external=[("/etc/passwd", 0, 96)]),
    ],
)
def test_arrays_that_lie_elsewhere_or_are_compressed_are_refused(fill: Any) -> None:
    with pytest.raises(Hdf5Error):
        Hdf5File(made(fill)).array("x", (2, 3, 4))


def test_newer_layouts_are_refused() -> None:
    with pytest.raises(Hdf5Error, match="layout"):
        Hdf5File(made(plain, libver="latest"))


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"x" * 96, CONTENT[:200]])
def test_what_is_no_hdf5_or_cut_short_is_refused(content: bytes) -> None:
    with pytest.raises(Hdf5Error):
        Hdf5File(content).array("a/b/c", (2, 3, 4))


def test_a_tree_that_contains_itself_is_left() -> None:
    content = bytearray(CONTENT)
    tree = content.index(b"TREE")
    struct.pack_into("<HxxxxxxxxxxxxxxxxxxxxxxxxQ", content, tree + 6, 30_000, tree)
    with pytest.raises(Hdf5Error):
        Hdf5File(bytes(content)).array("a/b/c", (2, 3, 4))


def test_messages_that_nobody_asked_for_are_not_kept() -> None:
    """Headers may overlap: a file of 200 kB can have thousands of messages of 60 kB, each of another kind."""
    n, size = 4000, 60_000
    places = 112 + 24 * n
    pointers = b"".join(struct.pack("<HH4xQQ", 0x10, 16, places + 8 * k, 8) for k in range(n))
    headers = b"".join(struct.pack("<HH4x", 0x100 + k, size) for k in range(n))
    head = CONTENT[:96] + struct.pack("<BBHII4x", 1, 0, 2 * n, 1, len(pointers))
    file = Hdf5File(head + pointers + headers + bytes(size))
    tracemalloc.start()
    try:
        assert dict(file._messages(96)) == {}
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


@settings(max_examples=200)
@given(changes=st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes_are_a_sentence_or_other_numbers(changes: list[tuple[int, int]]) -> None:
    content = bytearray(CONTENT)
    for place, value in changes:
        content[place] = value
    try:
        array = Hdf5File(bytes(content)).array("a/b/c", (2, 3, 4))
    except Hdf5Error:
        return
    assert array.shape == (2, 3, 4)
