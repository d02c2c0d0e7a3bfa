"""An export as one file that can be sent: a file as it is, a folder as a ZIP file."""

from __future__ import annotations

import importlib.util
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace

from digitlab.data.bench import scratch
from digitlab.data.mnist import MnistData
from digitlab.engine.sequential import Sequential
from digitlab.exporting.export import export
from digitlab.exporting.report import FORMATS, ExportReport

__all__ = ["ANY_TYPE", "ExportedFile", "export_packed", "file_stem", "formats_here"]

#: The media type of a file that is of no particular kind.
ANY_TYPE = "application/octet-stream"
_ZIP_TYPE = "application/zip"
# Packages of the extra [export] that a format is written with.
_NEEDS = {"keras": "h5py", "onnx": "onnx"}
_MOST_NAME = 60


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file to download: its name, what it is and what is in it."""

    name: str
    media_type: str
    content: bytes


def formats_here() -> tuple[str, ...]:
    """Return the formats that can be written with what is installed."""
    return tuple(name for name in FORMATS if name not in _NEEDS or importlib.util.find_spec(_NEEDS[name]) is not None)


def file_stem(name: str) -> str:
    """Return a name that may stand in a header and on any disk.

    Examples
    --------
    >>> file_stem('my "net"/2'), file_stem("...")
    ('my-net-2', 'model')
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:_MOST_NAME] or "model"


def export_packed(
    model: Sequential,
    name: str,
    *,
    format: str,
    quantize: str | None = None,
    data: MnistData | None = None,
    ask_runtimes: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> tuple[ExportReport, ExportedFile]:
    """Export into a folder that is gone afterwards, and return the content.

    Parameters
    ----------
    model, format, quantize, data, ask_runtimes, metadata
        As for ``digitlab.export``.
    name : str
        What the file is called, without an ending; any text.

    Returns
    -------
    report : ExportReport
        Who agrees. Its ``path`` is the name of what was written.
    file : ExportedFile
        The file. A folder is packed into a ZIP file with that folder in it.

    Raises
    ------
    ConfigError, ExportError, StorageError
        As ``digitlab.export``.
    """
    with scratch() as folder:
        path = folder / f"{file_stem(name)}{FORMATS.get(format, '')}"
        report = export(
            model, path, format=format, quantize=quantize, data=data, ask_runtimes=ask_runtimes, metadata=metadata
        )
        report = replace(report, path=path.name)
        if path.is_file():
            return report, ExportedFile(path.name, ANY_TYPE, path.read_bytes())
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(path.rglob("*")):
                archive.write(file, f"{path.name}/{file.relative_to(path).as_posix()}")
        return report, ExportedFile(f"{path.name}.zip", _ZIP_TYPE, packed.getvalue())
