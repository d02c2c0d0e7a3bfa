"""The user's cache folder, and blobs in it that are checked in full before they are believed.

A blob is a file of 48 bytes of header (the magic, the CRC-32 and the length of the content, the SHA-256 that
says what the content is) and the content. The cache only saves time: whatever is wrong with it, digitlab
does without.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.storage import new_file, replacing

#: The environment variable that names another folder, or is ``off``.
CACHE_VARIABLE = "DIGITLAB_CACHE"

_MAGIC = b"dlc1"
# 48 bytes, so that the pixels of an IDX file of images, behind its 16, begin on a cache line.
_HEADER = struct.Struct(">4sIQ32s")


def cache_folder() -> Path | None:
    """Return the folder for what can be made again, an absolute path, made if it is missing.

    It is ``$DIGITLAB_CACHE``, or else ``digitlab`` in the system's folder for caches. None if that is ``off``, cannot
    be made or written, belongs to somebody else, or anybody may write to it: what lies in it is trusted.
    """
    try:
        folder = _chosen_folder()
        if folder is None:
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(folder.stat()):
            return None
        # The only question that read-only file systems, quotas and Windows all answer truly.
        file, probe = new_file(folder, 0o600)
        file.close()
        probe.unlink(missing_ok=True)
    except (OSError, RuntimeError, ValueError):
        return None
    return folder


def read_cached(name: str, sha256: bytes, n_bytes: int) -> NDArray[np.uint8] | None:
    """Return a blob that was written with this SHA-256, after checking every byte of it: uint8 (n_bytes,).

    It is a memory map whose changes stay in this process. None if there is none, it is damaged or of another user.
    """
    folder = cache_folder()
    if folder is None:
        return None
    try:
        with open(folder / name, "rb", opener=_open_no_link) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size != _HEADER.size + n_bytes or not _is_ours(status):
                return None
            magic, checksum, length, key = _HEADER.unpack(file.read(_HEADER.size))
            if (magic, length, key) != (_MAGIC, n_bytes, sha256):
                return None
            # Copy-on-write, because a read-only array would have the engine's kernels compiled once more.
            mapped: np.memmap[Any, np.dtype[np.uint8]] = np.memmap(file, np.uint8, "c", _HEADER.size, (n_bytes,))
    except (OSError, ValueError, struct.error):
        return None
    # CRC-32 finds every change of up to 32 bits in a row, in a third of the time of SHA-256 or less.
    return mapped.view(np.ndarray) if zlib.crc32(mapped.data) == checksum else None


def write_cached(name: str, sha256: bytes, parts: Sequence[bytearray]) -> bool:
    """Put a blob into the cache, so that readers see the old file or the whole new one; False if that cannot be."""
    folder = cache_folder()
    if folder is None:
        return False
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    try:
        # Not durable: a file that a power cut leaves half written fails its checksum and is made again.
        with replacing(folder / name, mode=0o600, durable=False) as file:
            file.write(_HEADER.pack(_MAGIC, checksum, sum(map(len, parts)), sha256))
            file.writelines(parts)
    except OSError:
        return False
    return True


def _chosen_folder() -> Path | None:
    chosen = os.environ.get(CACHE_VARIABLE, "").strip()
    if chosen.lower() == "off":
        return None
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        folder = (Path(local) if local else Path.home() / "AppData" / "Local") / "digitlab" / "cache"
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches" / "digitlab"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        # The XDG specification has relative paths ignored.
        folder = (base if base.is_absolute() else Path.home() / ".cache") / "digitlab"
    return None if _is_root_in_the_home_of_another(folder) else folder


def _is_root_in_the_home_of_another(folder: Path) -> bool:
    """Tell whether this is ``sudo`` with the home of the user, who could not write what root makes there."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return existing.stat().st_uid != 0


def _is_ours(status: os.stat_result) -> bool:
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & 0o002


def _open_no_link(path: str, flags: int) -> int:
    # Not waiting, should it be a pipe.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
