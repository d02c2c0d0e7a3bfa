"""A set of images and labels, checked; and the MNIST that comes with digitlab.

Somebody's own sets become the same in ``sources``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.data.cache import read_cached, write_cached
from digitlab.data.idx import parse_idx, read_idx_content
from digitlab.errors import DataError
from digitlab.values import CLASS_NAMES


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


@dataclass(frozen=True, slots=True, eq=False)
class DigitFiles:
    """A set, checked: images uint8 (n, 28, 28), ink bright on dark, and labels uint8 (n,), places in ``class_names``.

    ``digest`` is the SHA-256, in hexadecimal, of the SHA-256 of the four IDX files that would hold it: the same in
    whatever form it comes. ``n_validation`` is how many of the last training images were meant for validation, None
    where nobody said; ``has_test`` whether the test images were told apart before; ``notes`` are sentences on what was
    made of what was found, the one on a test part that was made here the last.
    """

    source: str
    digest: str
    training_images: NDArray[np.uint8]
    training_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    class_names: tuple[str, ...] = CLASS_NAMES
    n_validation: int | None = None
    notes: tuple[str, ...] = ()
    has_test: bool = True


def read_packaged() -> DigitFiles:
    """Read the MNIST that comes with digitlab, from the cache if it is there."""
    keys = [bytes.fromhex(file.sha256) for file in PACKAGED_FILES]
    digest = digest_of(keys)
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
    return DigitFiles("MNIST, packaged", digest, arrays[0], arrays[1], arrays[2], arrays[3])


def digest_of(keys: Sequence[bytes]) -> str:
    """Return the digest of a set whose four IDX files have these SHA-256."""
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
