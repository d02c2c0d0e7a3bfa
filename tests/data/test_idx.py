"""The IDX format: what is written comes back, and bad bytes give a sentence."""

from __future__ import annotations

import gzip
import lzma
import os
import re
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitlab.data import read_idx, write_idx
from digitlab.data.idx import read_idx_content
from digitlab.data.storage import _Unpacked
from digitlab.errors import DataError, StorageError

DTYPES = ("u1", "i1", "i2", "i4", "f4", "f8")
#: uint8 (2, 3), written by hand from the format's description.
GOOD = bytes([0, 0, 0x08, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])


def header(code: int, *shape: int) -> bytes:
    return struct.pack(f">4B{len(shape)}I", 0, 0, code, len(shape), *shape)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx")


def fails(path: Path, sentence: str, **options: int) -> None:
    with pytest.raises(DataError, match=re.escape(sentence)) as error:
        read_idx(path, **options)
    assert path.name in str(error.value)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("code", "dtype", "values"),
    [
        (0x08, "u1", b"\x00\xff"),
        (0x09, "i1", b"\x00\xff"),
        (0x0B, "i2", b"\x01\x02\xff\xfe"),
        (0x0C, "i4", b"\x00\x00\x01\x00\xff\xff\xff\xfe"),
        (0x0D, "f4", struct.pack(">2f", 1.5, -2)),
        (0x0E, "f8", struct.pack(">2d", 1.5, -2)),
    ],
)
def test_each_type_is_read_big_endian_into_native_order(tmp_path, code, dtype, values):
    (tmp_path / "two").write_bytes(header(code, 2) + values)
    array = read_idx(tmp_path / "two")
    assert array.dtype == np.dtype(dtype)
    assert array.dtype.isnative
    assert array.flags.writeable
    assert array.flags.c_contiguous
    assert array.tobytes() == np.frombuffer(values, f">{dtype}").astype(dtype).tobytes()


def test_a_file_written_by_hand_is_read_and_written_back_byte_for_byte(tmp_path):
    (tmp_path / "hand").write_bytes(GOOD)
    array = read_idx(tmp_path / "hand")
    assert array.tolist() == [[1, 2, 3], [4, 5, 6]]
    write_idx(tmp_path / "again", array)
    assert (tmp_path / "again").read_bytes() == GOOD


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read_back(folder, data):
    dtype = np.dtype(data.draw(st.sampled_from("<>")) + data.draw(st.sampled_from(DTYPES)))
    shape = tuple(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=8)))
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    array = np.frombuffer(random.bytes(n_bytes), dtype).reshape(shape) if n_bytes else np.empty(shape, dtype)
    if data.draw(st.booleans()):
        array = array.T
    path = folder / ("round" + data.draw(st.sampled_from(["", ".idx", ".gz", ".xz", ".GZ"])))
    write_idx(path, array)
    back = read_idx(path)
    assert back.shape == array.shape
    assert back.dtype == dtype.newbyteorder("=")
    # As bytes, because a NaN differs from itself.
    assert back.tobytes() == array.astype(back.dtype).tobytes()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_corrupted_bytes_give_a_data_error_or_a_whole_array(folder, data):
    suffix = data.draw(st.sampled_from(["", ".gz", ".xz"]))
    path = folder / f"corrupted{suffix}"
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    write_idx(path, array)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        kind = data.draw(st.sampled_from(["flip", "cut", "insert"]))
        position = data.draw(st.integers(0, max(0, len(content) - 1)))
        if kind == "flip" and content:
            content[position] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del content[position:]
        else:
            content[position:position] = data.draw(st.binary(min_size=1, max_size=4))
    path.write_bytes(content)
    try:
        back = read_idx(path, max_bytes=10_000)
    except DataError:
        return
    if suffix:
        # Both carry a checksum of the content; a plain file cannot tell one pixel from another.
        np.testing.assert_array_equal(back, array)
    assert back.nbytes <= 10_000


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=60), magic=st.sampled_from([b"", b"\x00\x00", b"\x1f\x8b\x08", b"\xfd7zXZ\x00"]))
def test_any_bytes_give_a_data_error_or_an_array(folder, content, magic):
    path = folder / "any"
    path.write_bytes(magic + content)
    try:
        array = read_idx(path, max_bytes=10_000)
    except DataError:
        return
    assert array.nbytes <= 10_000


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_compression_is_told_by_the_bytes_and_not_by_the_name(tmp_path, pack):
    path = tmp_path / "named.gz"
    path.write_bytes(pack(GOOD))
    assert read_idx(path).shape == (2, 3)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_file_of_several_streams_is_read_whole(tmp_path, pack):
    path = tmp_path / "streams"
    path.write_bytes(pack(GOOD[:7]) + pack(b"") + bytes(8 if pack is lzma.compress else 0) + pack(GOOD[7:]) + bytes(4))
    assert read_idx(path).tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_equal_arrays_give_equal_files(tmp_path, suffix):
    paths = [tmp_path / f"{name}{suffix}" for name in ("one", "two")]
    for path in paths:
        write_idx(path, np.arange(100, dtype=np.int16))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_missing_file_is_named(tmp_path):
    fails(tmp_path / "nowhere", "There is no file")


