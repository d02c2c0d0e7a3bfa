"""Desk: what one page reads, a drawing and some photos, with which network; and where the browser sends them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import unquote
from weakref import WeakValueDictionary

import numpy as np
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from nicegui import app, background_tasks
from numpy.typing import NDArray

from digitlab.engine.cpu.threads import available_threads
from digitlab.errors import DataError, DigitlabError
from digitlab.reading.apart import Apart
from digitlab.reading.change import Change
from digitlab.reading.photo import open_photo
from digitlab.reading.reading import Box, ReadingOptions
from digitlab.reading.render import edited
from digitlab.serving.bodies import Bodies
from digitlab.serving.guard import RefusedError
from digitlab.studio.page import Page, n_pages
from digitlab.studio.tabs.readers import SHIPPED, Readers, readers_of
from digitlab.studio.tabs.sheet import (
    Sheet,
    answer_of,
    forget_ways,
    known_photo,
    read_file,
    read_sheet,
    upright_picture,
)
from digitlab.training.fine_tuning import KnownPhoto

T = TypeVar("T")

#: Under which everything is found.
READ_PATH = "/read/{key}"

#: Of a photo or document, and of a drawing.
MOST_BYTES, MOST_DRAWING_BYTES = 64_000_000, 1_000_000

# Width and height of a drawing.
_LEAST_PX, _MOST_PX = 16, 1000

# Those that arrive are held within a number of bytes and a time, as everywhere.
_FILES, _DRAWINGS = Bodies(MOST_BYTES, 60.0), Bodies(MOST_DRAWING_BYTES, 60.0)

_NO_STORE = {"Cache-Control": "no-store"}
_GONE = "This page has been away too long; reload it."
_LOG = logging.getLogger(__name__)

#: Of so many photos is told whether a network that learned still reads them.
MOST_KNOWN = 8

#: Photos and pages that a browser tab keeps at a time, each at most 12 MB in memory; the oldest go.
MOST_SHEETS = 20
# Of all browser tabs together, but two in each at least.
_MOST_OF_ALL = 80

#: What opens and reads photos; drawings are small, come from whoever sits there, and are read here.
PROCESSES = Apart(min(available_threads(), 8))

_LONGEST_NAME = 80
# Photos are heavy, so two at a time are read in the whole process; drawings do not wait behind them.
_PHOTO_POOL = ThreadPoolExecutor(2, thread_name_prefix="digitlab-photos")
_DRAWING_POOL = ThreadPoolExecutor(1, thread_name_prefix="digitlab-drawings")
_DESKS: WeakValueDictionary[str, Desk] = WeakValueDictionary()


class Desk:
    """What a page reads. To be used on the event loop.

    ``key`` is where the browser sends drawings and photos, and nobody can guess it. ``choice`` says which network reads
    (see ``Readers``). ``sheets`` are the photos and pages, the oldest first, of which the ``at``-th is shown, and
    ``drawn`` is the drawing; the strip of steps ``is_about_drawing`` or about the photo that is shown. What cannot be
    read, or a network that cannot be used, is a `DigitlabError`.

    The page hears of it. ``drawing`` and ``photos``: something else is drawn, shown, or read in it. ``corrected``: the
    same stands there otherwise, or a photo that is not shown was read again. ``reader``: another network reads, or with
    other steps.
    """

    def __init__(self, page: Page) -> None:
        self.page, self.key = page, secrets.token_urlsafe(16)
        self.readers: Readers = readers_of(page.trainer)
        self.choice, self.options = SHIPPED, ReadingOptions()
        self.sheets: list[Sheet] = []
        self.at = 0
        self.drawn: Sheet | None = None
        self.is_about_drawing = True
        self._lock = asyncio.Lock()
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

    def known_photos(self) -> list[KnownPhoto]:
        """Return the drawing and the newest photos with what stands on them, as they were read and then corrected."""
        sheets = [*([] if self.drawn is None else [self.drawn]), *self.sheets[-MOST_KNOWN:]]
        return [known_photo(sheet) for sheet in sheets]

    # ---- what is given to it ----

    async def take_drawing(self, drawing: NDArray[np.uint8]) -> Sheet:
        """Read a drawing, uint8 (h, w), 0-255."""
        choice, options = self.choice, self.drawing_options
        drawn = await _in(_DRAWING_POOL, lambda: read_sheet(open_photo(drawing), self.readers.reader(choice), options))
        self.drawn = self._as_sure_as_asked(drawn)
        self.is_about_drawing = True
        self.page.tell("drawing")
        return self.drawn

    async def take_file(self, name: str, content: bytes) -> str:
        """Read a photo or the pages of a document, and show the first; return a sentence if one is to be said."""
        choice, options = self.choice, self.options
        source, most = _shown_name(name), max(2, min(MOST_SHEETS, _MOST_OF_ALL // max(1, n_pages())))

        def read() -> list[Sheet]:
            # One more than is shown, to see whether there are more.
            return read_file(content, source, self.readers.reader(choice), options, most + 1, PROCESSES)

        found = await _in(_PHOTO_POOL, read)
        has_more, found = len(found) > most, [*map(self._as_sure_as_asked, found[:most])]
        sheets = [*self.sheets, *found]
        self.sheets = sheets[-most:]
        self.at = len(self.sheets) - len(found)
        self.is_about_drawing = False
        self.page.tell("photos")
        if has_more:
            return f"The first {most} pages of {source} are read here; digitlab read at the terminal reads all."
        return f"The newest {most} photos are kept here; older ones went." if len(sheets) > most else ""

    # ---- what somebody chooses ----

    async def choose(self, choice: str | None = None, **options: Any) -> None:
        """Read everything again with another network or other options; where that fails, all is as it was."""
        before = self.choice, self.options
        self.choice = self.choice if choice is None else choice
        self.options = replace(self.options, **options)
        try:
            await self.read_again()
        except DigitlabError:
            self.choice, self.options = before
            self.page.tell("reader")
            raise
        self.page.tell("reader")

    def refuse_below(self, least: float) -> None:
        """Refuse digits with less confidence in what is shown; nothing is read again for that.

        The photos that are not shown follow with ``read_again``.
        """
        self.options = replace(self.options, min_confidence=least)
        if self.drawn is not None:
            self.drawn = self._as_sure_as_asked(self.drawn)
        if self.sheets:
            self.sheets[self.at] = self._as_sure_as_asked(self.sheets[self.at])
        self.page.tell("corrected")

    async def read_again(self) -> None:
        """Read the drawing and the photo that is shown again, and after that the other photos."""
        # One after the other, so that what was asked for last is what is seen in the end.
        async with self._lock:
            choice, drawn, shown = self.choice, self.drawn, self.shown
            if drawn is None and shown is None:
                await _in(_PHOTO_POOL, lambda: self.readers.reader(choice))
            if drawn is not None:
                await self._renew(drawn, self.drawing_options, "drawing")
            if shown is not None:
                await self._renew(shown)
        if len(self.sheets) > 1:
            background_tasks.create(self._read_others(), name="digitlab studio other photos")

    async def catch_up(self) -> list[Sheet]:
        """Read all photos as everything is read now, and return them."""
        for sheet in list(self.sheets):
            async with self._lock:
                await self._renew(sheet)
        return self.sheets

    async def show(self, at: int) -> None:
        """Show another photo."""
        if not 0 <= at < len(self.sheets):
            return
        self.at, sheet = at, self.sheets[at]
        self.page.tell("photos")
        async with self._lock:
            await self._renew(sheet)

    # ---- what somebody does to what is read ----

    def sheet(self, serial: int) -> Sheet | None:
        """Return the drawing's or a photo's sheet; None where it is gone, or was read again."""
        return next((one for one in (self.drawn, *self.sheets) if one is not None and one.serial == serial), None)

    def correct(self, sheet: Sheet, change: Change) -> list[tuple[NDArray[np.uint8], int]]:
        """Let something stand otherwise in a sheet; return what can be learned from it.

        That is images, uint8 (28, 28), as the network saw them, with their labels, 0-10.
        """
        if not sheet.has(change):
            return []
        changed, images = sheet.with_change(change)
        self._put(sheet, changed, "corrected")
        return images

    def take_back(self, sheet: Sheet, box: Box) -> list[Change]:
        """Let a place of a sheet be as it was read; return what somebody had said of it."""
        before = sheet.without_changes(box)
        self._put(sheet, before, "corrected")
        return [change for change in sheet.changes if change not in before.changes]

    async def edit(self, serial: int, kind: str, box: Box | None = None) -> None:
        """Turn, crop or cover a photo, or with ``"reset"`` take all of that back; and read it again."""
        async with self._lock:
            sheet = self.sheet(serial)
            if sheet is None:
                return
            reader, options = self.readers.reader, self.options

            def make() -> Sheet:
                original = sheet.original
                photo = original if kind == "reset" else edited(sheet.photo, sheet.found, kind, box)
                # Where the rest stays in its place, what was said of it still holds.
                before = sheet if kind == "hide" else None
                return read_sheet(
                    photo, reader(self.choice), options, original=original, before=before, apart=PROCESSES
                )

            self._put(sheet, await _in(_PHOTO_POOL, make), "photos")

    def focus(self, *, on_drawing: bool) -> None:
        """Let the strip be about the drawing, or about the photo."""
        if on_drawing != self.is_about_drawing:
            self.is_about_drawing = on_drawing
            self.page.tell("drawing" if on_drawing else "photos")

    def clear(self) -> None:
        """Forget all photos."""
        self.sheets, self.at = [], 0
        forget_ways()
        self.is_about_drawing = True
        self.page.tell("photos")

    def _warm_up(self) -> None:
        # Loads the network and its kernels, and compiles them on a machine where nobody has read yet, so that the first
        # drawing does not wait for it. What fails is told to whoever draws.
        with suppress(DigitlabError):
            read_sheet(open_photo(255 - self.page.data.test.images[0]), self.readers.reader(SHIPPED), self.options)

    def _forget(self) -> None:
        # Whatever still knows the page, nobody sees it any more.
        self.sheets, self.drawn = [], None
        forget_ways()

    async def picture(self, at: int) -> bytes | None:
        """Return a photo as it stands upright, as JPEG; None if there is no such."""
        if not 0 <= at < len(self.sheets):
            return None
        sheet = self.sheets[at]
        return await _in(_PHOTO_POOL, lambda: upright_picture(sheet))

    def _put(self, sheet: Sheet, other: Sheet, event: str) -> None:
        """Put another sheet in a sheet's place, if it is still there."""
        other = self._as_sure_as_asked(other)
        if self.drawn is sheet:
            self.drawn = other
            self.page.tell(event)
        elif sheet in self.sheets:
            self.sheets[self.sheets.index(sheet)] = other
            self.page.tell(event if other is self.shown else "corrected")

    def _as_sure_as_asked(self, sheet: Sheet) -> Sheet:
        """Return a sheet with the least confidence of now, which somebody may have moved while it was read."""
        return sheet.with_options(replace(sheet.options, min_confidence=self.options.min_confidence))

    async def _renew(self, sheet: Sheet, options: ReadingOptions | None = None, event: str = "photos") -> None:
        again = await self._again(sheet, options or self.options)
        now = self.sheet(sheet.serial)  # None where somebody has drawn on
        if again is not sheet and now is not None:
            # What somebody has said in the meantime holds.
            self._put(now, replace(again, changes=now.changes), event)

    async def _read_others(self) -> None:
        with suppress(DigitlabError):  # which was told of the photo that is shown
            await self.catch_up()

    async def _again(self, sheet: Sheet, options: ReadingOptions) -> Sheet:
        """Return a sheet as it is read now; the same where nothing has changed."""
        choice = self.choice

        def read() -> Sheet:
            reader = self.readers.reader(choice)
            if sheet.reader is reader and replace(sheet.options, min_confidence=options.min_confidence) == options:
                return sheet.with_options(options)
            apart = None if sheet is self.drawn else PROCESSES
            return read_sheet(sheet.photo, reader, options, original=sheet.original, before=sheet, apart=apart)

        return await _in(_PHOTO_POOL, read)


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


