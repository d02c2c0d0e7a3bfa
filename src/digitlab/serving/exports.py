"""Exports: the network as a file for other programs, made once for each format and kept."""

from __future__ import annotations

import threading

from digitlab.data.bench import scratch
from digitlab.data.storage import read_ordinary
from digitlab.errors import ConfigError
from digitlab.exporting.packing import ANY_TYPE, ExportedFile, export_packed, file_stem, formats_here
from digitlab.network.checkpoint import Checkpoint, save_checkpoint
from digitlab.reading.predictor import Predictor
from digitlab.serving.service import Service

__all__ = ["Exports", "download_formats"]

_OWN = "safetensors"
_MOST_BYTES = 768 * 2**20  # of a checkpoint


def download_formats() -> tuple[str, ...]:
    """Return what the network can be had as: digitlab's own format first, then what is installed for others."""
    return (_OWN, *formats_here())


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
        if format not in download_formats():
            raise ConfigError(f"There is no format {format!r} here; choose one of {', '.join(download_formats())}.")
        with self._lock:
            if format not in self._kept:
                self._kept[format] = _written(self._service.predictor, format)
            return self._kept[format]


def _written(predictor: Predictor, format: str) -> ExportedFile:
    model = predictor.model
    if format == _OWN:
        return ExportedFile(f"{file_stem(model.name)}.{_OWN}", ANY_TYPE, _own_file(predictor))
    # Read back and compared, as always; asking the runtimes would load them into this process, or start others.
    metadata = predictor.metadata
    return export_packed(model, model.name, format=format, ask_runtimes=False, metadata=metadata)[1]


def _own_file(predictor: Predictor) -> bytes:
    if predictor.file.suffix == f".{_OWN}":
        return read_ordinary(predictor.file, _MOST_BYTES)
    model = predictor.model
    with scratch() as folder:
        path = folder / "model"
        weights = tuple(model.get_weights())
        save_checkpoint(path, Checkpoint(model.architecture, weights, model.class_names, predictor.metadata))
        return path.read_bytes()
