"""Rooms: what each pupil of a class has of one Studio, a training, runs and a name, within bounds that all share."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitlab.data.mnist import MnistData
from digitlab.data.storage import parse_json, read_ordinary, replacing
from digitlab.engine.cpu.program import build_program
from digitlab.engine.cpu.threads import available_threads
from digitlab.engine.cpu.tiles import LANES
from digitlab.errors import DigitlabError, InputError, NetworkError, RunError
from digitlab.network.architecture import Architecture
from digitlab.runs.label import plain_title
from digitlab.runs.run import CONFIG, Run
from digitlab.studio.access import forget
from digitlab.studio.admission import Admission
from digitlab.studio.lesson import LessonLink
from digitlab.studio.trainer import Trainer
from digitlab.studio.turns import Turns
from digitlab.training.config import TrainConfig
from digitlab.training.material import network_for

if TYPE_CHECKING:
    from nicegui import Client

    from digitlab.studio.page import Page

#: Among the teacher's runs: a folder a room; and in each the folder of its runs.
FOLDER, RUNS = "class", "runs"
#: Rooms in memory at a time, and rooms that one key opens, whoever made them.
MOST_ROOMS, MOST_OF_ONE_KEY = 40, 400
#: Pages of one room: a pupil has a tab or two.
MOST_PAGES = 4
#: Of a room: its recording, which is thinned from there on, and what a training takes besides.
RECORDING_BYTES, TRAINING_BYTES = 12 * 2**20, 96 * 2**20
#: Letters of a name.
LONGEST_NAME = 30

# A room that nobody is in is let go after so long, and at once where another one needs its place.
_IDLE_S = 900.0
_NAME_FILE, _MOST_NAME_BYTES = "room.json", 1_000
# Of a training: an image's bytes, its label and place; a weight, two from before, its gradient, moments and copies.
_IMAGE_BYTES, _WEIGHT_BYTES = 28 * 28 + 16, 4 * 8


class RoomTrainer(Trainer):
    """The trainer of a pupil's room, which takes no training that needs more memory than a room has."""

    def start(
        self,
        config: TrainConfig,
        architecture: Architecture | None = None,
        *,
        owner: str = "",
        paused: bool = False,
    ) -> None:
        """Start a training as `Trainer.start` does; ConfigError or NetworkError if it is too large for a class."""
        _check_size(config, network_for(config, self.data) if architecture is None else architecture)
        super().start(config, architecture, owner=owner, paused=paused)

    def repeat(self, run: Run, settings: Mapping[str, Any], *, owner: str = "", paused: bool = False) -> None:
        """Repeat a run as `Trainer.repeat` does, within the same bound."""
        with suppress(KeyError, TypeError):  # a damaged run is told of there
            config = TrainConfig.from_dict({**run.settings(), **settings})
            _check_size(config, Architecture.from_dict(run.read_json(CONFIG)["network"]))
        super().repeat(run, settings, owner=owner, paused=paused)


def _check_size(config: TrainConfig, network: Architecture) -> None:
    if not network.answers_maps and training_bytes(config, network) > TRAINING_BYTES:
        raise NetworkError(
            f"This training needs more memory than a room of a class has ({TRAINING_BYTES // 2**20} MB). Take fewer "
            "training images, a smaller batch size or fewer filters."
        )


