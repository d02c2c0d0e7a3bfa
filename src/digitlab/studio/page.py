"""Page: what one browser tab knows, how its parts hear of each other, and how the training reaches it."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from nicegui import Client, background_tasks, ui

from digitlab.data.mnist import MnistData
from digitlab.errors import DigitlabError, NetworkError
from digitlab.network.architecture import Architecture
from digitlab.studio.lesson import TABS, LessonLink
from digitlab.studio.setting_words import in_page_words
from digitlab.studio.trainer import Trainer
from digitlab.training.config import TrainConfig
from digitlab.training.material import fitted, network_for
from digitlab.values import EpochRecord, StepRecord

#: As many test images as the codelab evaluates.
CODELAB_IMAGES = 500

_SECONDS_BETWEEN_FRAMES = 1 / 12
# Drawing takes at most this part of the browser's time: it may share the processor with the training.
_DRAWING_PART = 0.1
# Frames a second that all pages together are sent, and pages beyond which none is sent as many as it could take.
_FRAMES_PER_S = 48.0
_FEW_PAGES = 4
# How long a browser may take to draw a frame before the next is sent all the same.
_PATIENCE_S = 5.0
_KINDS: dict[str, Any] = {"info": "info", "success": "positive", "warning": "warning", "error": "negative"}
_LOG = logging.getLogger(__name__)
T = TypeVar("T")
_pages: dict[Client, Page] = {}


class Stream:
    """Watches the trainer for one browser tab.

    What is new is handed over in frames, at most 12 a second, and fewer where many pages are open. The next one waits
    until the browser has drawn the last and rested nine times as long, so that a slow browser gets fewer frames, each
    with more points, and never falls behind. All that a frame calls in the browser travels as one message. Nothing is
    sent while there is no connection.
    """

    def __init__(
        self,
        trainer: Trainer,
        client: Client,
        tell: Callable[..., None],
        status: Callable[[], tuple[Any, ...]],
        is_open: Callable[[], bool],
    ) -> None:
        self._trainer, self._client, self._tell, self._status = trainer, client, tell, status
        self._is_open = is_open
        self._generation, self._cursor, self._n_told = trainer.generation, 0, 0
        #: Batches done, as far as the browser tab was told: what all its parts show.
        self.step = trainer.step_done
        self._calls: list[tuple[int | None, str, tuple[Any, ...]]] = []

    def told(self) -> list[StepRecord | EpochRecord]:
        """Return the records that were handed over, for a part of the page that is built later."""
        if self._generation != self._trainer.generation:
            return []
        return self._trainer.records_since(0)[0][: self._n_told]

    def send(self, element: ui.element | None, method: str, arguments: tuple[Any, ...]) -> None:
        """Call a method of an element's script in the browser, or of the page's own, with the next frame."""
        self._calls.append((None if element is None else element.id, method, arguments))

    async def follow(self) -> None:
        """Hand over whatever is new, until the browser tab is gone."""
        await self._client.connected()
        status: tuple[Any, ...] | None = None
        while self._is_open():
            if not self._client.has_socket_connection:
                await asyncio.sleep(_SECONDS_BETWEEN_FRAMES)
                continue
            trainer = self._trainer
            if trainer.generation != self._generation:
                self._generation, self._cursor, self._n_told = trainer.generation, 0, 0
                self.step = 0
                self._tell("generation")
            seen = self._status()
            records, self._cursor = trainer.records_since(self._cursor)
            self._n_told += len(records)
            if records:
                self.step = records[-1].step
                # Whoever hears that the training has ended has all its records.
                self._tell("records", records)
            if seen != status:
                status = seen
                self._tell("state")
            drawing_s = await self._flush()
            fair_s = n_pages() / _FRAMES_PER_S
            await asyncio.sleep(max(_SECONDS_BETWEEN_FRAMES, fair_s, drawing_s * (1 / _DRAWING_PART - 1)))

    async def _flush(self) -> float:
        """Send the frame, wait until the browser has drawn it, and return how many seconds that took it."""
        calls, self._calls = self._calls, []
        if not calls or self._client.is_deleted:
            return 0.0
        try:
            script = f"window.studio.frame({json.dumps(calls)})"
            took_ms = await self._client.run_javascript(script, timeout=_PATIENCE_S)
        except TimeoutError:
            return 0.0
        return min(_PATIENCE_S, max(0.0, took_ms / 1000)) if isinstance(took_ms, int | float) else 0.0


class Refreshing:
    """Runs a coroutine function when asked to; askings meanwhile become one. To be used on the event loop.

    From the beginning of one time to the beginning of the next ``gap_s`` go by, longer where many pages are open, and
    ``hurried_gap_s`` where somebody waits; unless somebody does, it takes no more than a tenth of the time, which it
    may share with the training. ``refresh`` handles its own failures. Askings while it is not wanted are passed over.
    """

    def __init__(
        self,
        refresh: Callable[[], Awaitable[None]],
        *,
        gap_s: float,
        hurried_gap_s: float = 0.1,
        name: str = "refresh",
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._refresh, self._name, self._is_wanted = refresh, name, is_wanted
        self._gap_s, self._hurried_gap_s = gap_s, hurried_gap_s
        self._is_asked = self._is_running = False
        self._hurry = asyncio.Event()
        self.n_done = 0

    def ask(self, *, at_once: bool = False) -> None:
        """Have it done: ``at_once`` when somebody waits for it, else when the gap is over."""
        if not self._is_wanted():
            return
        self._is_asked = True
        if at_once:
            self._hurry.set()
        if not self._is_running:
            self._is_running = True
            background_tasks.create(self._go_on(), name=self._name)

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._is_asked:
                self._is_asked = False
                self._hurry.clear()
                began = loop.time()
                await self._refresh()
                self.n_done += 1
                took = loop.time() - began
                await asyncio.sleep(max(0.0, self._hurried_gap_s - took))
                gap_s = self._gap_s * max(1.0, n_pages() / _FEW_PAGES)
                rest = max(gap_s, took / _DRAWING_PART) - (loop.time() - began)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), max(0.0, rest))
        finally:
            self._is_running = False


def n_pages() -> int:
    """Return how many pages NiceGUI still knows, whoever has opened them; those that are forgotten take nothing."""
    return sum(client.id in Client.instances for client in _pages)


def current_page() -> Page:
    """Return the page that is being built, or whose control was just used."""
    return _pages[ui.context.client]


class Page:
    """One browser tab. Everything here happens on the event loop.

    ``config`` and ``architecture`` are what the next start trains with, the latter None for the network that
    ``config.network`` names, and ``problem`` says what is wrong with the one that is being edited, "" where nothing is;
    ``notes`` say what a link asked for more of than there is. ``cursor`` is the step that is
    looked at, None for the newest; ``tab`` the tab that is shown, as it is called on the page. ``run_name`` is what the
    Evaluation tab is about, "" for the training of this page, and ``n_images`` on how many test images everything is
    evaluated, None for all.
    """

    def __init__(
        self,
        trainer: Trainer,
        data: MnistData,
        client: Client,
        lesson: LessonLink,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.trainer, self.data, self.client = trainer, data, client
        (self.config, self.notes), self.architecture = fitted(lesson.config, data), lesson.layers
        self.problem = ""
        self.cursor, self.tasks = lesson.step, ""
        self.run_name = ""
        self.n_images: int | None = None
        self.tab = TABS[lesson.tab]
        self.is_ready = is_ready
        self._stream = Stream(trainer, client, self.tell, self._status, lambda: self.is_open)
        self._listeners: dict[str, list[Callable[..., Any]]] = {}
        self._own: dict[Callable[[Page], Any], Any] = {}
        self._register()

    def _register(self) -> None:
        client = self.client
        _pages[client] = self
        client.on_delete(lambda: _pages.pop(client, None))

    def own(self, make: Callable[[Page], T]) -> T:
        """Return what ``make`` makes for this page, the same at every call; it is gone with the page."""
        if make not in self._own:
            self._own[make] = make(self)
        return self._own[make]  # type: ignore[no-any-return]

    @property
    def client_id(self) -> str:
        """Who this is, for the trainer: the same after a reload, another one for every tab of the browser."""
        return self.client.tab_id or self.client.id

    @property
    def network(self) -> Architecture:
        """The network that the next start trains."""
        return network_for(self.config, self.data) if self.architecture is None else self.architecture

    @property
    def lesson(self) -> LessonLink:
        """What the page shows, for its address."""
        slug = next(slug for slug, name in TABS.items() if name == self.tab)
        named = self.config.build_architecture() if self.architecture is None else self.architecture
        return LessonLink.of(self.config, named, slug, self.cursor, self.tasks)

    @property
    def step(self) -> int:
        """Batches done, as far as this page was told: one number for all that it shows."""
        return self._stream.step

    @property
    def may_steer(self) -> bool:
        """Whether this page may steer the training: nobody owns it, or this page does, or its owner has left."""
        owner = self.trainer.owner
        return owner in ("", self.client_id) or all(page.client_id != owner for page in _pages.values() if page.is_open)

    @property
    def offers_runs(self) -> bool:
        """Whether whoever sees it may choose among the runs of the folder."""
        return True

    @property
    def is_open(self) -> bool:
        """Whether a browser shows this page, as far as one can know."""
        return not self.client.is_deleted

    def _status(self) -> tuple[object, ...]:
        trainer = self.trainer
        return trainer.state, trainer.message, trainer.evaluation is not None, self.may_steer, self.is_ready()

    # What happens, for the tabs. Whoever listens late, because a tab is built when it is first shown, hears at once of
    # the records so far and of the state.

    def on_records(self, f: Callable[[list[StepRecord | EpochRecord]], Any]) -> None:
        """Call ``f`` with all records since the last call, at most some 12 times a second."""
        self._listeners.setdefault("records", []).append(f)
        if told := self._stream.told():
            self._call(f, told)

    def on(self, f: Callable[[], Any], *events: str) -> None:
        """Call ``f`` when one of these happens.

        ``generation``: another training begins, or the training is reset, so that what was drawn is another one's.
        ``state``: the trainer's state, its message or who may steer has changed; and at once. ``cursor``: another step
        is looked at. ``settings``: those of the next start have changed. ``problem``: the edited network can no longer
        be trained, or can again. ``tab``: another tab is shown. ``tasks``: a lesson opens the tasks, at the one that
        it names. ``subject``: something else is evaluated.
        """
        for event in events:
            self._listeners.setdefault(event, []).append(f)
        if "state" in events:
            self._call(f)

    def refreshing(self, tab: str, refresh: Callable[[], Awaitable[None]], **gaps: float) -> Refreshing:
        """Return what refreshes a part of a tab: when the tab is shown, and when asked while it is."""
        made = Refreshing(refresh, name=f"digitlab studio {tab}", is_wanted=lambda: self.tab == tab, **gaps)
        self.on(lambda: made.ask(at_once=True), "tab")
        return made

    @contextmanager
    def telling_errors(self, tell: Callable[[str], Any] | None = None, unforeseen: str = "") -> Iterator[None]:
        """Tell whoever looks at the page what digitlab says went wrong inside, and go on behind it.

        With ``unforeseen``, a sentence with ``{}`` for the error, others than digitlab's are logged and told, too.
        """
        try:
            yield
        except DigitlabError as error:
            (tell or partial(self.notify, kind="error"))(in_page_words(str(error)))
        except Exception as error:
            if not unforeseen:
                raise
            _LOG.exception("Something on the page failed.")
            (tell or partial(self.notify, kind="error"))(unforeseen.format(error))

    # What the tabs do.

    def set_cursor(self, step: int | None) -> None:
        """Look at another step; None follows the newest."""
        self._set("cursor", cursor=step)

    def set_settings(self, config: TrainConfig | None = None, architecture: Architecture | None = None) -> None:
        """Change what the next start trains with; without ``architecture``, the network that ``config`` names."""
        self._set("settings", config=self.config if config is None else config, architecture=architecture)

    def take_lesson(self, lesson: LessonLink) -> None:
        """Show what a lesson is about; the training goes on."""
        config, notes = fitted(lesson.config, self.data)
        self.set_settings(config, lesson.layers)
        self.set_problem("")
        self.set_tab(TABS[lesson.tab])
        self.set_cursor(lesson.step)
        for note in notes:
            self.notify(note)
        if lesson.tasks:
            self.tell("tasks", lesson.tasks)

    def set_tasks(self, name: str) -> None:
        """Note which task is looked at, for the lesson; "" where none is."""
        self._set("tasks seen", tasks=name)

    def set_problem(self, sentence: str) -> None:
        """Say what is wrong with the network that is being edited; nothing starts until that is "" again."""
        self._set("problem", problem=sentence)

    def set_tab(self, name: str) -> None:
        """Show another tab."""
        self._set("tab", tab=name)

    def evaluate_run(self, name: str) -> None:
        """Let the Evaluation tab be about a run of the folder; about the training of this page for an empty name."""
        self._set("subject", run_name=name)

    def evaluate_on(self, n_images: int | None) -> None:
        """Evaluate everything on so many test images; None for all."""
        self._set("subject", n_images=n_images)

    def _set(self, event: str, **values: Any) -> None:
        """Be about something else, in the page's address too, and tell it where that is a change."""
        if any(getattr(self, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(self, name, value)
            if event not in ("subject", "problem"):  # which no lesson is about
                self._write_address()
            self.tell(event)

    def notify(self, sentence: str, kind: str = "info") -> None:
        """Show a sentence over the page; an ``error`` or a ``warning`` stays until it is closed."""
        stays = kind in ("error", "warning")
        with self.client:
            ui.notify(in_page_words(sentence), type=_KINDS[kind], close_button="Close", timeout=0 if stays else 5000)

    def send(self, element: ui.element, method: str, *arguments: Any) -> None:
        """Call a method of an element's script in the browser, with the next frame."""
        self._stream.send(element, method, arguments)

    def follow(self) -> None:
        """Begin to hear of the training, until the browser tab is gone."""
        background_tasks.create(self._stream.follow(), name="digitlab studio stream", context=self.client)

    def _write_address(self) -> None:
        try:
            query = self.lesson.to_query()
        except NetworkError:
            query = ""  # a network that is too large for an address is left out of it
        self._stream.send(None, "setAddress", (query,))

    def tell(self, event: str, *arguments: Any) -> None:
        """Let those hear of an event who listen; those of the tabs' own have other names."""
        if event == "generation":
            self.set_cursor(None)
        for listener in self._listeners.get(event, ()):
            self._call(listener, *arguments)

    def _call(self, listener: Callable[..., Any], *arguments: Any) -> None:
        # One part's failure is told, and the others go on.
        async def awaited(result: Awaitable[Any]) -> None:
            try:
                await result
            except Exception as error:
                self._failed(error)

        if not self.is_open:
            return
        try:
            with self.client:
                result = listener(*arguments)
                if inspect.isawaitable(result):
                    background_tasks.create(awaited(result), name="digitlab studio event", context=self.client)
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if not self.is_open:
            return
        if isinstance(error, DigitlabError):
            self.notify(str(error), "error")
            return
        _LOG.error("A part of the page failed.", exc_info=error)
        self.notify(f"A part of the page failed ({error!r:.200}). Reload the page; the training goes on.", "error")
