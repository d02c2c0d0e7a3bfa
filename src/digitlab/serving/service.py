"""Service: a network, the processes that read, and what is counted, behind every route."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from digitlab.engine.images import holds_digit
from digitlab.engine.runtime import RuntimeModel
from digitlab.engine.sequential import Sequential
from digitlab.errors import DataError, DigitlabError, InputError, NetworkError, RunError
from digitlab.evaluation.comparison import compare
from digitlab.explanation.attribution import attribute
from digitlab.explanation.inside import Inside, look_inside
from digitlab.explanation.topics import TOPICS, find_topic, lesson
from digitlab.network.architecture import Architecture
from digitlab.network.cost import Cost, cost_of
from digitlab.network.zoo import FINDERS, ZOO, architecture
from digitlab.processes import EndedError
from digitlab.reading.apart import Apart
from digitlab.reading.many import read_pages_apart
from digitlab.reading.predictor import Answer, DigitImage, Predictor
from digitlab.reading.reading import Reading, ReadingOptions
from digitlab.runs.listing import run_in
from digitlab.runs.run import MODEL, Run
from digitlab.serving.accounting import Measures
from digitlab.serving.batching import Batcher
from digitlab.serving.bodies import Asked, Bodies, File
from digitlab.serving.guard import RefusedError
from digitlab.serving.limits import ServingOptions

T = TypeVar("T")

#: Does some work, and may stop doing it.
Patiently = Callable[[Coroutine[Any, Any, None]], Awaitable[None]]

#: Test images in a comparison: all that MNIST has.
MOST_COMPARED = 10_000

_IMAGES_A_REQUEST = 16  # of the queue: what a request to predict counts for beside a photo
_MOST_QUESTIONS = 16
# Some ten seconds of work.
_MOST_MULTIPLY_ADDS = 10**12
# Of a network that is looked inside: a second of work, and some 10 MB of JSON.
_MOST_INSIDE = 50_000_000
_SMOOTHING = 0.1
_LONGEST_RETRY_S = 60.0


class Patience:
    """How long one piece of work may go on, in seconds from now; the work asks where it can stop."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self.is_over = False

    def check(self) -> None:
        """Raise a TimeoutError if nobody waits for the work any more."""
        if self.is_over or time.monotonic() > self.ends:
            raise TimeoutError


