"""One step of learning, taken apart: a batch's images, every weight's gradient, and what the optimizer makes of it.

The step is taken by the engine itself, from the weights and moments of that moment, in memory of its own: what is shown
is what the training does or did, bit for bit, and the training is not touched. What every image gives to a gradient is
worked out once more in float64, as in ``inside.py``; it adds up to the engine's to float32, and the rest is told.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.program import DROPOUT
from digitlab.engine.cpu.runner import CpuRunner
from digitlab.engine.images import Images
from digitlab.engine.loop import batch_order, step_salt
from digitlab.engine.optimizers import Optimizer
from digitlab.errors import InputError, RunError, did_you_mean
from digitlab.explanation.inside import Floats
from digitlab.explanation.moves import AdamUpdate, SgdUpdate, moved
from digitlab.explanation.shares import BatchWay, Product, Share
from digitlab.network.architecture import Architecture
from digitlab.network.cost import cost_of
from digitlab.network.layers import Dropout, Layer, Shape
from digitlab.runs.listing import find_run
from digitlab.runs.run import Run
from digitlab.training.config import TrainConfig
from digitlab.training.keeping import is_fine_tuned
from digitlab.training.material import Material
from digitlab.training.position import Position, position_of
from digitlab.training.session import TrainingSession
from digitlab.values import StepRecord, Value, usual_names

Float32s = NDArray[np.float32]

#: Beyond so many multiply-adds a batch is not followed image by image: half a minute and more.
MOST_MULTIPLY_ADDS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class WeightStep(Value):
    """The arithmetic behind the change of one weight.

    Attributes
    ----------
    layer, kind, array : str
        The layer's name and class, and "kernel" or "bias".
    index : tuple of int
        Where the weight stands in the array.
    gradient : float
        Of the mean loss, as the engine has it: the sum of the shares and ``rounding``.
    rounding : float
        What float32 leaves over.
    shares : tuple of Share
        Of every image, the largest first.
    n_shares : int
        How many there are, where ``shares`` holds only the first.
    image : int
        The place in the batch of the image whose ``products`` are told.
    products : tuple of Product
        The largest first; they add up to the image's share.
    n_products : int
        How many there are.
    update : AdamUpdate or SgdUpdate
        What the optimizer made of the gradient.
    formula : str
        The same in symbols.
    learning_rate, decay, change : float
        ``change`` is what the optimizer moves and ``decay`` that weight decay takes, together.
    before, after : float
        The weight in the engine: ``before + change`` is ``after`` to within float32.
    """

    layer: str
    kind: str
    array: str
    index: tuple[int, ...]
    gradient: float
    rounding: float
    shares: tuple[Share, ...]
    n_shares: int
    image: int
    products: tuple[Product, ...]
    n_products: int
    update: AdamUpdate | SgdUpdate
    formula: str
    learning_rate: float
    decay: float
    change: float
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class ArrayStep:
    """A layer's kernel or bias in the step: float32 arrays of its shape, as the engine has them.

    ``first_moment`` and ``second_moment`` are Adam's running means of the gradients and of their squares; of SGD the
    first is the velocity, and the second 0.
    """

    before: Float32s
    gradient: Float32s
    first_moment_before: Float32s
    first_moment: Float32s
    second_moment_before: Float32s
    second_moment: Float32s
    after: Float32s

    @property
    def change(self) -> Float32s:
        """How far every weight moved."""
        return self.after - self.before

    def to_dict(self) -> dict[str, Any]:
        """Return all arrays as plain JSON types."""
        return {each.name: getattr(self, each.name).tolist() for each in dataclasses.fields(self)}


@dataclass(frozen=True, eq=False)
class LayerStep:
    """A layer that learns; ``bias`` is None where it has none, ``position`` its place in the network, from 0."""

    layer: Layer
    position: int
    input_shape: Shape
    kernel: ArrayStep
    bias: ArrayStep | None

    def to_dict(self) -> dict[str, Any]:
        """Return name, class and arrays as plain JSON types."""
        arrays = {"kernel": self.kernel} | ({} if self.bias is None else {"bias": self.bias})
        told = {name: array.to_dict() for name, array in arrays.items()}
        return {"name": self.layer.name, "kind": type(self.layer).__name__} | told


@dataclass(frozen=True, eq=False)
class StepApart:
    """One step of a training, made by ``take_step_apart``.

    Attributes
    ----------
    network : Architecture
        What learns.
    step, epoch, batch : int
        The step in the run, its epoch, and its batch of the epoch, from 1.
    optimizer : Adam, AdamW or SGD
        The rule.
    learning_rate : float
        The rate of this step, as the schedule has it.
    images : uint8 0-255 or float32, (n, *input_shape)
        The batch, as the network saw it.
    places : int64 (n,)
        Which of the training images they are, from 0.
    labels : int64 (n,)
        What they show.
    probabilities : float64 (n, n_classes)
        What the network answered before the step, with dropout where it has any.
    losses : float64 (n,)
        The loss of each, in nats.
    loss : float
        Their mean, as the engine has it.
    loss_after : float or None
        The same with the weights after the step; None where it is no number any more.
    layers : tuple of LayerStep
        Those that learn, from the image to the answer.
    class_names : tuple of str
        Names of the classes; the position is the label.
    notes : tuple of str
        Sentences on what is special in this training: dropout, changed images, smoothed labels.
    """

    network: Architecture
    step: int
    epoch: int
    batch: int
    optimizer: Optimizer
    learning_rate: float
    images: NDArray[Any]
    places: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: Floats
    losses: Floats
    loss: float
    loss_after: float | None
    layers: tuple[LayerStep, ...]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    _batch: BatchWay = field(repr=False)

    def layer(self, name: str) -> LayerStep:
        """Return the layer of this name that learns; an InputError names those that there are."""
        for each in self.layers:
            if each.layer.name == name:
                return each
        names = [each.layer.name for each in self.layers]
        raise InputError(f"No layer {name!r} learns here.{did_you_mean(name, names)} There are {', '.join(names)}.")

    def why(self, layer: str, *index: int, image: int | None = None, n_terms: int | None = None) -> WeightStep:
        """Take the change of one weight apart.

        Parameters
        ----------
        layer : str
            The layer's name, as the summary has it.
        *index : int
            Where the weight stands in the layer's kernel: row, column, input channel and filter of a convolution, input
            and unit of a dense layer. One number alone is a bias.
        image : int, optional
            The image, by its place in the batch, whose products are told; by default the one that gives most.
        n_terms : int, optional
            At most so many shares and products; all by default.

        Raises
        ------
        InputError
            If there is no such layer, weight or image.

        Examples
        --------
        >>> import digitlab as dl
        >>> apart = dl.take_step_apart(dl.TrainConfig(train_images=64, batch_size=32), 1)
        >>> why = apart.why("conv2d", 2, 2, 0, 3)
        >>> abs(sum(share.share for share in why.shares) + why.rounding - why.gradient) < 1e-12
        True
        >>> abs(why.before + why.change - why.after) < 1e-7
        True
        """
        found = self.layer(layer)
        array, kind = (found.bias, "bias") if len(index) == 1 else (found.kernel, "kernel")
        shape = () if array is None else array.before.shape
        if len(index) != len(shape) or not all(0 <= at < size for at, size in zip(index, shape, strict=False)):
            raise InputError(
                f"{layer} has no weight at {index}. Its kernel is {' × '.join(map(str, found.kernel.before.shape))}"
                f"{'' if found.bias is None else f', its bias {len(found.bias.before)}'}; places count from 0."
            )
        assert array is not None
        shares = self._batch.shares(found.layer, found.position, index)
        order = np.argsort(-np.abs(shares), kind="stable")
        shown = int(order[0]) if image is None else image
        if not 0 <= shown < len(shares):
            raise InputError(f"The batch has images 0 to {len(shares) - 1:,}; got {image}.")
        products = self._batch.products(found.layer, found.position, index, shown)
        gradient, before = float(array.gradient[index]), float(array.before[index])
        moments = float(array.first_moment_before[index]), float(array.second_moment_before[index])
        update, move, formula = moved(self.optimizer, self.step, self.learning_rate, gradient, moments)
        decay = -self.learning_rate * self.optimizer.weight_decay * before
        return WeightStep(
            layer=layer,
            kind=type(found.layer).__name__,
            array=kind,
            index=tuple(index),
            gradient=gradient,
            rounding=gradient - float(shares.sum()),
            shares=tuple(Share(int(k), float(shares[k])) for k in order[:n_terms]),
            n_shares=len(shares),
            image=shown,
            products=tuple(products[:n_terms]),
            n_products=len(products),
            update=update,
            formula=formula,
            learning_rate=self.learning_rate,
            decay=decay,
            change=move + decay,
            before=before,
            after=float(array.after[index]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the pixels as plain JSON types."""
        answers = self.probabilities.argmax(axis=1)
        return {
            "network": self.network.name,
            "step": self.step,
            "epoch": self.epoch,
            "batch": self.batch,
            "optimizer": {"name": self.optimizer.name} | dataclasses.asdict(self.optimizer),
            "learning_rate": self.learning_rate,
            "loss": self.loss,
            "loss_after": self.loss_after,
            "class_names": list(self.class_names),
            "images": [
                {"image": place, "label": label, "answer": answer, "probability": probability, "loss": loss}
                for place, label, answer, probability, loss in zip(
                    self.places.tolist(),
                    self.labels.tolist(),
                    answers.tolist(),
                    self.probabilities[np.arange(len(answers)), self.labels].tolist(),
                    self.losses.tolist(),
                    strict=True,
                )
            ],
            "layers": [layer.to_dict() for layer in self.layers],
            "notes": list(self.notes),
        }


