"""Fine-tuning: a trained network goes on learning from a few images of somebody's own, and forgets nothing of MNIST.

A network that learns from new images alone forgets the old ones within a few steps (McCloskey and Cohen 1989), so the
few are mixed into some thousand training images of what it knows ("replay"): MNIST's, and for a network with an
eleventh answer also images that are no digit, all of them changed at random as in its own training. Of the way from the
old weights to the new ones the largest part is gone on which validation images do not suffer (Wortsman et al. 2022,
*Robust fine-tuning of zero-shot models*, equation 1). How the network reads before and after is told with it, so that
nobody takes one that reads worse.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData, choose_images
from digitlab.engine.augmentation import AUGMENTATIONS, Augmentation, augmented
from digitlab.engine.fitting import LabelledImages, steps
from digitlab.engine.inputs import wrap_labelled
from digitlab.engine.optimizers import Adam, scheduled_rate
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, DataError, InputError, RunError
from digitlab.network.checkpoint import Checkpoint, load_checkpoint
from digitlab.reading.answers import Answers
from digitlab.reading.apart import Apart
from digitlab.reading.page import read_page
from digitlab.reading.photo import Photo
from digitlab.reading.reader import Reader
from digitlab.reading.reading import Box, Digit, ReadingOptions
from digitlab.runs.history import Record
from digitlab.runs.listing import new_run
from digitlab.runs.run import CONFIG, ENVIRONMENT, MODEL, START, Run
from digitlab.training.config import TrainConfig
from digitlab.training.keeping import environment
from digitlab.training.nondigits import make_nondigits
from digitlab.training.pages import ComposedPage, compose_page
from digitlab.values import CLASS_NAMES, StepRecord, Value

# Copies of a correction are changed so far, that the network learns the hand and not the pixels.
_GENTLE = Augmentation(rotation=8.0, shear=0.15, scale=0.1, aspect=0.1, shift=1.0, elastic=2.0, thicken=0.3)
# Of the images that are replayed to a network with an eleventh answer, so many are no digit.
_NONDIGITS = 0.15
# Validation images that are watched at most, and by which is chosen how far to go.
_MOST_VALIDATION = 2_000
_MOST_TEST = 2_000  # test images that it is judged by: every fifth of MNIST's, since its halves are not equally hard
# Of the way to the new weights. With more than half of it, what was corrected is read a little better still, but of
# MNIST's 10,000 test images up to 42 fewer; with half, the same or a few more (nine trials, 10 corrections each).
_PARTS = (0.5, 0.35, 0.2, 0.1)
_PAGE = (4, 3, 5, 2) * 7  # digits of the numbers of the composed page
_PAGE_DIGIT_PX = 42
_AS_IT_LIES = ReadingOptions(turn=False, straighten=False)  # it stands upright, and every turn costs time
_N_DIGITS = len(CLASS_NAMES)
# How the corrections are called beside the weights that they were learned from.
_IMAGES, _LABELS = "corrections", "labels"
_BYTE = 255
_LARGEST_BIAS = 100.0  # e to this is more than float32 holds
_NOTHING = "There is no correction to learn from; correct a wrong answer first."
_NOTHING_FOR_TEN = (
    'All corrections say "not a digit", and this network has no such answer. Choose the shipped reader, or correct a '
    "digit."
)


@dataclass(frozen=True, slots=True)
class FineTuningOptions(Value):
    """How a network learns from corrections; ConfigError if a value cannot be used."""

    epochs: int = 2  # passes over replayed images and corrections
    replay_images: int = 1_500  # how many of MNIST's training images are mixed in
    #: The part of what is learned from that corrections are, in (0, 1): a few are repeated to come near it,
    share: float = 0.3
    #: but one comes at most so often in an epoch; no more would be learned from more.
    most_repeats: int = 100
    batch_size: int = 128
    learning_rate: float = 0.0006  # of Adam, falling to 0 along a cosine
    seed: int = 0  # where all randomness comes from: the same seed gives the same weights
    threads: int | None = None  # all cores by default; no result depends on it

    def __post_init__(self) -> None:
        for name in ("epochs", "replay_images", "most_repeats", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1; got {getattr(self, name)}.")
        if not 0 < self.share < 1:
            raise ConfigError(f"share must be above 0 and below 1; got {self.share}.")
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"learning_rate must be above 0 and below 1; got {self.learning_rate}.")
        if self.seed < 0:
            raise ConfigError(f"seed must be at least 0; got {self.seed}.")


@dataclass(frozen=True, slots=True)
class Figure(Value):
    """How many of some digits are read rightly, before and after. What is refused, or too unsure, is not read."""

    n: int
    right_before: int
    right_after: int

    @property
    def is_worse(self) -> bool:
        return self.right_after < self.right_before


@dataclass(frozen=True, slots=True, eq=False)
class KnownPhoto:
    """A photo of somebody's own, how it is read, and what stands on it."""

    photo: Photo
    options: ReadingOptions
    marks: tuple[tuple[Box, int | None], ...]  # where a digit stands, and which; None for ink that is none