def training_bytes(config: TrainConfig, network: Architecture) -> int:
    """Return about how much memory a training takes.

    >>> training_bytes(TrainConfig(), TrainConfig().build_architecture()) // 2**20
    6
    """
    program, n_blocks = build_program(network), -(-min(config.batch_size, config.train_images) // LANES)
    # Changed images are made anew for every epoch, beside those that they are made of.
    n_images = config.train_images * (1 if config.augmentation == "none" else 2) + config.validation_images
    n_numbers = available_threads() * program.memory + n_blocks * int(program.layout["tape"])
    return n_images * _IMAGE_BYTES + network.n_parameters * _WEIGHT_BYTES + 4 * n_numbers


@dataclass(eq=False)
class Room:
    """A room: ``id`` names it for the server and its folder.

    ``by_client`` are its pages that are there; ``seen_at`` is when the last one went, by ``time.monotonic``.
    """

    id: str
    number: int
    trainer: Trainer
    given_name: str = ""
    by_client: dict[Client, Page] = field(default_factory=dict)
    seen_at: float = field(default_factory=time.monotonic)
    _n_awaited: int = 0

    @contextmanager
    def awaiting(self) -> Iterator[None]:
        """Keep its place while a page of it waits to be built."""
        self._n_awaited += 1
        try:
            yield
        finally:
            self._n_awaited -= 1

    @property
    def is_teachers(self) -> bool:
        """Whether it is the room of whoever has the token."""
        return self.number == 0

    @property
    def name(self) -> str:
        """What people call it."""
        return "The teacher" if self.is_teachers else self.given_name or f"Room {self.number}"

    @property
    def is_idle(self) -> bool:
        """Whether nobody is in it and nothing happens."""
        return not self.seen_pages and not self._n_awaited and self.trainer.state != "training"

    @property
    def seen_pages(self) -> list[Page]:
        """Those that a browser shows at this moment; one that was just reloaded waits for a while to be gone."""
        return [page for client, page in self.by_client.items() if client.has_socket_connection]

    @property
    def lead(self) -> Page | None:
        """The page that was opened last, which those follow who watch."""
        return next(reversed(self.seen_pages), None)


class Rooms:
    """The class of one Studio. To be used on the event loop.

    Pages hear ``class`` when something of it changes that they show: what all are to watch, a name, the end.
    ``shown`` is the room that everybody watches, and ``lesson`` where newcomers begin.
    """

    def __init__(self, admission: Admission, out: Path, data_folder: str | None = None, turns: Turns | None = None):
        self.admission = admission
        self.shown: Room | None = None
        self.lesson: LessonLink | None = None
        self.teachers: Room | None = None
        self._out, self._data_folder, self._turns = out / FOLDER, data_folder, turns or Turns()
        self._known: dict[str, Room] = {}
        self._of_key: dict[str, int] = {}  # the number of every room that this key opened
        self._entering = asyncio.Lock()
        self._keys: dict[str, Room] = {}
        self._naming = threading.Lock()
        #: Pages are built one after the other, so that whoever clicks meanwhile waits for one at most.
        self.building = asyncio.Lock()

    @property
    def all(self) -> list[Room]:
        """The pupils' rooms, in the order in which they came first."""
        return sorted(self._known.values(), key=lambda room: room.number)

    # ---- who comes and goes ----

    async def of(self, id: str | None, trainer: Trainer, key: str | None = None) -> Room:
        """Return a pupil's room by its id; for None the teacher's, who has the first trainer.

        ``key`` was the class's when the pupil came in, by default the one of now; RunError where that class is over.
        """
        if id is not None:
            return await self.enter(id, trainer.data, key)
        if self.teachers is None:
            self.teachers = Room("", 0, trainer)
        return self.teachers

    async def enter(self, id: str, data: MnistData, key: str | None = None) -> Room:
        """Return a pupil's room, which is made or comes back from its folder where it is not there.

        RunError where there are as many as there may be, or ``key`` is the class's no more.
        """
        key = self.admission.key if key is None else key
        async with self._entering:
            self._check_key(key)
            room = self._known.get(id)
            if room is None:
                await self._make_place(id)
                self._check_key(key)
                self._turns.gives_way = True
                number = self._of_key.setdefault(id, len(self._of_key) + 1)
                room = await asyncio.to_thread(self._made, id, number, data)
                self._check_key(key)  # nothing of it was begun
                self._known[id] = self._keys[room.trainer.key] = room
                self.tell()
            room.seen_at = time.monotonic()
            return room

    def _check_key(self, key: str) -> None:
        if key != self.admission.key:
            raise RunError("This class is over. For the next one, open the link that your teacher shows.")

    def _made(self, id: str, number: int, data: MnistData) -> Room:
        folder, key = self._out / id, secrets.token_urlsafe(16)
        runs = folder / RUNS  # beside it stands what pupils correct in the tab Read
        trainer = RoomTrainer(data, runs, RECORDING_BYTES, data_folder=self._data_folder, turns=self._turns, key=key)
        return Room(id, number, trainer, _kept_name(folder))

    async def _make_place(self, id: str) -> None:
        if id not in self._of_key and len(self._of_key) >= MOST_OF_ONE_KEY:
            raise RunError(
                f"{MOST_OF_ONE_KEY} rooms were opened with this class's key, and it opens no more. Ask your teacher "
                "to end the class and to show the new link."
            )
        idle = sorted((room for room in self._known.values() if room.is_idle), key=lambda room: room.seen_at)
        n_too_many = len(self._known) + 1 - MOST_ROOMS
        if n_too_many > len(idle):
            raise RunError(
                f"All {MOST_ROOMS} rooms of this class are taken. Share a screen with somebody, or reload this page "
                "when somebody has left."
            )
        now = time.monotonic()
        for place, room in enumerate(idle):
            if place < n_too_many or now - room.seen_at > _IDLE_S:
                await self._let_go(room)

    async def _let_go(self, room: Room) -> None:
        """Forget a room; its folder stays, and it comes back with whoever has its cookie."""
        del self._known[room.id], self._keys[room.trainer.key]
        if self.shown is room:
            self.show(None)
        await asyncio.to_thread(room.trainer.close)

    def add(self, room: Room, page: Page) -> None:
        """Note that a page of a room is open, until it is gone.

        RunError where a room has too many, or is no more: all may have happened since it was entered.
        """
        if self.find(room.id) is not room:
            raise RunError("Your room was closed a moment ago. Reload this page.")
        if not room.is_teachers:
            if len(room.seen_pages) >= MOST_PAGES:
                raise RunError(
                    f"Your room is open in {MOST_PAGES} tabs already. Close one of them, and reload this page."
                )
            # Pages without a browser are kept for a while, should it come back; not for whoever reloads on and on.
            unseen = [client for client in room.by_client if not client.has_socket_connection]
            for client in unseen[: max(0, len(room.by_client) + 1 - MOST_PAGES)]:
                forget(client)
        client = page.client
        room.by_client[client] = page
        client.on_delete(lambda: self._left(room, client))

    def _left(self, room: Room, client: Client) -> None:
        room.by_client.pop(client, None)
        room.seen_at = time.monotonic()

    async def close(self) -> None:
        """Stop all trainings, save them, and wait for that."""
        await asyncio.gather(*(asyncio.to_thread(room.trainer.close) for room in self._known.values()))

    # ---- what the teacher does ----

    def show(self, room: Room | None) -> None:
        """Have everybody watch a room; None ends it."""
        self.shown = room
        self.tell()

    async def begin_lesson(self, lesson: LessonLink) -> int:
        """Put a lesson before everybody, now and for those who come later; return on how many pages it stands now."""
        self.lesson = lesson
        pages = [page for room in self._known.values() for page in room.seen_pages]
        for page in pages:
            async with self.building:
                page.take_lesson(lesson)
                await asyncio.sleep(0)
        return len(pages)

    async def end(self) -> None:
        """End the class: every pupil's page closes, trainings are stopped and kept, and there is another key."""
        self.admission.renew()
        self.shown = self.lesson = None
        rooms = self.all
        self._known.clear()
        self._keys.clear()
        self._of_key.clear()
        for room in rooms:
            for page in list(room.by_client.values()):
                page.client.run_javascript("location.reload()")
        self.tell()
        await asyncio.gather(*(asyncio.to_thread(room.trainer.close) for room in rooms))
        for room in rooms:  # whose browsers did not do as they were told
            for page in list(room.by_client.values()):
                forget(page.client)

    def rename(self, room: Room, name: str) -> None:
        """Call a room as its pupil wants it. InputError if that is no name."""
        room.given_name = checked_name(name)
        self.tell()

    def tell(self) -> None:
        """Let all pages hear that something has changed."""
        rooms = [*self._known.values(), *([] if self.teachers is None else [self.teachers])]
        for page in [page for room in rooms for page in room.by_client.values()]:
            page.tell("class")

    def find(self, id: str) -> Room | None:
        """Return a room by its id, empty for the teacher's; None where it is gone."""
        return self._known.get(id) if id else self.teachers

    def folder_of(self, key: str) -> Path | None:
        """Return the folder of runs of the room with a key; None where there is none."""
        room = self._keys.get(key)
        return None if room is None else room.trainer.out

    def keep_name(self, room: Room) -> None:
        """Write a room's name into its folder, for the next lesson; off the event loop."""
        folder = self._out / room.id
        with self._naming:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / _NAME_FILE) as file:
                file.write(json.dumps({"name": room.given_name}).encode() + b"\n")


def checked_name(name: str) -> str:
    """Return a name as it is shown: one line, nothing that steers how text runs, at most 30 letters.

    >>> checked_name("  Mia   und\\tBen ")
    'Mia und Ben'
    """
    letters = (c for c in name[: 10 * LONGEST_NAME] if c.isspace() or unicodedata.category(c)[0] != "C")
    shown = plain_title(plain_title("".join(letters))[:LONGEST_NAME])
    if not shown:
        raise InputError("A name needs a letter; type one of up to 30 letters.")
    return shown


def _kept_name(folder: Path) -> str:
    try:
        return checked_name(str(parse_json(read_ordinary(folder / _NAME_FILE, _MOST_NAME_BYTES))["name"]))
    except (DigitlabError, OSError, LookupError, TypeError, ValueError):
        return ""
