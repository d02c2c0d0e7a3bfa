"""Exports: the network as a file for other programs, made once for each format and kept."""

from __future__ import annotations

import importlib.util
import io
import re
import tempfile
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

from digitlab.errors import ConfigError
from digitlab.exporting.export import export
from digitlab.exporting.report import FORMATS
from digitlab.network.checkpoint import Checkpoint, save_checkpoint
from digitlab.reading.predictor import Predictor
from digitlab.serving.service import Service

__all__ = ["ExportedFile", "Exports", "formats_here"]

_OWN = "safetensors"
# Packages of the extra [export] that a format is written with.
_NEEDS = {"keras": "h5py", "onnx": "onnx"}
_MOST_NAME = 60
_ANY_TYPE, _ZIP_TYPE = "application/octet-stream", "application/zip"


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file to download: its name, what it is and what is in it."""

    name: str
    media_type: str
    content: bytes


def formats_here() -> tuple[str, ...]:
    """Return the formats that can be written with what is installed; digitlab's own first."""
    others = (name for name in FORMATS if name not in _NEEDS or importlib.util.find_spec(_NEEDS[name]) is not None)
    return (_OWN, *others)


class Exports:
    """Writes a service's network; safe to call from several threads."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._kept: dict[str, ExportedFile] = {}

    def of(self, format: str) -> ExportedFile:
        """Return the network as a file; folders are packed into one ZIP file.

        Raises
        ------
        ConfigError
            If there is no such format, or it cannot be written with what is installed.
        """
        if format not in formats_here():
            raise ConfigError(f"There is no format {format!r} here; choose one of {', '.join(formats_here())}.")
        with self._lock:
            if format not in self._kept:
                with tempfile.TemporaryDirectory(prefix="digitlab-export-") as folder:
                    self._kept[format] = _written(self._service.predictor, format, Path(folder))
            return self._kept[format]


def _written(predictor: Predictor, format: str, folder: Path) -> ExportedFile:
    model = predictor.model
    # What a network is called may be anything, and becomes a file's name and part of a header here.
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", model.name).strip("-")[:_MOST_NAME] or "model"
    if format == _OWN:
        path = predictor.file
        if path.suffix != f".{_OWN}":
            path = folder / "model"
            save_checkpoint(path, Checkpoint(model.architecture, tuple(model.get_weights()), model.class_names))
        return ExportedFile(f"{name}.{_OWN}", _ANY_TYPE, path.read_bytes())
    path = folder / f"{name}{FORMATS[format]}"
    # Read back and compared, as always; asking the runtimes would load them into this process, or start others.
    export(model, path, format=format, ask_runtimes=False)
    if path.is_file():
        return ExportedFile(path.name, _ANY_TYPE, path.read_bytes())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path.rglob("*")):
            archive.write(file, f"{path.name}/{file.relative_to(path).as_posix()}")
    return ExportedFile(f"{path.name}.zip", _ZIP_TYPE, packed.getvalue())