@dataclass(frozen=True, slots=True)
class FineTuned(Value):
    """What came of it; checkpoint, records and start are not part of the JSON form."""

    n_left_out: int  # corrections that were not learned from, since the network has no answer "not a digit"
    corrections: Figure  # those that were learned from: it says little of other images
    test: Figure  # MNIST's test images, every fifth of them
    page: Figure  # the digits of a page that was composed of MNIST's validation digits, read in their places
    part: float  # how much of the way to the new weights was gone, in (0, 1]
    n_replayed: int  # images that were mixed in
    seconds: float  # evaluations included
    options: FineTuningOptions
    checkpoint: Checkpoint = field(repr=False, compare=False)
    records: tuple[Record, ...] = field(repr=False, compare=False)  # to the end of the way
    photos: Figure = Figure(0, 0, 0)  # marks on photos: digits read in their places, and what is none and not read
    #: What it began with, and in its ``extra`` all corrections, for ``repeat_fine_tuned``.
    start: Checkpoint | None = field(default=None, repr=False, compare=False)

    @property
    def is_worse(self) -> bool:
        """Whether it reads fewer of the corrections, the test images, the page's digits or the photos' than before."""
        return any(figure.is_worse for figure in (self.corrections, self.test, self.page, self.photos))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("checkpoint", "records", "start")}
        return {name: value.to_dict() if isinstance(value, Value) else value for name, value in plain.items()}


