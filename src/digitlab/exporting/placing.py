"""Putting a file or a folder in its place, whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from digitlab.data.bench import bench, replace_folder
from digitlab.errors import StorageError

__all__ = ["placing"]

# What a TensorFlow.js model's folder consists of, and a page's besides; anything else in it is somebody's own.
_MODEL = re.compile(r"model\.json|group\d+-shard\d+of\d+\.bin")
_PAGE = re.compile(r"index\.html|README\.txt|(?:page|pad|picture|network|frame|weights)\.js|page\.css")


@contextmanager
def placing(target: Path) -> Iterator[Path]:
    """Yield where to make something that takes the place of ``target`` when the block ends well.

    Parameters
    ----------
    target : Path
        A file, or a folder with a TensorFlow.js model or a page; what is there of the same kind is replaced.

    Raises
    ------
    StorageError
        If it cannot be written, or something else is in the way; what was there is as it was.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with bench(target.parent) as place:
            made = place / "made" / target.name
            made.parent.mkdir()
            yield made
            _check_free(target, is_folder=made.is_dir())
            if target.is_dir():
                replace_folder(made, target, place)
            else:
                made.replace(target)
    except (OSError, ValueError) as error:
        if isinstance(error, StorageError) or (not isinstance(error, OSError) and "null byte" not in str(error)):
            raise
        reason = getattr(error, "strerror", None) or error
        raise StorageError(
            f"{target} cannot be written: {reason}. Nothing that existed was lost; choose another place with --out."
        ) from error


def _check_free(target: Path, *, is_folder: bool) -> None:
    if not is_folder:
        if target.is_dir():
            raise StorageError(f"{target} is a folder; choose another name for the file.")
        return
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise StorageError(f"{target} exists and is not a folder with an export; choose another one.")
    if target.is_dir():
        # A README.txt beside a model is somebody's; beside the page's weights it is the page's.
        is_page = (target / "weights.js").is_file()
        for entry in sorted(target.iterdir()):
            is_ours = _MODEL.fullmatch(entry.name) or (is_page and _PAGE.fullmatch(entry.name))
            if not is_ours or not entry.is_file() or entry.is_symlink():
                raise StorageError(
                    f"{target} also holds {entry.name!r}, which is not part of what digitlab exports; "
                    "choose another folder."
                )
