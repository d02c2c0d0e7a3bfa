"""Making way for a run of the same name: only what a run consists of is ever deleted.

A mistyped name must not cost anybody a folder of their own.
"""

from __future__ import annotations

import stat
from pathlib import Path

from digitlab.data.bench import bench, replace_folder
from digitlab.data.storage import parse_json, read_ordinary
from digitlab.errors import RunError
from digitlab.runs.layout import CONFIG, FILES
from digitlab.runs.locking import RunLock

__all__ = ["replace_run"]

_MOST_BYTES = 2**24


def replace_run(path: Path) -> None:
    """Put an empty directory in the place of a run, which is deleted.

    Raises
    ------
    RunError
        If it is not a run, holds something else too, or is being trained.
    OSError
        If it cannot be done; the run is as it was.
    """
    _check(path)
    lock = RunLock(path)
    try:
        with bench(path.parent) as place:
            (place / path.name).mkdir()
            replace_folder(place / path.name, path, place)
    finally:
        lock.release()


def _check(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        raise RunError(f"{path} exists and is not a run; --force replaces runs only. Choose another --name.")
    entries = sorted(path.iterdir())
    for entry in entries:
        is_ours = entry.name in FILES or entry.match(".digitlab-*.tmp")
        if not is_ours or not stat.S_ISREG(entry.lstat().st_mode):
            raise RunError(
                f"{path} also holds {entry.name!r}, which is not part of a run; move it away before using --force."
            )
    # One that was killed right after it was made may hold nothing yet. Other tools have files of these names too.
    if any(entry.name in FILES for entry in entries) and not _is_config_of_a_run(path / CONFIG):
        raise RunError(
            f"{path} has no {CONFIG} that digitlab wrote; --force replaces runs only. Choose another --name, or delete "
            f"it yourself."
        )


def _is_config_of_a_run(path: Path) -> bool:
    try:
        content = parse_json(read_ordinary(path, _MOST_BYTES))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and isinstance(content.get("config"), dict) and "command" in content