def take_step_apart(
    source: str | Path | Run | TrainConfig | TrainingSession,
    step: int | None = None,
    *,
    learning_rate: float | None = None,
    out: str | Path = "runs",
) -> StepApart:
    """Take one step of a training apart: its images, gradients, and what the optimizer makes of them.

    Parameters
    ----------
    source : str, Path, Run, TrainConfig or TrainingSession
        A run, by its name in ``out`` or its folder, or settings: it is trained once more up to the step, which takes as
        long as it took then. Or a session that waits between two batches, which is not changed.
    step : int, optional
        The step, from 1; of a session it is the next one, else the first by default.
    learning_rate : float, optional
        Take the step with another rate than it has; the peak, where there is a schedule.
    out : str or Path
        The folder of runs.

    Returns
    -------
    StepApart
        Its ``why`` takes the change of any one weight apart.

    Raises
    ------
    InputError
        If there is no such run or step, or the network answers with maps.
    TrainingDivergedError
        If the step makes the weights no numbers.
    """
    if isinstance(source, TrainingSession):
        session, wanted = source, source.progress.step + 1
        if step not in (None, wanted):
            raise InputError(f"The session's next step is {wanted:,}, and no other can be taken apart; got {step}.")
    else:
        session, wanted = _session_before(source, 1 if step is None else step, out), 1 if step is None else step
    if session.finished or wanted > session.n_steps:
        raise InputError(f"The training ends with step {session.n_steps:,}; there is none after it.")
    position = position_of(session)
    return step_after(session, position if learning_rate is None else with_rate(session, position, learning_rate))