def add_read_routes() -> None:
    """Serve them; a second call replaces the first."""
    app.routes[:] = [r for r in app.routes if not str(getattr(r, "path", "")).startswith(READ_PATH)]

    @app.post(READ_PATH + "/drawing")
    async def drawing(key: str, width: int, request: Request) -> Response:
        async def take(desk: Desk, content: bytes) -> Response:
            return JSONResponse(answer_of(await desk.take_drawing(_as_drawing(content, width))), headers=_NO_STORE)

        return await _taken(key, request, _DRAWINGS, take)

    @app.post(READ_PATH + "/file")
    async def file(key: str, request: Request) -> Response:
        name = unquote(request.headers.get("x-file-name", ""))[:1000]

        async def take(desk: Desk, content: bytes) -> Response:
            return _sentence(await desk.take_file(name, content), 200)

        return await _taken(key, request, _FILES, take)

    @app.get(READ_PATH + "/photo/{at}")
    async def photo(key: str, at: int) -> Response:
        desk = find_desk(key)
        picture = None if desk is None else await desk.picture(at)
        if picture is None:
            return _sentence(_GONE, 404)
        return Response(picture, media_type="image/jpeg", headers=_NO_STORE)


def _as_drawing(content: bytes, width: int) -> NDArray[np.uint8]:
    """Return what a browser sent as a picture: uint8 (h, width), 0-255, ink dark on bright."""
    height = len(content) // max(width, 1)
    if not (_LEAST_PX <= width <= _MOST_PX and _LEAST_PX <= height <= _MOST_PX) or len(content) != width * height:
        raise DataError("This drawing did not arrive whole. Draw on, or reload the page.")
    return np.frombuffer(content, np.uint8).reshape(height, width)


def _sentence(sentence: str, status: int) -> Response:
    return JSONResponse({"sentence": sentence}, status, headers=_NO_STORE)


async def _taken(
    key: str, request: Request, bodies: Bodies, take: Callable[[Desk, bytes], Awaitable[Response]]
) -> Response:
    """Let a desk take what was sent, no more than is allowed whatever its header says, or say why it cannot."""
    desk = find_desk(key)
    if desk is None:
        return _sentence(_GONE, 404)
    try:
        async with bodies.of(request.scope, request.receive) as content:
            pass
        return await take(desk, content)
    except RefusedError as refusal:
        return _sentence(f"{refusal.message} {refusal.next_step or ''}".strip(), refusal.status)
    except DigitlabError as error:
        return _sentence(str(error), 422)
    except Exception as error:
        _LOG.exception("A photo could not be read.")
        return _sentence(f"This file cannot be read ({type(error).__name__}). Save it as PNG and try again.", 422)