def fine_tune(
    start: Checkpoint,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    data: MnistData,
    options: FineTuningOptions | None = None,
    *,
    photos: Sequence[KnownPhoto] = (),
    apart: Apart | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> FineTuned:
    """Let a trained network learn from corrections, without forgetting what it knows.

    ``start`` is not changed, and its metadata (temperature, threshold) is kept. ``images`` are uint8 (n, 28, 28), ink
    bright on dark, ``labels`` uint8 (n,), 0-9 or 10 for "not a digit". Of ``data`` the training images are replayed,
    the validation images watched, the test images reported with; ``photos`` are read before and after, and nothing is
    learned from them: ``apart``, within its limits, where it is given, and of one that takes too long nothing is read.
    ``on_step`` is told of the steps done and of all steps, from 0 on; what it raises ends the training, and nothing is
    kept.

    InputError if there is nothing to learn from, or the network is not one for digits; TrainingDivergedError if the
    loss becomes NaN or infinite.
    """
    options = FineTuningOptions() if options is None else options
    began = time.perf_counter()
    model = Sequential.from_checkpoint(_with_bias(start, -1), threads=options.threads)
    has_eleventh = _check_network(model)
    usable = labels < model.architecture.n_classes
    own, own_labels = images[usable], labels[usable]
    if len(own) == 0:
        raise InputError(_NOTHING if len(labels) == 0 else _NOTHING_FOR_TEN)
    replayed, replayed_labels = _replayed(data, options, has_eleventh)
    copies = _n_copies(len(own), len(replayed), options)
    every = np.concatenate([replayed, *[own] * copies])
    every_labels = np.concatenate([replayed_labels, *[own_labels] * copies])
    training = wrap_labelled(model.architecture, every, every_labels)

    def of_epoch(epoch: int) -> LabelledImages:
        changed = every.copy()
        n = len(replayed)
        if has_eleventh and (augmentation := AUGMENTATIONS["reader"]) is not None:
            changed[:n] = augmented(replayed, augmentation, seed=options.seed, epoch=epoch, threads=options.threads)
        # One copy stays as it was: that is the image that was answered wrongly.
        rest = every[n + len(own) :]
        if len(rest):
            changed[n + len(own) :] = augmented(rest, _GENTLE, seed=options.seed, epoch=epoch, threads=options.threads)
        return wrap_labelled(model.architecture, changed, every_labels)

    rate = options.learning_rate
    n_steps = options.epochs * math.ceil(len(every) / options.batch_size)
    tell = on_step or (lambda step, n_steps: None)
    tell(0, n_steps)
    n_validation = min(_MOST_VALIDATION, len(data.validation))
    validation = data.validation.images[:n_validation], data.validation.labels[:n_validation]
    records = []
    model.runner.start_training(min(options.batch_size, len(every)))
    for record in steps(
        model.runner,
        training,
        batch_size=options.batch_size,
        epochs=options.epochs,
        optimizer=Adam(rate),
        learning_rate=lambda step: scheduled_rate("cosine", rate, step, n_steps),
        seed=options.seed,
        validation=model.labelled(*validation),
        of_epoch=of_epoch,
    ):
        records.append(record)
        if isinstance(record, StepRecord):
            tell(record.step, n_steps)
    model.runner.seal()
    end = _with_bias(replace(start, weights=tuple(model.get_weights())), 1)
    before = _Judge(start, options.threads)
    part, tuned, after = _gone(start, end, before, validation, options.threads)
    n_right_there = partial(_n_right_there, apart)
    every_kth = max(1, len(data.test) // _MOST_TEST)
    test = data.test.images[::every_kth], data.test.labels[::every_kth]
    page = compose_page(data.validation, seed=options.seed, numbers=_PAGE, digit_px=_PAGE_DIGIT_PX)
    return FineTuned(
        n_left_out=len(labels) - len(own),
        corrections=Figure(len(own), before.n_right(own, own_labels), after.n_right(own, own_labels)),
        test=Figure(len(test[0]), before.n_right(*test), after.n_right(*test)),
        page=Figure(len(page.boxes), before.n_right_on(page), after.n_right_on(page)),
        photos=Figure(
            sum(len(one.marks) for one in photos),
            sum(n_right_there(before, one) for one in photos),
            sum(n_right_there(after, one) for one in photos),
        ),
        part=part,
        n_replayed=len(replayed),
        seconds=time.perf_counter() - began,
        options=options,
        checkpoint=replace(tuned, metadata=start.metadata | {"fine_tuned": "yes"}),
        records=tuple(records),
        start=replace(start, extra={_IMAGES: images.reshape(-1).astype(np.float32), _LABELS: labels.astype(np.int64)}),
    )


def keep_fine_tuned(
    tuned: FineTuned,
    data: MnistData,
    out: Path,
    *,
    origin: str,
    folder: str | None = None,
    name: str | None = None,
    force: bool = False,
) -> Run:
    """Write a fine-tuned network as a run of its own, in the folder of runs ``out``.

    ``origin`` says what it was before, for people: the name of a run, or "the shipped reader"; ``folder`` where the
    data is, if it is not the packaged one; ``name`` and ``force`` are as for ``digitlab.train``.
    """
    options, network = tuned.options, tuned.checkpoint.architecture
    config = TrainConfig(
        network=network.name,
        data=folder,
        train_images=min(options.replay_images, len(data.training)),
        validation_images=min(_MOST_VALIDATION, len(data.validation)),
        batch_size=options.batch_size,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        schedule="cosine",
        seed=options.seed,
    )
    run = new_run(out, f"{network.name}-corrected", options.seed, name=name, force=force)
    described = {
        "config": config.to_dict(),
        "network": network.to_dict(),
        "data": {"source": data.source, "digest": data.digest},
        # The corrections are somebody's own, and are kept in the run.
        "command": run.repeat_command(),
        "fine_tuned": {"origin": origin} | tuned.to_dict(),
    }
    run.write_json(CONFIG, described)
    run.write_json(ENVIRONMENT, environment(Sequential.from_checkpoint(tuned.checkpoint).runner.n_threads))
    with closing(run.open_history()) as history:
        history.append(tuned.records)
    if tuned.start is not None:
        run.save(START, tuned.start)
    run.save(MODEL, tuned.checkpoint)
    return run


def repeat_fine_tuned(
    run: Run,
    out: Path,
    *,
    data: MnistData | None = None,
    name: str | None = None,
    force: bool = False,
) -> Run:
    """Let the network that a fine-tuned one was learn the same corrections again, in a run of its own.

    Its weights are the same, bit for bit, on processors with the same vector instructions. RunError if the run is
    damaged or does not hold what it began with, or the data is not the same.
    """
    description = run.read_json(CONFIG)
    try:
        told, digest = description["fine_tuned"], description["data"]["digest"]
        options, origin = FineTuningOptions(**told["options"]), str(told["origin"])
        folder = TrainConfig.from_dict(description["config"]).data
    except (KeyError, TypeError, InputError) as error:
        raise RunError(f"{run.path / CONFIG} is damaged ({error}), so that it cannot be repeated.") from None
    if not run.has(START):
        raise RunError(
            f"The run {run.path} does not hold what it was fine-tuned from, as digitlab kept none then, so that it "
            "cannot be repeated. Learn from the corrections again in the Studio."
        )
    start = load_checkpoint(run.path / START)
    data = MnistData.load(folder) if data is None else data
    if data.digest != digest:
        raise RunError(
            f"The data in {data.source} is not what the run {run.path} began with. Bring that data back, or learn from "
            "the corrections again in the Studio."
        )
    tuned = fine_tune(start, *_corrections(start), data, options)
    return keep_fine_tuned(tuned, data, out, origin=origin, folder=folder, name=name, force=force)


def _corrections(start: Checkpoint) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The corrections that are kept with what was learned from: images uint8 (n, 28, 28), labels uint8 (n,)."""
    try:
        images, labels = start.extra[_IMAGES].reshape(-1, 28, 28), start.extra[_LABELS]
        if len(images) != len(labels) or not ((images >= 0) & (images <= _BYTE)).all():
            raise ValueError
    except (KeyError, ValueError):
        raise RunError("The corrections are missing or damaged, so that they cannot be learned from again.") from None
    if not ((labels >= 0) & (labels <= _N_DIGITS)).all():
        raise RunError("A label of the corrections is none, so that they cannot be learned from again.")
    return images.astype(np.uint8), labels.astype(np.uint8)


def _check_network(model: Sequential) -> bool:
    """Tell whether there is an eleventh answer."""
    network = model.architecture
    if network.input_shape != (28, 28, 1) or network.n_classes not in (_N_DIGITS, _N_DIGITS + 1):
        raise InputError(
            f"{network.name} takes {network.input_shape} and tells {network.n_classes} classes apart; only networks "
            "for 28 x 28 digits learn from corrections. Choose another network."
        )
    return network.n_classes > _N_DIGITS


def _replayed(
    data: MnistData, options: FineTuningOptions, has_eleventh: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    n_replayed = min(options.replay_images, len(data.training))
    chosen = data.training.at(choose_images(data.training, n_replayed, options.seed))
    images, labels = chosen.images, chosen.labels
    if has_eleventh:
        n = max(1, round(len(images) * _NONDIGITS / (1 - _NONDIGITS)))
        others = make_nondigits(n, data.training, seed=options.seed)
        images = np.concatenate([images, others.images])
        labels = np.concatenate([labels, np.full(n, _N_DIGITS, np.uint8)])
    return images, labels


def _n_copies(n_own: int, n_replayed: int, options: FineTuningOptions) -> int:
    wanted = options.share * n_replayed / (1 - options.share) / n_own
    return max(1, min(options.most_repeats, math.ceil(wanted)))


class _Judge:
    """A network as it reads: calibrated, and refusing what it is not sure of."""

    def __init__(self, checkpoint: Checkpoint, threads: int | None) -> None:
        self.checkpoint = checkpoint
        model = Sequential.from_checkpoint(checkpoint, threads=threads)
        self._reader = Reader(model)
        self._reader.answers = Answers(model, checkpoint.metadata)

    def n_right(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> int:
        """How many images, uint8 (n, 28, 28), are read as their labels say: 0-9, or 10 for what is to be refused."""
        answers = self._reader.answers
        probabilities = answers.of_images(images[..., None].astype(np.float32) / np.float32(255))
        values = probabilities[:, :_N_DIGITS].argmax(axis=1)
        is_unsure = probabilities[:, :_N_DIGITS].max(axis=1) < ReadingOptions().min_confidence
        values[is_unsure | (probabilities[:, _N_DIGITS] > answers.refuse_above)] = _N_DIGITS
        return int((values == labels).sum())

    def n_right_on(self, page: ComposedPage) -> int:
        """How many digits of a page are read where they stand."""
        found = self._reader.read(page.pixels, _AS_IT_LIES).digits
        values = map(int, "".join(page.numbers))
        return sum(_read_there(found, box) == [value] for value, box in zip(values, page.boxes, strict=True))

    def n_right_there(self, known: KnownPhoto) -> int:
        """How many marks of a photo are read as they are."""
        found = read_page(known.photo, known.options, self._reader.answers)[0].digits
        return sum(_read_there(found, box) == ([] if value is None else [value]) for box, value in known.marks)


def _n_right_there(apart: Apart | None, judge: _Judge, known: KnownPhoto) -> int:
    """As the judge says, where a photo can keep neither this process nor its memory."""
    if apart is None:
        return judge.n_right_there(known)
    try:
        return int(apart.call(_judged, judge.checkpoint, known, source=known.photo.source))
    except DataError:
        return 0  # what is given up is not read


def _judged(checkpoint: Checkpoint, known: KnownPhoto) -> int:
    return _Judge(checkpoint, 1).n_right_there(known)


def _read_there(digits: Sequence[Digit], box: tuple[int, int, int, int]) -> list[int]:
    """Return the digits whose middle is in a box."""
    return [
        digit.value
        for digit in digits
        if box[0] <= (digit.box.left + digit.box.right) / 2 < box[2]
        and box[1] <= (digit.box.top + digit.box.bottom) / 2 < box[3]
    ]


def _gone(
    start: Checkpoint,
    end: Checkpoint,
    before: _Judge,
    validation: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    threads: int | None,
) -> tuple[float, Checkpoint, _Judge]:
    """Go the largest part of the way from start to end on which no fewer validation images are read rightly."""
    n_before = before.n_right(*validation)
    for part in _PARTS:
        weights = [(1 - part) * a + part * b for a, b in zip(start.weights, end.weights, strict=True)]
        tuned = replace(start, weights=tuple(weight.astype(np.float32) for weight in weights))
        after = _Judge(tuned, threads)
        if after.n_right(*validation) >= n_before:
            break
    return part, tuned, after


def _with_bias(checkpoint: Checkpoint, times: int) -> Checkpoint:
    """Add the calibration's bias of "not a digit" to the weights, or with -1 take it out of them.

    It stands for how rare it is that "not a digit" is right. Among what is replayed that is not rare: a network that
    learned with the bias in its weights would learn it away, and refuse digits.
    """
    try:
        bias = float(checkpoint.metadata.get("bias_of_not_a_digit", 0))
    except ValueError:
        bias = math.nan
    if not abs(bias) <= _LARGEST_BIAS:
        raise RunError('The checkpoint\'s bias of "not a digit" is no number that can be. Start from another one.')
    if bias == 0:
        return checkpoint
    last = checkpoint.weights[-1].copy()
    last[-1] += np.float32(times * bias)
    return replace(checkpoint, weights=(*checkpoint.weights[:-1], last))
