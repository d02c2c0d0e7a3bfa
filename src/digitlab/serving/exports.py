"""Exports: the network as a file, made once for each format and kept."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from digitlab.errors import ConfigError
from digitlab.serving.service import Service

__all__ = ["ExportedFile", "Exports", "formats_here"]


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file to download: its name, what it is and what is in it."""

    name: str
    media_type: str
    content: bytes


def formats_here() -> tuple[str, ...]:
    """Return the formats that can be written with what is installed."""
    return ("safetensors",)


class Exports:
    """Writes a service's network; safe to call from several threads."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._kept: dict[str, ExportedFile] = {}

    def of(self, format: str) -> ExportedFile:
        """Return the network as a file.

        Raises
        ------
        ConfigError
            If there is no such format.
        """
        if format not in formats_here():
            raise ConfigError(f"There is no format {format!r} here; choose one of {', '.join(formats_here())}.")
        with self._lock:
            if format not in self._kept:
                with tempfile.TemporaryDirectory(prefix="digitlab-export-") as folder:
                    self._kept[format] = self._written(format, Path(folder))
            return self._kept[format]

    def _written(self, format: str, folder: Path) -> ExportedFile:
        predictor = self._service.predictor
        return ExportedFile(f"{predictor.model.name}.{format}", "application/octet-stream", predictor.file.read_bytes())
