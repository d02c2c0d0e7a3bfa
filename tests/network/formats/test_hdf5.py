from __future__ import annotations

import io
import re
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitlab.network.formats.hdf5 import _MOST_DESCRIPTION_BYTES, Hdf5Error, Hdf5File

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
        lambda file: file.create_dataset("x", data=ARRAY, chunks=(1, 3, 4), compression="lzf"),
        lambda file: file.__setitem__("x", h5py.ExternalLink("/etc/passwd", "x")),
        lambda file: file.__setitem__("x", h5py.SoftLink("/y")),
        lambda file: file.create_dataset("x", (2, 3, 4), "f4", external=[("/etc/passwd", 0, 96)]),
    ],
)
def test_arrays_that_lie_elsewhere_or_are_compressed_oddly_are_refused(fill: Any) -> None:
    with pytest.raises(Hdf5Error):
        Hdf5File(made(fill)).array("x", (2, 3, 4))


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (2, 3, 4)},
        {"chunks": (1, 2, 3), "compression": "gzip"},
        {"chunks": (2, 2, 3), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (1, 1, 1), "shuffle": True},
    ],
)
def test_arrays_in_chunks_are_read(options: dict[str, Any]) -> None:
    content = made(lambda file: file.create_dataset("x", data=ARRAY, **options))
    np.testing.assert_array_equal(Hdf5File(content).array("x", (2, 3, 4)), ARRAY, strict=True)


LAYOUTS = pytest.mark.parametrize("options", [{}, {"libver": "latest"}, {"libver": ("v108", "v110")}], ids=str)


@LAYOUTS
@pytest.mark.parametrize("n", [3, 30, 700])
def test_groups_of_any_size_are_read_in_every_layout(options: dict[str, Any], n: int) -> None:
    def fill(file: Any) -> None:
        plain(file)
        for i in range(n):
            file[f"many/a_rather_long_name_{i}/0"] = np.full(2, i, np.float32)

    file = Hdf5File(made(fill, **options))
    np.testing.assert_array_equal(file.array("a/b/c", (2, 3, 4)), ARRAY, strict=True)
    assert sorted(file.members(file.find("many"))) == sorted(f"a_rather_long_name_{i}" for i in range(n))
    for i in (0, n // 2, n - 1):
        assert file.array(f"many/a_rather_long_name_{i}/0", (2,))[1] == i


@LAYOUTS
def test_texts_are_read_as_they_were_written(options: dict[str, Any]) -> None:
    texts = {
        "of bytes": b"x" * 300,
        "of letters": "\u00e9" * 70_000,  # more than a header may hold, and therefore elsewhere
        "list of bytes": [b"one", b"three"],
        "list of letters": ["one", "three"],
        "one": np.bytes_(b"fixed"),
        "fixed": np.array([b"a", b"bc"]),
    }
    expected = {name: [value] if isinstance(value, str | bytes) else list(value) for name, value in texts.items()}

    def fill(file: Any) -> None:
        for name, value in texts.items():
            file.attrs[name] = value
        file.attrs["none"] = np.array([], np.float64)
        file.attrs["number"] = 7
        many = file.create_group("many")
        for i in range(60):
            many.attrs[f"name{i}"] = [b"x" * i, b"y"]

    file = Hdf5File(made(fill, **options))
    found = file.texts(file.find(""))
    plain_texts = {name: [t if isinstance(t, str) else t.decode() for t in value] for name, value in expected.items()}
    assert found == plain_texts | {"none": []}
    assert file.texts(file.find("many")) == {f"name{i}": ["x" * i, "y"] for i in range(60)}


def test_all_arrays_are_listed_but_those_left_out() -> None:
    def fill(file: Any) -> None:
        plain(file)
        file["optimizer/vars/0"] = ARRAY
        file["round"] = file["/"]

    file = Hdf5File(made(fill))
    paths = dict(file.arrays(without="optimizer"))
    assert {"a/b/c", "a/half", "scalar"} <= set(paths)
    assert not any(path.startswith(("optimizer", "round/a")) for path in paths)
    assert file.shape_at(paths["a/b/c"]) == (2, 3, 4)
    assert file.shape_at(file.find("a")) is None


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


def test_texts_that_stand_for_each_other_take_no_more_than_a_network_has() -> None:
    """A megabyte, told three thousand times over, took six gigabytes."""
    one = b"x" * (2**20 - 77)

    def fill(file: Any) -> None:
        file.attrs["texts"] = [one.decode(), *["y"] * 3_000]

    content = made(fill)
    # Length, heap and number of the first, behind which stands the second, of length 1.
    found = re.search(re.escape(struct.pack("<I", len(one))) + rb"(?s:.{12})\x01\0\0\0", content)
    assert found is not None
    at = found.start()
    first, others = content[at : at + 16], content[at + 16 : at + 16 * 3_001]
    content = content.replace(others, first * 3_000)
    tracemalloc.start()
    try:
        with pytest.raises(Hdf5Error, match="damaged"):
            Hdf5File(content).texts(Hdf5File(content).find(""))
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_a_description_that_is_read_over_and_over_is_left() -> None:
    file = Hdf5File(CONTENT + bytes(2**20))
    for _ in range(_MOST_DESCRIPTION_BYTES // 2**20):
        file._bytes(0, 2**20)
    with pytest.raises(Hdf5Error, match="damaged"):
        file._bytes(0, 2**20)


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