def with_rate(session: TrainingSession, position: Position, learning_rate: float) -> Position:
    """Return a session's position, with another learning rate from there on; ConfigError if there is no such rate."""
    rate = dataclasses.replace(session.config, learning_rate=learning_rate).learning_rate
    progress = dataclasses.replace(position.progress, rates=(*position.progress.rates, (position.progress.step, rate)))
    return dataclasses.replace(position, progress=progress)


def step_after(session: TrainingSession, position: Position) -> StepApart:
    """Take the step apart that a session took, or will take, from a position."""
    material, network = session.material, session.model.architecture
    if not isinstance(material, Material):
        raise _of_crops()
    record, runner = _taken(session, material, position)
    batch = _batch_of(session, material, position, record, runner)
    n_macs = cost_of(network).multiply_adds * len(batch.labels)
    if n_macs > MOST_MULTIPLY_ADDS:
        raise InputError(
            f"The step's {len(batch.labels):,} images take {n_macs / 1e9:,.0f} thousand million multiply-adds in "
            f"{network.name}, too many to follow one by one. Use a smaller batch size."
        )
    probabilities, losses = batch.answers()
    after = runner.state()
    salt = batch.salt if runner.has_dropout else 0
    again = session.config.build_optimizer().step(record.step, record.learning_rate)
    loss_after, _ = runner.train_batch(batch.given, batch.labels, np.arange(len(batch.labels)), again, salt)
    names = session.model.class_names
    return StepApart(
        network=network,
        step=record.step,
        epoch=record.epoch,
        batch=record.batch,
        optimizer=session.config.build_optimizer(),
        learning_rate=record.learning_rate,
        images=batch.given.pixels.reshape(-1, *network.input_shape),
        places=batch.places,
        labels=batch.labels,
        probabilities=probabilities,
        losses=losses,
        loss=record.loss,
        loss_after=loss_after if math.isfinite(loss_after) else None,
        layers=tuple(_layer_steps(network, position, batch.gradients, after)),
        class_names=tuple(names or usual_names(network.n_classes)),
        notes=tuple(_notes(session.config, network)),
        _batch=batch,
    )


