"""Trainer: the one training of this process, which any number of pages watch and steer."""

from __future__ import annotations

import dataclasses
import math
import threading
from pathlib import Path

from digitlab.data.mnist import MnistData
from digitlab.errors import ConfigError, RunError
from digitlab.network.architecture import Architecture
from digitlab.runs.run import Run
from digitlab.studio.job import Job
from digitlab.studio.recording import Recording
from digitlab.studio.starting import new_session
from digitlab.studio.watching import Moment, Watched
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession

__all__ = ["Moment", "Trainer"]


class Trainer(Watched):
    """Trains one run at a time in a thread, and lets others look.

    All methods may be called from any thread. They return at once, but for ``start``, ``resume_run`` and ``reset``,
    which take some milliseconds, and ``close``.

    Parameters
    ----------
    data : MnistData
        What every run learns from.
    out : Path or None
        The folder of runs; None to write nothing.
    memory_budget_bytes : int
        For the recording of the weights.
    data_folder : str, optional
        Where the data comes from if it is not the packaged one: what the runs' settings say.
    """

    def __init__(
        self,
        data: MnistData,
        out: Path | None,
        memory_budget_bytes: int = 256 * 2**20,
        *,
        data_folder: str | None = None,
    ) -> None:
        config, changed = _fitting(TrainConfig(data=data_folder), data), threading.Condition()
        super().__init__(Job(TrainingSession(config, data), config, Recording(memory_budget_bytes), changed), changed)
        self.data = data
        self._out, self._data_folder, self._budget_bytes = out, data_folder, memory_budget_bytes
        # Held while a session is opened, which takes too long for those who only look.
        self._beginning = threading.RLock()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    @property
    def out(self) -> Path | None:
        """The folder of runs; None where nothing is written."""
        return self._out

    def _next_job(self, session: TrainingSession, config: TrainConfig, owner: str = "") -> Job:
        return Job(
            session,
            config,
            Recording(self._budget_bytes),
            self._changed,
            generation=self.generation + 1,
            owner=owner,
            speed=self.speed,
        )

    def start(
        self,
        config: TrainConfig,
        architecture: Architecture | None = None,
        *,
        owner: str = "",
        paused: bool = False,
    ) -> None:
        """Start a training, in a run of its own.

        Parameters
        ----------
        config : TrainConfig
            Its ``data`` is not looked at: the data is the trainer's.
        architecture : Architecture, optional
            The network, instead of the one that ``config.network`` names.
        owner : str
            Who starts it.
        paused : bool
            Wait before the first batch.

        Raises
        ------
        ConfigError, NetworkError, DataError
            If something cannot be used.
        RunError
            If a training is under way.
        StorageError
            If the run directory cannot be made.
        """
        own = dataclasses.replace(config, data=self._data_folder)
        with self._beginning:
            self._check_free(owner)
            session = new_session(own, architecture, self.data, self._out)
            self._launch(self._next_job(session, own, owner), paused=paused)

    def resume_run(self, run: Run, *, owner: str = "", paused: bool = False) -> None:
        """Go on with a run that was interrupted, here or elsewhere; its recording begins where it was interrupted.

        Raises
        ------
        RunError
            If a training is under way, or the run cannot be gone on with.
        """
        with self._beginning:
            self._check_free(owner)
            session = TrainingSession.resume(run, self.data)
            job = self._next_job(session, session.config, owner)
            job.records += run.history()[: session.progress.step + session.progress.epochs_done]
            self._launch(job, paused=paused)

    def _check_free(self, owner: str) -> None:
        if self._is_closed:
            raise RunError("The Studio is being closed; start it again with: digitlab studio")
        if self._job.is_active and not self._job.is_stopping:
            if owner and owner == self.owner:
                raise RunError("Your training is under way; stop it before you start another.")
            raise RunError("Somebody else is training here. Watch it, and start yours when it is finished.")

    def _launch(self, job: Job, *, paused: bool) -> None:
        with self._changed:
            self._replace(job)
            self._begin(job, paused=paused)

    def _replace(self, job: Job) -> None:
        self._n_records_before += len(self._job.records)
        self._job.stop()
        self._job = job
        self._changed.notify_all()

    def _begin(self, job: Job, *, paused: bool = False) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(job.begin(paused=paused))

    def pause(self) -> None:
        """Wait before the next batch."""
        with self._changed:
            self._job.limit(0)

    def resume(self) -> None:
        """Go on after a pause or a stop.

        Raises
        ------
        RunError
            If the run cannot be gone on with.
        """
        with self._beginning, self._changed:
            job, run = self._job, self.run
            if job.state == "stopped":
                self._check_free(job.owner)
                self._begin(job)
            elif job.state == "failed" and run is not None:
                self.resume_run(run, owner=job.owner)
            else:
                job.limit(None)

    def step(self) -> None:
        """Train one batch, and the validation after it if it ends an epoch; then pause."""
        with self._changed:
            self._job.limit(1)

    def stop(self) -> None:
        """End at the next batch boundary; the run is kept, and can be gone on with."""
        with self._changed:
            self._job.stop()

    def reset(self) -> None:
        """Go back to the untrained network of the same settings; the run directory stays."""
        with self._beginning:
            session = TrainingSession(self.config, self.data, architecture=self.architecture)
            job = self._next_job(session, self.config)
            with self._changed:
                self._replace(job)

    def set_speed(self, batches_per_s: float | None) -> None:
        """Train so many batches a second, at most; None for full speed.

        Raises
        ------
        ConfigError
            If it is not a number above 0.
        """
        if batches_per_s is not None and not 0.0 < batches_per_s < math.inf:
            raise ConfigError(f"The speed must be a number of batches a second above 0; got {batches_per_s}.")
        with self._changed:
            self._job.set_speed(batches_per_s)

    def set_learning_rate(self, rate: float) -> None:
        """Change the rate (its peak, where there is a schedule) from the next batch on.

        Raises
        ------
        ConfigError
            If it is no learning rate.
        RunError
            If nothing is being trained.
        """
        with self._changed:
            self._job.set_learning_rate(rate)

    def close(self) -> None:
        """Stop, save and wait for that; nothing can be started any more."""
        with self._beginning, self._changed:
            self._is_closed = True
            self._job.stop()
            threads = self._threads
        for thread in threads:
            thread.join()


def _fitting(config: TrainConfig, data: MnistData) -> TrainConfig:
    """Return the settings for as many images as there are."""
    n_training, n_validation = len(data.training), len(data.validation)
    return dataclasses.replace(
        config,
        train_images=min(config.train_images, n_training),
        validation_images=min(config.validation_images, n_validation),
    )
