"""The dialog in which a run becomes a file for another program: choose the format, be told who agrees, save it."""

from __future__ import annotations

import asyncio
import logging

from nicegui import ui

from digitlab.engine.sequential import Sequential
from digitlab.errors import DigitlabError
from digitlab.exporting.export import ExportedFile, ExportReport, export_packed, formats_here
from digitlab.network.formats.tfjs import QUANTIZATIONS
from digitlab.studio.evaluated import open_run
from digitlab.studio.page import Page

__all__ = ["ExportDialog"]

_TITLES = {
    "tfjs": "TensorFlow.js: a layers model, as a ZIP file",
    "keras": "Keras: a .keras file",
    "onnx": "ONNX: an .onnx file",
    "web": "A page to draw on and hand out, as a ZIP file",
}
_AS_THEY_ARE = "float32"
_MISSING = 'Keras and ONNX files need two more packages: pip install "digitlab[export]"'
_log = logging.getLogger("digitlab.studio")


class ExportDialog:
    """Exports a run with ``digitlab.export``, which reads what it has written back and asks the runtimes that are here.

    Parameters
    ----------
    page : Page
        Whose runs.

    Attributes
    ----------
    name : str
        The run, or nothing before the first is opened.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self.name = ""
        formats = formats_here()
        with ui.dialog() as self._dialog, ui.element("div").classes("studio-dialog export-dialog"):
            self._dialog.props('aria-labelledby="export-dialog-title"')
            with ui.element("div").classes("dialog-head"):
                self._title = ui.label().classes("dialog-title")
                self._title.props('id="export-dialog-title" role="heading" aria-level="2"')
                ui.button(icon="close", on_click=self._dialog.close).props(
                    'flat round dense aria-label="Close"'
                ).classes("icon-button")
            self._format = ui.select(
                {name: _TITLES[name] for name in formats}, value=formats[0], label="For", on_change=self._tell_format
            )
            widths = {_AS_THEY_ARE: "as they are, 32 bits"} | {name: f"quantized to {name}" for name in QUANTIZATIONS}
            self._quantize = ui.select(widths, value=_AS_THEY_ARE, label="Weights")
            if len(formats) < len(_TITLES):
                ui.label(_MISSING).classes("muted")
            self._button = ui.button("Export", on_click=self.export)
            self._told = ui.element("div").classes("export-told").props('role="status"')

    def open(self, name: str) -> None:
        """Show the dialog for a run."""
        self.name = name
        self._title.set_text(f"Export {name}")
        self._told.clear()
        self._tell_format()
        self._dialog.open()

    async def export(self) -> None:
        """Export as is chosen, tell what came of it, and have the browser save the file."""
        name, format = self.name, str(self._format.value)
        quantize = None if format != "tfjs" or self._quantize.value == _AS_THEY_ARE else str(self._quantize.value)
        self._button.disable()
        self._say(["Exporting and verifying ..."])
        try:
            report, file = await asyncio.to_thread(self._exported, name, format, quantize)
        except DigitlabError as error:
            self._say([str(error)], is_error=True)
        except Exception as error:
            _log.exception("An export failed")
            self._say([f"The export failed: {error}. Choose another format, or another run."], is_error=True)
        else:
            self._say([f"{file.name}, {len(file.content):,} bytes.", *report.sentences()])
            ui.download.content(file.content, file.name, file.media_type)
        finally:
            self._button.enable()

    def _exported(self, name: str, format: str, quantize: str | None) -> tuple[ExportReport, ExportedFile]:
        checkpoint = open_run(self._page.trainer, name).load_model()
        model = Sequential.from_checkpoint(checkpoint)
        data, metadata = self._page.data, checkpoint.metadata
        return export_packed(model, name, format=format, quantize=quantize, data=data, metadata=metadata)

    def _tell_format(self) -> None:
        self._quantize.set_visibility(self._format.value == "tfjs")

    def _say(self, sentences: list[str], *, is_error: bool = False) -> None:
        if not self._page.is_open:
            return
        self._told.clear()
        with self._told:
            for sentence in sentences:
                ui.label(sentence).classes("error" if is_error else "")