def _session_before(source: str | Path | Run | TrainConfig, step: int, out: str | Path) -> TrainingSession:
    """Return a session that has done all steps before one."""
    if type(step) is not int or step < 1:
        raise InputError(f"Steps are whole numbers from 1; got {step!r:.60}.")
    if isinstance(source, TrainConfig):
        if source.loss == "finder":
            raise _of_crops()
        session = TrainingSession(source)
    else:
        run = source if isinstance(source, Run) else find_run(source, out)
        if run.settings().get("loss") == "finder":
            raise _of_crops()
        if is_fine_tuned(run):
            raise RunError(f"{run.name} learned from corrections, whose steps are not kept. Name another run.")
        n_done = sum(isinstance(record, StepRecord) for record in run.history())
        if step > n_done:
            raise InputError(f"{run.name} has {n_done:,} steps; got {step:,}. Name one of them, from 1.")
        session = TrainingSession.repeat(run)
    n_batches = session.n_steps // session.config.epochs
    before = (step - 1, (step - 1) // n_batches)
    with closing(session.records()) as records:
        while (session.progress.step, session.progress.epochs_done) < before:
            if next(records, None) is None:
                raise InputError(f"The training ended after {session.progress.step:,} steps; got {step:,}.")
    return session


def _of_crops() -> InputError:
    return InputError(
        "A finder's step is not taken apart: it learns from crops of pages. Name a training of single digits."
    )


def _taken(session: TrainingSession, material: Material, position: Position) -> tuple[StepRecord, CpuRunner]:
    """Let the engine take the step in memory of its own; return the record, and the runner as it is after it."""
    runner = CpuRunner(session.model.architecture, 1)  # no result depends on the number of threads
    runner.start_training(min(session.config.batch_size, len(material.training)))
    runner.go_back(position.runner)
    records = session.digit_records(material, runner, dataclasses.replace(position.progress))
    for record in records:
        if isinstance(record, StepRecord):
            return record, runner
    raise InputError("The training is over; there is no step after it.")


def _batch_of(
    session: TrainingSession, material: Material, position: Position, record: StepRecord, runner: CpuRunner
) -> BatchWay:
    config, training = session.config, material.training
    order = batch_order(len(training), record.epoch, config.seed, config.shuffle)
    places = order[(record.batch - 1) * config.batch_size : record.batch * config.batch_size]
    seen = training if material.of_epoch is None else material.of_epoch(record.epoch)
    rows = seen.images.pixels[places]
    network, ops = session.model.architecture, runner.program.ops
    return BatchWay(
        network=network,
        weights=_in_layers(position.runner.parameters, network),
        given=Images.from_array(rows, rows.shape[1]),
        places=places,
        labels=seen.labels[places],
        smoothing=config.label_smoothing,
        salt=step_salt(config.seed, record.step - 1),
        dropouts=ops[ops["kind"] == DROPOUT],
        gradients=runner.gradients,
    )


def _in_layers(flat: Float32s, network: Architecture) -> list[Float32s]:
    """Return a row of all parameters as arrays in Keras' order and layout."""
    shapes = network.weight_shapes
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]


def _layer_steps(network: Architecture, position: Position, gradients: Float32s, after: Any) -> Iterator[LayerStep]:
    before = position.runner
    kinds = (
        before.parameters,
        gradients,
        before.first_moment,
        after.first_moment,
        before.second_moment,
        after.second_moment,
        after.parameters,
    )
    arrays = [ArrayStep(*each) for each in zip(*(_in_layers(flat, network) for flat in kinds), strict=True)]
    for place, (layer, shape) in enumerate(zip(network.layers, network.input_shapes, strict=True)):
        own = [arrays.pop(0) for _ in layer.weight_shapes(shape)]
        if own:
            yield LayerStep(layer, place, shape, own[0], own[1] if len(own) > 1 else None)


def _notes(config: TrainConfig, network: Architecture) -> Iterator[str]:
    if any(isinstance(layer, Dropout) for layer in network.layers):
        yield (
            "Dropout left out the same values in all that is shown here, the loss after the step included; what the "
            "network answers without it is another number."
        )
    if config.augmentation != "none":
        yield "The images are shown as this epoch changed them."
    if config.label_smoothing:
        yield (
            f"The gradients follow labels of which a part of {config.label_smoothing:g} is spread over all classes; "
            "the losses are told without that."
        )
