"""A training session: a config, data and a model, and a generator of records that ties them together.

Whoever iterates over ``records`` sets the pace: the terminal prints them, the page streams and pauses them. When the
iteration ends early, at whatever batch, the state is saved and ``resume`` goes on bit for bit, on
processors with the same vector instructions.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab.data.mnist import MnistData
from digitlab.engine.loop import Progress, steps
from digitlab.engine.optimizers import scheduled_rate
from digitlab.engine.sequential import Sequential
from digitlab.engine.xla.devices import of_first_host
from digitlab.errors import ConfigError, InputError, RunError, TrainingDivergedError
from digitlab.network.architecture import Architecture
from digitlab.network.checkpoint import Checkpoint
from digitlab.runs.history import MOST_CHANGES
from digitlab.runs.listing import check_name, find_run, list_runs, new_run, run_in
from digitlab.runs.run import CONFIG, HISTORY, STATE, Run, RunLock
from digitlab.runs.steering import rates_set
from digitlab.text import listed
from digitlab.training.calibration import Calibration, calibrate
from digitlab.training.config import ELSEWHERE, TrainConfig, command_for, takes_test_images
from digitlab.training.finder_training import practice_steps
from digitlab.training.keeping import BestWeights, Keeper, kept, pack_state, unpack_state
from digitlab.training.material import Material, Practice, class_names_for, fitted, gather_material, network_for
from digitlab.values import EpochRecord, StepRecord

# Half of what a history may hold; the other half is for where it was stopped and gone on with.
_MOST_RATES = MOST_CHANGES // 2

if TYPE_CHECKING:
    from digitlab.engine.cpu.runner import CpuRunner
    from digitlab.engine.xla.runner import XlaRunner


class TrainingSession:
    """One training run, from the first batch or from where it stopped.

    By default ``data`` is what ``config.data`` says, and ``architecture`` the network that ``config.network`` names,
    with as many outputs as the data has classes; nothing is written without a ``run``. InputError if the network or the
    data cannot be used.

    Attributes
    ----------
    config : TrainConfig
        The settings, for as many images as there are.
    notes : tuple of str
        Sentences on what that changed; what was made of the data stands in ``data.notes``.
    model : Sequential
        Its weights change while the records are iterated.
    n_steps : int
        Optimizer steps of the whole run.
    progress : Progress
        How far it is.
    finished, stopped_early, diverged : bool
        Whether all epochs are done, or early stopping ended it; whether that was it; whether the loss became NaN.
    stops_at : tuple of int, or None
        Steps and epochs after which whoever iterates stops, to repeat a run that was stopped there; see ``is_there``.

    Examples
    --------
    >>> session = TrainingSession(TrainConfig(network="dense_baseline", train_images=100, batch_size=40, epochs=2))
    >>> session.n_steps
    6
    >>> [record.step for record in session.records() if isinstance(record, EpochRecord)]
    [3, 6]
    """

    def __init__(
        self,
        config: TrainConfig,
        data: MnistData | None = None,
        run: Run | None = None,
        architecture: Architecture | None = None,
    ) -> None:
        self.run = run
        self.data = MnistData.load(config.data, seed=config.seed) if data is None else data
        self.config, self.notes = fitted(config, self.data)
        config = self.config
        network = network_for(config, self.data) if architecture is None else architecture
        self.model = Sequential.from_architecture(
            network, seed=config.seed, threads=config.threads, class_names=class_names_for(network, self.data)
        )
        where = self.model.use_device(config.device, config.precision) if config.device != "cpu" else ""
        self.notes = (*self.notes, *([where] if where else []))
        self.is_finder = config.loss == "finder"
        if self.is_finder != network.answers_maps:
            raise ConfigError(_wrong_loss(network.name, self.is_finder))
        self.material = gather_material(config, self.data, network)
        self.training, self.validation = self.material.training, self.material.validation
        self.runner = self.model.maps_runner if self.is_finder else self.model.runner
        self.n_steps = config.epochs * -(-len(self.training) // config.batch_size)
        self.progress = Progress()
        self.finished = self.stopped_early = self.diverged = False
        self.best: BestWeights | None = None
        self.calibration: Calibration | None = None
        # Held from here on where the run is a new or a resumed one, so that nobody else begins with it meanwhile.
        self.lock: RunLock | None = None
        self.has_state = False
        #: What writes the run's files while the records are iterated.
        self.keeper: Keeper | None = None
        self.stops_at: tuple[int, int] | None = None
        if self.is_finder:
            self.model.maps_runner.start_training()
        else:
            self.model.runner.start_training(min(config.batch_size, len(self.training)))

    @classmethod
    def resume(
        cls, run: Run, data: MnistData | None = None, elsewhere: Mapping[str, Any] = MappingProxyType({})
    ) -> TrainingSession:
        """Go on with a run that was interrupted; ``elsewhere`` is another device or precision to go on with.

        RunError if the run is complete or damaged, another session has it, or the data is not what it began with.
        """
        lock = run.lock()
        try:
            description, state = run.read_json(CONFIG), run.load_state()
            session = cls._as_it_began(run, description, data, state.architecture, elsewhere)
            session.run = run
            session.restore(state)
        except BaseException:
            lock.release()
            raise
        session.lock = lock
        return session

    @classmethod
    def alongside(
        cls, run: Run, data: MnistData | None = None, elsewhere: Mapping[str, Any] = MappingProxyType({})
    ) -> TrainingSession:
        """Train along with another process that goes on with a run, from the same state; nothing is written."""
        session = cls._as_it_began(run, run.read_json(CONFIG), data, None, elsewhere)
        session.restore(run.load_state())
        return session

    @classmethod
    def repeat(
        cls, run: Run, data: MnistData | None = None, settings: Mapping[str, Any] | None = None
    ) -> TrainingSession:
        """Begin a run anew, to come to the same weights, bit for bit; or with other ``settings``, to compare with it.

        Learning rates that were set on the way are set at the same batches again. Of a run that was stopped,
        ``stops_at`` says where. It is kept nowhere until it is given a ``run``. RunError if the run is damaged, or the
        data is not what it began with. ConfigError if the settings cannot be used.
        """
        session, where = cls._as_it_began(run, run.read_json(CONFIG), data, settings=settings or {}), HISTORY
        try:
            if run.has(STATE):
                where, numbers = STATE, json.loads(run.load_state().metadata["progress"])
                session.stops_at, rates = (numbers["step"], numbers["epochs_done"]), numbers["rates"]
            else:
                steps = [record for record in run.history() if isinstance(record, StepRecord)]
                changes = rates_set(run.settings(), steps, run.steering())
                rates = [(change.step, change.learning_rate) for change in changes]
            last = max((since for since, _ in rates), default=0)
            if not settings or last < session.n_steps:
                session._follow(rates)
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise RunError(f"{run.path / where} is damaged ({error}), so that it cannot be repeated.") from None
        if settings:
            session._fit(run, last)
        return session

    @classmethod
    def _as_it_began(
        cls,
        run: Run,
        description: dict[str, Any],
        data: MnistData | None,
        network: Architecture | None = None,
        settings: Mapping[str, Any] = MappingProxyType({}),
    ) -> TrainingSession:
        """Return a session with a run's settings but for those given, network and data, and nothing done yet."""
        try:
            config = TrainConfig.from_dict(description["config"])
            digest = description["data"]["digest"]
            nondigits = description.get("nondigits", {}).get("digest")
            network = Architecture.from_dict(description["network"]) if network is None else network
        except (KeyError, TypeError, AttributeError, InputError) as error:
            raise RunError(f"{run.path / CONFIG} is damaged ({error}); train the run again with --force.") from None
        if settings:
            config = TrainConfig.from_dict(config.to_dict() | dict(settings))
            # Without another network or other data, it is the run's own, whatever its file holds by now.
            network = None if {"network", "data"} & settings.keys() else network
        session = cls(config, data, architecture=network)
        if digest != session.data.digest and "data" not in settings:
            raise RunError(
                f"The data in {session.data.source} is not what the run {run.path} began with. Bring that data "
                f"back, or start a new run."
            )
        is_same = not settings.keys() - set(ELSEWHERE)
        if nondigits != (session.material.nondigits or {}).get("digest") and is_same:
            raise RunError(
                f"This machine makes other images that are no digit than those that the run {run.path} began with: "
                f"it has other fonts. Go on where it began, or start a new run."
            )
        return session

    def _fit(self, run: Run, last: int) -> None:
        """See that what was done to a run, the last of it after so many batches, can be done with other settings."""
        if last >= self.n_steps:
            raise ConfigError(
                f"The run {run.path} had its learning rate set at batch {last + 1:,}, and with these settings there "
                f"are {self.n_steps:,} batches. Choose settings with as many, such as more epochs."
            )
        if self.stops_at is not None:
            step = min(self.stops_at[0], self.n_steps)
            self.stops_at = (step, step // (self.n_steps // self.config.epochs))

    def _follow(self, rates: Sequence[tuple[int, float]]) -> None:
        """Set learning rates at the steps at which they were set before; ValueError, TypeError if they cannot be."""
        for since, rate in rates:
            dataclasses.replace(self.config, learning_rate=rate)
            if not 0 <= since <= self.n_steps:
                raise ValueError(f"a learning rate was set at step {since}")
        self.progress.rates = rates

    def restore(self, state: Checkpoint) -> None:
        """Go back, or on, to a state of this run; RunError if it is damaged."""
        try:
            self.progress, self.best = unpack_state(
                state, self.model, self.runner, len(self.training), self.config.batch_size
            )
            if self.progress.step > self.n_steps:
                raise ValueError(f"step {self.progress.step} is beyond the last, {self.n_steps}")
            self._follow(self.progress.rates)
        except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
            where = self.run and self.run.path / STATE
            raise RunError(f"{where} is damaged ({error}); train the run again with --force.") from None
        self.has_state = True

    @property
    def takes_test_images(self) -> bool:
        """Whether the set's test images can judge the model."""
        return takes_test_images(self.config)

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the lowest validation loss so far."""
        return None if self.best is None else self.best.epoch

    @property
    def is_there(self) -> bool:
        """Whether it has come to where the run that it repeats was stopped."""
        return self.stops_at == (self.progress.step, self.progress.epochs_done)

    @property
    def learning_rate(self) -> float:
        """The rate of the next batch, or its peak where there is a schedule."""
        return self._peak(self.progress.step, self.progress)

    def checked_rate(self, rate: float) -> float:
        """Return a learning rate that can be set now; ConfigError if it cannot."""
        if len(self.progress.rates) >= _MOST_RATES:
            raise ConfigError(
                f"The learning rate was set {_MOST_RATES:,} times in this training, and a run keeps no more. Go on "
                f"with {self.learning_rate:g}, or start another training."
            )
        return dataclasses.replace(self.config, learning_rate=rate).learning_rate

    def set_learning_rate(self, rate: float) -> None:
        """Use another learning rate (its peak, where there is a schedule) from the next batch on.

        It is part of the saved state, so that a resumed run goes on with it. In a repetition it takes the place of all
        that would be set later.
        """
        checked = self.checked_rate(rate)
        self.progress.rates = [(since, before) for since, before in self.progress.rates if since < self.progress.step]
        if checked != self.learning_rate:
            self.progress.rates = (*self.progress.rates, (self.progress.step, checked))

    def _peak(self, step: int, progress: Progress) -> float:
        rate = progress.rate_set(step)
        return self.config.learning_rate if rate is None else rate

    def describe(self) -> dict[str, Any]:
        """Return what ``config.json`` holds: all that repeating the run needs."""
        return {
            "config": self.config.to_dict(),
            "network": self.model.architecture.to_dict(),
            "data": {
                "source": self.data.source,
                "digest": self.data.digest,
                **({"notes": list(self.data.notes)} if self.data.notes else {}),
            },
            **({"nondigits": self.material.nondigits} if self.material.nondigits else {}),
            "command": command_for(self.config),
        }

    def records(self) -> Generator[StepRecord | EpochRecord, None, None]:
        """Train, and yield every batch's and epoch's record.

        Close the generator, or stop iterating, to interrupt the run; it may be iterated in any thread.
        TrainingDivergedError if the loss becomes NaN or infinite: the last good weights are the model's, and are saved.
        RunError if another session trains this run, or it holds another training already. StorageError if the run
        directory cannot be written; what it held is untouched.
        """
        return self.train() if self.run is None else kept(self, self.run)

    def train(self) -> Generator[StepRecord | EpochRecord, None, None]:
        """Train as ``records`` does, and write nothing."""
        try:
            if not self._waited_enough():
                yield from self._epochs()
            self.finished = True
            self.stopped_early = self.progress.step < self.n_steps
            self._choose_weights()
            self._calibrate()
        except TrainingDivergedError:
            self.diverged = True
            self._choose_weights()
            raise
        finally:
            self.runner.seal()

    def _epochs(self) -> Generator[StepRecord | EpochRecord, None, None]:
        for record in self._records():
            if isinstance(record, EpochRecord):
                self._compare(record)
            yield record
            if isinstance(record, EpochRecord) and self._waited_enough():
                return

    def _records(self) -> Iterator[StepRecord | EpochRecord]:
        if isinstance(self.material, Practice):
            rate = self._rates(self.progress)
            return practice_steps(self.model.maps_runner, self.material, self.config, rate, self.progress)
        return self.digit_records(self.material, self.model.runner, self.progress)

    def _rates(self, progress: Progress) -> Callable[[int], float]:
        def rate(step: int) -> float:
            return scheduled_rate(self.config.schedule, self._peak(step, progress), step, self.n_steps)

        return rate

    def digit_records(
        self, material: Material, runner: CpuRunner | XlaRunner, progress: Progress
    ) -> Iterator[StepRecord | EpochRecord]:
        """Train a runner as this session's is trained, from where ``progress`` and the runner are."""
        config = self.config
        return steps(
            runner,
            material.training,
            batch_size=config.batch_size,
            epochs=config.epochs,
            optimizer=config.build_optimizer(),
            learning_rate=self._rates(progress),
            shuffle=config.shuffle,
            seed=config.seed,
            label_smoothing=config.label_smoothing,
            validation=material.validation,
            progress=progress,
            of_epoch=material.of_epoch,
        )

    def _compare(self, record: EpochRecord) -> None:
        if record.val_loss is None:
            return
        loss = of_first_host(record.val_loss)  # which is why all hosts stop early, or none
        if self.best is None or loss < self.best.val_loss:
            self.best = BestWeights(record.epoch, loss, self.runner.parameters)

    def _waited_enough(self) -> bool:
        # Asked before an epoch too: a run may have been interrupted at the record that would have ended it.
        patience = self.config.early_stopping
        return 0 < patience <= self.progress.epochs_done - (self.best_epoch or self.progress.epochs_done)

    def _choose_weights(self) -> None:
        if self.config.best_weights and self.best is not None:
            self.runner.parameters = self.best.weights

    def _calibrate(self) -> None:
        if isinstance(self.material, Material) and self.config.not_a_digit and self.material.validation is not None:
            # By the set's own digits, which come first: not by what was drawn or made.
            n = self.config.validation_images
            probabilities = self.model.runner.predict(self.material.validation.images)[:n]
            self.calibration = calibrate(probabilities, self.material.validation.labels[:n])
            weights = self.model.get_weights()
            weights[-1][-1] += np.float32(self.calibration.bias)
            self.model.set_weights(weights)

    def model_checkpoint(self) -> Checkpoint:
        """Return the model as it is kept."""
        epoch = self.best_epoch if self.config.best_weights else None
        metadata = self._metadata() | {"epoch": str(epoch or self.progress.epochs_done)}
        if epoch is not None:
            metadata["step"] = str(epoch * (self.n_steps // self.config.epochs))
        if self.calibration is not None:
            metadata |= self.calibration.to_metadata()
        return Checkpoint(self.model.architecture, tuple(self.model.get_weights()), self.model.class_names, metadata)

    def state_checkpoint(self) -> Checkpoint:
        """Return what resuming from here needs."""
        return pack_state(self.model, self.runner, self.progress, self.best, self._metadata())

    def _metadata(self) -> dict[str, str]:
        return {"data": self.data.source, "data_digest": self.data.digest, "step": str(self.progress.step)}


def open_session(
    config: TrainConfig | None = None,
    out: str | Path | None = "runs",
    *,
    name: str | None = None,
    force: bool = False,
    resume: bool = False,
    repeat: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    is_first: bool = True,
) -> TrainingSession:
    """Open a session without training yet; iterate over its ``records`` to train.

    Parameters are those of ``digitlab.train``; ``out`` may be None for a session that writes nothing, and ``settings``
    are others than those of the run that is repeated, or another device for the one that is resumed. Of several
    processes that train together all but the first one write nothing either (``is_first``). One that repeats a run that
    was stopped says by ``is_there`` where to stop; a network that learned from corrections has no session.
    """
    if repeat is not None:
        check_alone(config, resume=resume)
    if resume:
        folder = Path("runs" if out is None else out)
        interrupted = run_in(folder, name) if name is not None else _newest_interrupted(folder)
        opened = TrainingSession.resume if is_first else TrainingSession.alongside
        return opened(interrupted, elsewhere=settings or {})
    if name is not None:
        check_name(name)
    # The directory is made last, so that nothing is left behind, or replaced, if something cannot be used.
    if repeat is not None:
        session = TrainingSession.repeat(find_run(repeat, "runs" if out is None else out), settings=settings)
    else:
        session = TrainingSession(config or TrainConfig())
    if out is not None and is_first:
        session.run = new_run(out, session.config.network, session.config.seed, name=name, force=force)
        session.lock = session.run.lock()
    return session


def check_alone(config: TrainConfig | None, *, resume: bool) -> None:
    """Refuse a whole config beside a run that is repeated."""
    if config is not None or resume:
        raise ConfigError(
            "A run is repeated from the beginning and with its own settings, but for those that are given by name; "
            "leave out config and resume."
        )


def check_unchanged(run: Run, settings: Mapping[str, Any]) -> None:
    """Refuse other settings for a run that learned from corrections."""
    if settings:
        raise ConfigError(
            f"The run {run.path} learned from corrections, and is repeated as it was; leave out "
            f"{listed(list(settings))}."
        )


def _newest_interrupted(out: Path) -> Run:
    names = [info.name for info in list_runs(out) if info.status == "interrupted"]
    if not names:
        raise RunError(
            f"There is no interrupted run in {out} to go on with. See what there is with: digitlab runs --out {out}"
        )
    return run_in(out, names[-1])


def _wrong_loss(network: str, is_finder: bool) -> str:
    if is_finder:
        return (
            f"The finder's loss needs a network that answers with maps, as finder_cnn does; {network} answers one "
            f"digit. Set network to finder_cnn, or loss to cross_entropy."
        )
    return f"{network} answers with maps and needs the finder's loss: set loss to finder, or use --preset finder."