def test_a_folder_is_told_from_a_file(tmp_path):
    fails(tmp_path, "is a folder, where a file was expected")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX")
def test_a_named_pipe_does_not_make_the_reader_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    fails(tmp_path / "pipe", "is not a regular file")


def test_a_name_that_no_file_can_have_is_a_data_error():
    with pytest.raises(DataError, match="cannot be read"):
        read_idx("a\x00b")
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        read_idx("a" * 5000)


def test_an_empty_file_is_told(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    fails(tmp_path / "empty", "is empty")
    (tmp_path / "packed").write_bytes(gzip.compress(b""))
    fails(tmp_path / "packed", "is empty")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\x00\x00", "holds 2 bytes, fewer than the header"),
        (GOOD[:9], "ends inside its header, after 9 of 12 bytes"),
        (b"PK\x03\x04 and so on", "begins with the bytes 50 4b 03 04"),
        (b"\x00\x01" + GOOD[2:], "begins with the bytes 00 01 08 02"),
        (header(0x0A, 1), "a type (08, 09, 0b, 0c, 0d, 0e)"),
        (b"\x00\x00\x08\x00", "the number of dimensions (01 to 08)"),
        (header(0x08, *[1] * 9) + b"1", "the number of dimensions (01 to 08)"),
        (header(0x08, 0, *[2**32 - 1] * 7), "promises the impossible shape (0, 4294967295"),
        (GOOD[:-1], "is cut off: it holds 17 bytes, and its header promises 18"),
        (GOOD + b"\x00", "goes on after the 18 bytes that its header promises"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_a_wrong_header_or_length_is_told(tmp_path, content, sentence, pack):
    (tmp_path / "wrong").write_bytes(pack(content))
    fails(tmp_path / "wrong", sentence)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_damaged_stream_is_told(tmp_path, pack):
    packed = pack(GOOD)
    path = tmp_path / "damaged"
    for damaged in (packed[:-1], packed[: len(packed) // 2], packed[:12], packed + b"rest", packed[:-9] + bytes(9)):
        path.write_bytes(damaged)
        fails(path, "cannot be decompressed")


def test_a_size_above_the_limit_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "large").write_bytes(header(0x0E, 2**31, 2**20))
    fails(tmp_path / "large", "promises 18,014,398,509,481,996 bytes, and 1,073,741,824 at most were expected")
    (tmp_path / "limit").write_bytes(GOOD)
    assert read_idx(tmp_path / "limit", max_bytes=18).shape == (2, 3)
    fails(tmp_path / "limit", "pass a larger max_bytes", max_bytes=17)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_no_more_is_decompressed_than_the_header_promises_and_a_byte(tmp_path, monkeypatch, pack):
    n_read = 0

    def counted(read):
        def wrapper(self, n_bytes):
            nonlocal n_read
            chunk = read(self, n_bytes)
            n_read += len(chunk)
            return chunk

        return wrapper

    monkeypatch.setattr(_Unpacked, "read", counted(_Unpacked.read))
    (tmp_path / "bomb").write_bytes(pack(GOOD + bytes(5_000_000)))
    fails(tmp_path / "bomb", "goes on after")
    assert n_read == len(GOOD) + 1


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_file_of_empty_streams_is_left_soon(tmp_path, pack):
    """Going on from one to the next costs time: 5 MB of those of xz took half a minute."""
    path = tmp_path / "empty"
    path.write_bytes(pack(b"") * 1_200)
    with pytest.raises(DataError, match="it has 1,001 streams for 0 bytes"):
        read_idx(path)
    path.write_bytes(pack(b"") * 900 + pack(struct.pack(">HBBI", 0, 8, 1, 3) + b"123"))
    assert read_idx(path).tolist() == [49, 50, 51]


def test_streams_of_one_byte_each_are_left_soon_and_those_of_bgzip_are_read(tmp_path):
    content = header(8, 3_000_000) + bytes(3_000_000)
    path = tmp_path / "many"
    path.write_bytes(b"".join(gzip.compress(content[k : k + 2**12]) for k in range(0, len(content), 2**12)))
    assert read_idx(path).shape == (3_000_000,)
    path.write_bytes(b"".join(gzip.compress(content[k : k + 1]) for k in range(3_000)))
    with pytest.raises(DataError, match="it has 1,001 streams for 1,000 bytes"):
        read_idx(path)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_bytes_without_end_that_hold_nothing_are_left(tmp_path, pack, monkeypatch):
    monkeypatch.setattr("digitlab.data.storage._MOST_EMPTY_BYTES", 2**17)
    path = tmp_path / "padded"
    path.write_bytes(pack(GOOD) + bytes(2**18))
    fails(path, "bytes that hold nothing")
    path.write_bytes(pack(GOOD) + bytes(2**16))
    assert read_idx(path).shape == (2, 3)


def test_a_name_in_a_gzip_file_may_be_of_any_length_but_not_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr("digitlab.data.storage._MOST_EMPTY_BYTES", 2**17)
    packed = gzip.compress(GOOD)
    for n_bytes, is_read in ((1_000, True), (2**18, False)):
        (tmp_path / "named").write_bytes(packed[:3] + b"\x08" + packed[4:10] + b"x" * n_bytes + b"\0" + packed[10:])
        if is_read:
            assert read_idx(tmp_path / "named").shape == (2, 3)
        else:
            fails(tmp_path / "named", "bytes that hold nothing")


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_header_of_no_bytes_in_a_packed_array_is_told(tmp_path, pack):
    """To ask xz for no bytes went on for ever."""
    from digitlab.data import MnistData

    (tmp_path / "x_train.npy.xz").write_bytes(pack(b"\x93NUMPY\x01\x00\x00\x00" + bytes(99)))
    (tmp_path / "y_train.npy").write_bytes(b"\x93NUMPY\x01\x00\x00\x00")
    with pytest.raises(DataError, match="is no array that NumPy saved"):
        MnistData.load(tmp_path)


def test_an_xz_dictionary_beyond_the_memory_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("digitlab.data.storage._XZ_MEMORY_BYTES", 2**20)
    (tmp_path / "hungry").write_bytes(lzma.compress(GOOD, preset=9))
    fails(tmp_path / "hungry", "Memory usage limit exceeded")


def test_the_content_is_the_decompressed_file(tmp_path):
    (tmp_path / "packed.gz").write_bytes(gzip.compress(GOOD))
    assert read_idx_content(tmp_path / "packed.gz") == GOOD


@pytest.mark.parametrize("array", [np.zeros(2, np.int64), np.zeros(2, bool), np.zeros(2, complex), np.array(["a"])])
def test_a_type_that_the_format_lacks_is_refused(tmp_path, array):
    with pytest.raises(DataError, match=r"an IDX file holds uint8, int8, int16, int32, float32, float64\. Convert"):
        write_idx(tmp_path / "array", array)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(), (1,) * 9, (0, 2**32)])
def test_a_shape_that_the_format_lacks_is_refused(tmp_path, shape):
    with pytest.raises(DataError, match="1 to 8 dimensions"):
        write_idx(tmp_path / "array", np.zeros(shape, np.uint8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"kept{suffix}"
    write_idx(path, np.uint8([1, 2]))

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StorageError, match=r"could not be written: No space left on device\. Choose .* 11 bytes free\."
    ):
        write_idx(path, np.uint8([3, 4, 5]))
    assert read_idx(path).tolist() == [1, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "no" / "folder", tmp_path / "file" / "below", tmp_path, "a\x00b", ""):
        with pytest.raises(StorageError, match="could not be written"):
            write_idx(path, np.uint8([1]))
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_written_file_has_the_permissions_of_any_new_file(tmp_path):
    write_idx(tmp_path / "written", np.uint8([1]))
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "written").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_readers_see_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "shared.gz"
    arrays = [np.full(size, size % 251, np.uint8) for size in (10, 20_000)]
    write_idx(path, arrays[0])

    def write() -> None:
        for turn in range(20):
            write_idx(path, arrays[turn % 2])

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        array = read_idx(path)
        np.testing.assert_array_equal(array, arrays[0] if len(array) == 10 else arrays[1])
    writer.join()