class Pool:
    """Runs work in threads, ``workers`` at a time, for one event loop.

    ``queue`` pieces (pictures, or another ``kind``) may wait for a thread, and each may wait and take ``timeout_s``
    seconds; ``n_waiting`` of them wait or run.
    """

    def __init__(self, workers: int, queue: int, timeout_s: float, kind: str = "pictures") -> None:
        self.workers, self.timeout_s, self._kind = workers, timeout_s, kind
        self._most = workers + queue
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="digitlab-reading")
        self._usual_s = 0.1
        self.n_waiting = 0

    async def run(self, work: Callable[[Patience], T]) -> T:
        """Run a piece of work in a thread, after those that came before it; it calls ``check`` where it can stop.

        Raises ``RefusedError`` if too many wait, or it took too long; a thread that cannot stop goes on, and counts,
        until it can.
        """
        if self.n_waiting >= self._most:
            wait_s = min(_LONGEST_RETRY_S, self._usual_s * self.n_waiting / self.workers)
            words = f"{self.n_waiting:,} {self._kind} are waiting already."
            raise RefusedError(429, words, "Try again later.", retry_after_s=wait_s)
        patience = Patience(self.timeout_s)
        self.n_waiting += 1
        running = asyncio.get_running_loop().run_in_executor(self._threads, self._timed, work, patience)
        running.add_done_callback(self._note_end)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await asyncio.shield(running)
        except TimeoutError:
            raise RefusedError(
                503,
                f"This was not done within {self.timeout_s:g} seconds.",
                "Try again later, or with fewer pages or images, or a smaller picture.",
                retry_after_s=min(_LONGEST_RETRY_S, self.timeout_s),
            ) from None
        finally:
            patience.is_over = True

    def close(self) -> None:
        """End the threads, after what they are doing."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _timed(self, work: Callable[[Patience], T], patience: Patience) -> T:
        patience.check()
        began = time.monotonic()
        result = work(patience)
        self._usual_s += _SMOOTHING * (time.monotonic() - began - self._usual_s)
        return result

    def _note_end(self, running: asyncio.Future[T]) -> None:
        self.n_waiting -= 1
        if not running.cancelled():
            running.exception()  # seen, also where nobody waits any more


class Service:
    """Predicts and reads for many at a time, and answers what is asked of runs, networks and words.

    ``model`` is a run's name or folder, ``latest``, or a file of weights, whose network learned from ``pixels`` in this
    scale; the shipped reader by default. Pictures are
    opened and read ``apart``, by default in processes of its own. Its ``state`` is "starting", "ready" or "stopping".
    """

    def __init__(
        self,
        options: ServingOptions | None = None,
        model: str | None = None,
        runs: Path = Path("runs"),
        pixels: str | None = None,
        apart: Apart | None = None,
    ) -> None:
        self.options = ServingOptions() if options is None else options
        self.apart = Apart(self.options.workers, self.options.page_timeout_s) if apart is None else apart
        self.model_name = model
        self.state = "starting"
        self.measures = Measures()
        self.bodies = Bodies(self.options.max_bytes, self.options.timeout_s)
        self.pool = Pool(self.options.workers, self.options.queue, self.options.timeout_s)
        # What is asked of runs, networks and words, one after the other: seldom, and never before pictures.
        self.questions = Pool(1, _MOST_QUESTIONS, self.options.timeout_s, "questions")
        self._runs, self._pixels = runs, pixels
        self._loading = threading.Lock()
        self._loaded: tuple[Predictor, Batcher] | None = None
        watch = self.measures.watch
        watch("digitlab_ready", "1 while requests are answered.", lambda: self.state == "ready")
        watch("digitlab_held_bytes", "Bytes of bodies that are held.", lambda: self.bodies.n_held)
        watch("digitlab_waiting_pictures", "Pictures that wait or are read.", lambda: self.pool.n_waiting)
        watch("digitlab_waiting_images", "Images that wait or are answered.", self._n_waiting_images)

    @property
    def predictor(self) -> Predictor:
        """The network; loaded when it is first asked for, which takes a moment.

        Raises ``RunError`` if there is no such model, or it is damaged. Raises ``NetworkError`` if it answers other
        images than 28 x 28.
        """
        return self._load()[0]

    async def opened(self) -> tuple[Predictor, Batcher]:
        """Return the network and who asks it, and load them off the event loop if that has not been done."""
        return self._loaded if self._loaded is not None else await asyncio.to_thread(self._load)

    def stop(self) -> None:
        """Be ready no more; what is being read has its usual time to be done, and no longer."""
        self.state = "stopping"
        ending = threading.Timer(self.options.timeout_s, self.apart.close)
        ending.daemon = True
        ending.start()

    def close(self) -> None:
        """End what reads, whatever it is doing, and the threads."""
        self.state = "stopping"
        self.apart.close()
        self.pool.close()
        self.questions.close()
        if self._loaded is not None:
            self._loaded[1].close()

    async def predict(self, asked: Asked, *, invert: bool, patiently: Patiently) -> list[Answer]:
        """Answer images; with ``invert`` they have dark ink on bright ground.

        ``patiently`` is given what takes long enough for somebody to lose patience, looking for a digit in a picture;
        it does it, or stops.

        Raises ``InputError`` if a picture cannot be opened, or the network cannot look for a digit in it. Raises
        ``RefusedError`` if too many are waiting.
        """
        predictor, batcher = await self.opened()
        if asked.given is not None:
            n = len(asked.given)
            images = 1 - asked.given if invert else asked.given
            rows = await batcher.ask(images)
            sources = [f"image#{k}" for k in range(n)] if n > 1 else ["image"]
            answers = [predictor.judged(source, row) for source, row in zip(sources, rows, strict=True)]
        else:
            answers = await self._of_files(predictor, batcher, asked.files, invert, patiently)
        self.measures.images.inc(len(answers))
        return answers

    async def read(self, file: File, options: ReadingOptions) -> list[Reading]:
        """Read the pages of a photo or document.

        Raises ``InputError`` if it cannot be opened, has too many pages, or the network does not read digits. Raises
        ``RefusedError`` if too many are waiting, or it took too long.
        """
        predictor, _ = await self.opened()
        reader = predictor.reader
        if reader is None:
            raise DataError(f"{predictor.why_not} Start the server without --model to read photos.")
        most = self.options.max_pages

        def work(patience: Patience) -> list[Reading]:
            # One more than is taken, to see whether there are more.
            asked = replace(options, most_pages=most + 1)
            readings: list[Reading] = []
            for reading in read_pages_apart(self.apart, reader.origin, asked, file.content, file.name):
                patience.check()
                readings.append(reading)
            if len(readings) > most:
                raise DataError(f"A document has at most {most} pages here. Send it in parts.")
            return readings

        readings = await self.pool.run(_unless_ended(work))
        self.measures.pages.inc(len(readings))
        return readings

    async def inside(
        self, asked: Asked, *, invert: bool, layer: str | None, unit: tuple[int, ...] | None, why: str | None
    ) -> dict[str, Any]:
        """Return one image's way through the network, as ``digitlab explain --json``, and what was asked of it.

        ``arithmetic`` is what is behind one number where ``layer``, by default the last, or ``unit``, by default its
        largest, is given, and ``attribution`` what the method ``why`` says of the pixels. Raises ``InputError`` if the
        image or the network cannot be used. Raises ``RefusedError`` if there is no such number, too many are waiting,
        or it took too long.
        """
        predictor, _ = await self.opened()
        model = predictor.model
        if isinstance(model, RuntimeModel):
            raise NetworkError(model.sentence())
        n = len(asked.files) if asked.given is None else len(asked.given)
        if n != 1:
            raise DataError(f"One image at a time is looked at; got {n:,}. Send them one by one.")
        if _cost(model.architecture).multiply_adds > _MOST_INSIDE:
            raise DataError(f"{model.name} is too large to be looked inside here. Use: digitlab explain")

        def work(patience: Patience) -> dict[str, Any]:
            if asked.given is not None:
                image = 1 - asked.given[0] if invert else asked.given[0]
            else:
                image = predictor.framed(asked.files[0], invert=invert, apart=self.apart)
            patience.check()
            image = image.reshape(model.architecture.input_shape)
            found = look_inside(model, image)
            arithmetic = None if layer is None and unit is None else _arithmetic(found, layer, unit)
            patience.check()
            attribution = None if why is None else attribute(model, image, method=why).to_dict()
            return found.to_dict() | {"arithmetic": arithmetic, "attribution": attribution}

        answer = await self._asked(_unless_ended(work))
        self.measures.images.inc()
        return answer

    async def compare(self, a: str, b: str, n_images: int = MOST_COMPARED) -> dict[str, Any]:
        """Compare two runs of the folder on test images, as ``digitlab compare --json`` but without every batch.

        Raises ``RefusedError`` if there is no such run. Raises ``InputError`` if they cannot be compared, or that would
        take too long.
        """

        def work(patience: Patience) -> dict[str, Any]:
            first, second = self._run(a), self._run(b)
            each = sum(_cost(_network_of(run)).multiply_adds for run in (first, second))
            if each * n_images > _MOST_MULTIPLY_ADDS:
                raise DataError(
                    f"Both networks together need {each:,} multiply-adds an image, too many for {n_images:,} images "
                    f"here. Ask for fewer, images={max(1, _MOST_MULTIPLY_ADDS // each)}, or use: digitlab compare"
                )
            patience.check()
            found = compare(first, second, n_images=n_images).to_dict()
            for side in (found["a"], found["b"]):
                del side["steps"]
            return found

        return await self._asked(work)

    async def cost(self, network: str | None = None) -> dict[str, Any]:
        """Return what one image costs in a network: of the zoo, of a run of the folder, or the one that answers here.

        As ``digitlab summary --cost --json`` has it. Raises ``RefusedError`` if there is no such network. Raises
        ``InputError`` if it takes images of any size.
        """
        if network is None:
            predictor, _ = await self.opened()
            if isinstance(predictor.model, RuntimeModel):
                raise NetworkError(predictor.model.sentence())
            return _cost(predictor.model.architecture).to_dict()

        def work(patience: Patience) -> dict[str, Any]:
            named = network in ZOO | FINDERS
            return _cost(architecture(network) if named else _network_of(self._run(network))).to_dict()

        return await self._asked(work)

    async def learn(self, term: str | None, network: str) -> dict[str, Any]:
        """Explain a term with the numbers of a network of the zoo, as ``digitlab learn --json``; None lists all.

        Raises ``RefusedError`` if there is no such term. Raises ``InputError`` if there is no such network.
        """
        if network not in ZOO:
            raise DataError(f"There is no network {network[:100]!r}; choose one of {', '.join(ZOO)}.")
        if term is None:
            return {name: topic.title for name, topic in TOPICS.items()}

        def work(patience: Patience) -> dict[str, Any]:
            try:
                name = find_topic(term)
            except InputError as error:
                raise RefusedError(404, str(error)) from None
            return _lesson(name, network)

        return await self._asked(work)

    def _run(self, name: str) -> Run:
        """Open a run of the folder by its name: never another folder, and no model file."""
        try:
            return run_in(self._runs, name)
        except RunError as error:
            raise RefusedError(404, self._without_folder(error)) from None

    async def _asked(self, work: Callable[[Patience], T]) -> T:
        """Do what is asked of runs, networks and words in a thread; what goes wrong does not say where runs are."""

        def done(patience: Patience) -> T:
            try:
                return work(patience)
            except DigitlabError as error:
                raise DataError(self._without_folder(error)) from None

        return await self.questions.run(done)

    def _without_folder(self, error: DigitlabError) -> str:
        folder = str(self._runs)
        return str(error).replace(f"{folder}{os.sep}", "").replace(folder, "runs") if os.sep in folder else str(error)

    async def _of_files(
        self, predictor: Predictor, batcher: Batcher, files: list[DigitImage], invert: bool, patiently: Patiently
    ) -> list[Answer]:
        places, images = predictor.as_they_are(files, invert=invert)
        rows = await batcher.ask(images) if places else ()
        found = {k: predictor.judged(files[k].source, row) for k, row in zip(places, rows, strict=True)}
        others = [k for k in range(len(files)) if k not in found]

        def work(patience: Patience) -> None:
            for k in others:
                patience.check()
                found[k] = predictor.look(files[k].source, files[k].photo, invert=invert, apart=self.apart)

        if others:
            await patiently(self.pool.run(_unless_ended(work)))
        return [found[k] for k in range(len(files))]

    def _load(self) -> tuple[Predictor, Batcher]:
        with self._loading:
            if self._loaded is None:
                predictor = Predictor(self.model_name, self._runs, self._pixels)
                most = _IMAGES_A_REQUEST * self.options.queue
                _warm_up(predictor)
                self.apart.wait()
                self._loaded = predictor, Batcher(predictor.rows, most, self.measures.note_batch)
                if self.state == "starting":
                    self.state = "ready"
            return self._loaded

    def _n_waiting_images(self) -> float:
        return 0 if self._loaded is None else self._loaded[1].n_waiting


# There is one answer for each term and network of the zoo.
_lesson = cache(lesson)


def _network_of(run: Run) -> Architecture:
    return (run.load_model() if run.has(MODEL) else run.load_state()).architecture


def _cost(network: Architecture) -> Cost:
    if network.answers_maps:
        raise DataError(f"{network.name} takes images of any size, and what one costs depends on it. Name another.")
    return cost_of(network)


def _arithmetic(inside: Inside, layer: str | None, unit: tuple[int, ...] | None) -> dict[str, Any]:
    try:
        name = inside.layers[-1].layer.name if layer is None else inside.layer(layer).layer.name
        outputs = inside.layer(name).outputs
        place = np.unravel_index(int(outputs.argmax()), outputs.shape) if unit is None else unit
        return inside.why(name, *map(int, place)).to_dict()
    except InputError as error:
        raise RefusedError(404, str(error)) from None


def _unless_ended(work: Callable[[Patience], T]) -> Callable[[Patience], T]:
    def done(patience: Patience) -> T:
        try:
            return work(patience)
        except EndedError:
            raise RefusedError(503, "The server is stopping.", "Try again later.", retry_after_s=1) from None

    return done


def _warm_up(predictor: Predictor) -> None:
    """Have everything compiled or read from the cache before somebody waits for it; and refuse other networks."""
    shape = tuple(predictor.model.architecture.input_shape)
    if not holds_digit(shape):
        raise NetworkError(f"{predictor.model.name} answers images of {shape}; the API is for 28 x 28. Name another.")
    image = np.zeros((32, 28, 28), np.float32)
    image[:, 6:22, 13:16] = 1
    # A network whose answers are no numbers tells so whoever asks it.
    with suppress(NetworkError):
        for n in (1, 32):
            predictor.rows(image[:n])
        predictor.knows_digits  # noqa: B018 - found once
        if predictor.reader is not None:
            predictor.reader.read((255 - 255 * image[0]).astype(np.uint8))
    if isinstance(predictor.model, Sequential):
        predictor.model.runner.seal()
