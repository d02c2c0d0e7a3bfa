"""Desk: what one page reads, a drawing and some photos, with which network and which steps switched off."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import DataError, DigitlabError
from digitlab.reading.options import ReadingOptions
from digitlab.reading.photo import Photo, open_pages, open_photo
from digitlab.studio.page import Page
from digitlab.studio.reading.readers import SHIPPED, Readers, readers_of
from digitlab.studio.reading.sheet import Sheet, read_sheet, upright_picture

__all__ = ["MOST_SHEETS", "Desk", "find_desk"]

T = TypeVar("T")

#: Photos and pages that a browser tab keeps at a time, each at most 12 MB in memory; the oldest go.
MOST_SHEETS = 10

_LONGEST_NAME = 80
# Photos are heavy, so two at a time are read in the whole process; drawings do not wait behind them.
_PHOTO_POOL = ThreadPoolExecutor(2, thread_name_prefix="digitlab-photos")
_DRAWING_POOL = ThreadPoolExecutor(1, thread_name_prefix="digitlab-drawings")
_DESKS: WeakValueDictionary[str, Desk] = WeakValueDictionary()


class Desk:
    """What a page reads. To be used on the event loop.

    Parameters
    ----------
    page : Page
        The browser tab.

    Attributes
    ----------
    key : str
        Where the browser sends drawings and photos; nobody can guess it.
    choice : str
        Which network reads; see ``Readers``.
    options : ReadingOptions
        How.
    sheets : list of Sheet
        The photos and pages, the oldest first.
    at : int
        Which of them is shown.
    drawn : Sheet or None
        The drawing; None before anything was drawn.
    is_about_drawing : bool
        Whether the strip is about the drawing, or about the photo that is shown.
    """

    def __init__(self, page: Page) -> None:
        self.page, self.key = page, secrets.token_urlsafe(16)
        self.readers: Readers = readers_of(page.trainer)
        self.choice, self.options = SHIPPED, ReadingOptions()
        self.sheets: list[Sheet] = []
        self.at = 0
        self.drawn: Sheet | None = None
        self.is_about_drawing = True
        self.n_waiting = 0
        self._lock = asyncio.Lock()
        self._listeners: dict[str, list[Callable[[], Any]]] = {}
        _DESKS[self.key] = self
        page.client.on_delete(self._forget)
        _DRAWING_POOL.submit(self._warm_up)

    @property
    def shown(self) -> Sheet | None:
        """The photo that is shown."""
        return self.sheets[self.at] if self.sheets else None

    @property
    def subject(self) -> Sheet | None:
        """What the strip is about."""
        return self.drawn if self.is_about_drawing else self.shown

    @property
    def drawing_options(self) -> ReadingOptions:
        """How drawings are read: whoever draws sees what is up, and a single 6 tells nothing."""
        return replace(self.options, turn=False, straighten=False)

    def on(self, event: str, f: Callable[[], Any]) -> None:
        """Call ``f`` on an event: ``drawing``, ``photos``, ``reader`` (another network or other steps), ``waiting``."""
        self._listeners.setdefault(event, []).append(f)

    def tell(self, event: str) -> None:
        """Tell those who listen."""
        if self.page.is_open:
            for listener in self._listeners.get(event, ()):
                with self.page.client:
                    listener()

    # ---- what is given to it ----

    async def take_drawing(self, drawing: NDArray[np.uint8]) -> Sheet:
        """Read a drawing, uint8 (h, w), 0-255.

        Raises
        ------
        DigitlabError
            If the chosen network cannot be used.
        """
        choice, options = self.choice, self.drawing_options
        self.drawn = await _in(_DRAWING_POOL, lambda: self._read(open_photo(drawing), choice, options))
        self.is_about_drawing = True
        self.tell("drawing")
        return self.drawn

    async def take_file(self, name: str, content: bytes) -> str:
        """Read a photo or the pages of a document, and show the first.

        Returns
        -------
        str
            A sentence for people where something is to be said; else empty.

        Raises
        ------
        DigitlabError
            If it cannot be opened, or the chosen network cannot be used.
        """
        choice, options = self.choice, self.options
        source = _shown_name(name)

        def read() -> list[Sheet]:
            # One more than is shown, to see whether there are more.
            pages = list(islice(open_pages(content, MOST_SHEETS + 1), MOST_SHEETS + 1))
            return [self._read(replace(page, source=source), choice, options) for page in pages]

        self.n_waiting += 1
        self.tell("waiting")
        try:
            found = await _in(_PHOTO_POOL, read)
        except DataError as error:
            raise DataError(_named(str(error), source)) from None
        finally:
            self.n_waiting -= 1
            self.tell("waiting")
        has_more = len(found) > MOST_SHEETS
        found = found[:MOST_SHEETS]
        self.sheets = [*self.sheets, *found][-MOST_SHEETS:]
        self.at = len(self.sheets) - len(found)
        self.is_about_drawing = False
        self.tell("photos")
        if not has_more:
            return ""
        return f"The first {MOST_SHEETS} pages of {source} are read here; digitlab read at the terminal reads all."

    # ---- what somebody chooses ----

    async def choose(self, choice: str | None = None, **options: Any) -> None:
        """Read everything again with another network or other options.

        Raises
        ------
        DigitlabError
            If the network cannot be used; everything is as it was.
        """
        before = self.choice, self.options
        self.choice = self.choice if choice is None else choice
        self.options = replace(self.options, **options)
        try:
            await self.read_again()
        except DigitlabError:
            self.choice, self.options = before
            self.tell("reader")
            raise
        self.tell("reader")

    async def read_again(self) -> None:
        """Read the drawing and the photo that is shown again; the others when they are shown."""
        # One after the other, so that what was asked for last is what is seen in the end.
        async with self._lock:
            choice, drawn, shown = self.choice, self.drawn, self.shown
            if drawn is None and shown is None:
                await _in(_PHOTO_POOL, lambda: self.readers.reader(choice))
            if drawn is not None:
                options = self.drawing_options
                again = await _in(_PHOTO_POOL, lambda: self._read(drawn.photo, choice, options))
                if self.drawn is drawn:  # unless somebody has drawn on
                    self.drawn = again
                    self.tell("drawing")
            if shown is not None:
                await self.show(self.at)

    async def show(self, at: int) -> None:
        """Show another photo, read as everything is now."""
        if not 0 <= at < len(self.sheets):
            return
        self.at, sheet = at, self.sheets[at]
        choice, options = self.choice, self.options
        again = await _in(_PHOTO_POOL, lambda: self._read(sheet.photo, choice, options))
        if self.shown is sheet:
            self.sheets[self.at] = again
            self.tell("photos")

    def focus(self, *, on_drawing: bool) -> None:
        """Let the strip be about the drawing, or about the photo."""
        if on_drawing != self.is_about_drawing:
            self.is_about_drawing = on_drawing
            self.tell("drawing" if on_drawing else "photos")

    def clear(self) -> None:
        """Forget all photos."""
        self.sheets, self.at = [], 0
        self.is_about_drawing = True
        self.tell("photos")

    def _warm_up(self) -> None:
        # Loads the network and its kernels, and compiles them on a machine where nobody has read yet, so that the first
        # drawing does not wait for it. What fails is told to whoever draws.
        with suppress(DigitlabError):
            self._read(open_photo(255 - self.page.data.test.images[0]), SHIPPED, self.options)

    def _forget(self) -> None:
        # Whatever still knows the page, nobody sees it any more.
        self.sheets, self.drawn = [], None
        self._listeners.clear()

    async def picture(self, at: int) -> bytes | None:
        """Return a photo as it stands upright, as JPEG; None if there is no such."""
        if not 0 <= at < len(self.sheets):
            return None
        sheet = self.sheets[at]
        return await _in(_PHOTO_POOL, lambda: upright_picture(sheet))

    def _read(self, photo: Photo, choice: str, options: ReadingOptions) -> Sheet:
        return read_sheet(photo, self.readers.reader(choice), options)


def find_desk(key: str) -> Desk | None:
    """Return the desk with a key, if its page is open."""
    desk = _DESKS.get(key)
    return desk if desk is not None and desk.page.is_open else None


async def _in(pool: ThreadPoolExecutor, f: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, f)


def _shown_name(name: str) -> str:
    """Return a file's name as it can be shown: what a browser sent may be anything."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c for c in last if c.isprintable()).strip()
    return (kept if len(kept) <= _LONGEST_NAME else f"{kept[: _LONGEST_NAME - 1]}…") or "photo"


def _named(sentence: str, source: str) -> str:
    # Bytes have no name of their own.
    return source + sentence.removeprefix("image") if sentence.startswith("image ") else sentence
