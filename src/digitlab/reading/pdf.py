"""PDF: the pages of a document, drawn one at a time, in a process that can be ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.threads import available_threads
from digitlab.errors import DataError
from digitlab.reading.apart import Apart, is_apart

__all__ = ["pdf_pages"]

_DOTS_PER_POINT = 300 / 72  # at most, as scans have; 72 points are an inch
_PDFIUM = threading.RLock()  # PDFium must not be called by two threads at once, whatever the documents


_MOST_PROCESSES = 8


def pdf_pages(
    content: bytes, source: str, most_pages: int, longest_px: int, first_page: int = 1
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Draw the pages of a PDF.

    Parameters
    ----------
    content : bytes
        The file.
    source : str
        Its name, for messages.
    most_pages : int
        How many pages are drawn at most.
    longest_px : int
        Longest side of a drawn page at most.
    first_page : int
        The first that is drawn, from 1.

    Yields
    ------
    page : int
        From 1.
    pixels : ndarray
        uint8 (h, w, 3), 0-255, red first.

    Raises
    ------
    DataError
        If the document is damaged, encrypted or empty, or a page takes too long or too much memory.
    """
    arguments = (content, source, most_pages, longest_px, first_page)
    return _drawn_pages(*arguments) if is_apart() else _processes().each(_drawn_pages, *arguments, source=source)


@cache
def _processes() -> Apart:
    """What draws for who reads in this process."""
    return Apart(min(available_threads(), _MOST_PROCESSES), reads=False)


def _drawn_pages(
    content: bytes, source: str, most_pages: int, longest_px: int, first_page: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    import pypdfium2

    try:
        with _PDFIUM:
            document = pypdfium2.PdfDocument(content)
            n_pages = len(document)
    except Exception as error:  # pypdfium2 raises its own error, and others for damaged files
        if "password" in str(error).lower():
            raise DataError(f"{source} is encrypted. Save it without a password first.") from None
        raise DataError(f"{source} is a damaged PDF: {str(error).rstrip('.')}. Save or copy it again.") from None
    try:
        if n_pages == 0:
            raise DataError(f"{source} has no pages. Save it again.")
        for k in range(first_page - 1, min(n_pages, first_page - 1 + most_pages)):
            with _PDFIUM:
                pixels = _drawn(document, k, source, longest_px)
            yield k + 1, pixels
    finally:
        with _PDFIUM:
            document.close()


def _drawn(document: Any, k: int, source: str, longest_px: int) -> NDArray[Any]:
    try:
        page = document[k]
        width, height = page.get_size()
        scale = min(_DOTS_PER_POINT, longest_px / max(width, height, 1e-3))
        if min(width, height) * scale < 1:
            raise DataError(f"Page {k + 1} of {source} is too narrow to be seen. Crop it first.")
        pixels = np.array(page.render(scale=scale, rev_byteorder=True).to_numpy())
        page.close()
    except DataError:
        raise
    except Exception as error:  # pypdfium2 raises its own error, and others for damaged files
        reason = str(error).rstrip(".")
        raise DataError(f"Page {k + 1} of {source} is damaged: {reason}. Save it again.") from None
    return pixels
