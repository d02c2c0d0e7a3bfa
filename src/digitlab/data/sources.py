"""Where the four arrays of an MNIST-like set come from: the package, or somebody's folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.cache import read_cached, write_cached
from digitlab.data.idx import parse_idx, read_idx_content
from digitlab.data.storage import holding
from digitlab.errors import DataError


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """A file of the package: its name, and the length and SHA-256 of its decompressed content."""

    name: str
    n_bytes: int
    sha256: str


#: The published files in the order training images, training labels, test images, test labels.
PACKAGED_FILES = tuple(
    PackagedFile(name, n_bytes, sha256)
    for name, n_bytes, sha256 in (
        ("train-images-idx3-ubyte.xz", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        ("train-labels-idx1-ubyte.xz", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        ("t10k-images-idx3-ubyte.xz", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        ("t10k-labels-idx1-ubyte.xz", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    )
)

PACKAGED_FOLDER = Path(__file__).with_name("files")

_STEMS = (
    ("train-images-idx3-ubyte", "train-images.idx3-ubyte"),
    ("train-labels-idx1-ubyte", "train-labels.idx1-ubyte"),
    ("t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte", "test-images-idx3-ubyte", "test-images.idx3-ubyte"),
    ("t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte", "test-labels-idx1-ubyte", "test-labels.idx1-ubyte"),
)
_SUFFIXES = ("", ".gz", ".xz")


@dataclass(frozen=True, slots=True, eq=False)
class DigitFiles:
    """What four IDX files hold, checked: images uint8 (n, 28, 28), ink bright on dark, and labels uint8 (n,), 0-9.

    ``digest`` is the SHA-256, in hexadecimal, of the four contents' SHA-256 one after the other: the same however they
    are compressed.
    """

    source: str
    digest: str
    training_images: NDArray[np.uint8]
    training_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]


def read_packaged() -> DigitFiles:
    """Read the MNIST that comes with digitlab, from the cache if it is there."""
    keys = [bytes.fromhex(file.sha256) for file in PACKAGED_FILES]
    digest = _digest(keys)
    ends = list(accumulate((file.n_bytes for file in PACKAGED_FILES), initial=0))
    name = f"mnist-{digest[:16]}.blob"
    contents: Sequence[bytearray | memoryview]
    cached = read_cached(name, bytes.fromhex(digest), ends[-1])
    if cached is not None:
        contents = [cached[start:end].data for start, end in pairwise(ends)]
    else:
        # Threads, because decompressing and hashing release the GIL; the largest file comes first.
        with ThreadPoolExecutor(len(PACKAGED_FILES)) as pool:
            unpacked = list(pool.map(_unpack, PACKAGED_FILES))
        write_cached(name, bytes.fromhex(digest), unpacked)
        contents = unpacked
    arrays = [parse_idx(content, file.name) for content, file in zip(contents, PACKAGED_FILES, strict=True)]
    return DigitFiles("MNIST, packaged", digest, *arrays)


def read_folder(folder: str | os.PathLike[str]) -> DigitFiles:
    """Read somebody's own set from four IDX files with the names that MNIST gave them, each plain, ``.gz`` or ``.xz``.

    ``.idx3-ubyte`` in place of ``-idx3-ubyte`` and ``test`` in place of ``t10k`` will do.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        raise DataError(f"There is no folder {folder}. Name the folder that holds the four IDX files.")
    paths = [_find(folder, stems) for stems in _STEMS]
    # Corrections are written by a Studio at any time, and two of their files belong together.
    with holding(folder), ThreadPoolExecutor(len(paths)) as pool:
        read = list(pool.map(_read_and_hash, paths))
    training_images, training_labels, test_images, test_labels = (array for array, _ in read)
    _check_images(training_images, paths[0])
    _check_labels(training_labels, paths[1], len(training_images))
    _check_images(test_images, paths[2])
    _check_labels(test_labels, paths[3], len(test_images))
    digest = _digest([key for _, key in read])
    return DigitFiles(str(folder), digest, training_images, training_labels, test_images, test_labels)


def _digest(keys: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(keys)).hexdigest()


def _unpack(file: PackagedFile) -> bytearray:
    path = PACKAGED_FOLDER / file.name
    try:
        content = read_idx_content(path, max_bytes=file.n_bytes)
    except DataError as error:
        problem = str(error)
    else:
        if hashlib.sha256(content).hexdigest() == file.sha256:
            return content
        problem = f"The content of {path} is not the published one."
    raise DataError(f"The packaged MNIST is damaged. {problem} Reinstall it: pip install --force-reinstall digitlab")


def _find(folder: Path, stems: Sequence[str]) -> Path:
    names = [stem + suffix for stem, suffix in product(stems, _SUFFIXES)]
    for name in names:
        if os.path.exists(folder / name):
            return folder / name
    others = f" ({' or '.join(stems[1:])} will do)"
    raise DataError(
        f"{folder} has no file {stems[0]}{others}, plain or ending in .gz or .xz. "
        "Put it there, or name the folder that holds the four IDX files."
    )


def _read_and_hash(path: Path) -> tuple[NDArray[Any], bytes]:
    content = read_idx_content(path)
    return parse_idx(content, str(path)), hashlib.sha256(content).digest()


def _check_images(images: NDArray[Any], path: Path) -> None:
    if images.dtype != np.uint8:
        raise DataError(
            f"{path} holds {images.dtype}; images must be uint8, 0-255, ink bright on dark. "
            "Convert them and write them with write_idx."
        )
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise DataError(
            f"{path} holds an array of shape {images.shape}; images must be (n, 28, 28). "
            "Scale them to 28 x 28 pixels and write them with write_idx."
        )
    if len(images) == 0:
        raise DataError(f"{path} holds no images; 1 at least was expected. Add images to the set.")


def _check_labels(labels: NDArray[Any], path: Path, n_images: int) -> None:
    if labels.dtype != np.uint8:
        raise DataError(
            f"{path} holds {labels.dtype}; labels must be uint8, 0-9. Convert them and write them with write_idx."
        )
    if labels.shape != (n_images,):
        raise DataError(
            f"{path} holds labels of shape {labels.shape}, and there are {n_images:,} images; one label an image "
            f"was expected, ({n_images},). Check that the two files belong together."
        )
    if labels.max() > 9:
        index = int(np.argmax(labels > 9))
        raise DataError(
            f"{path} holds the label {labels[index]} at index {index}; labels must be the digits 0 to 9. "
            "Correct it, or leave such images out."
        )
