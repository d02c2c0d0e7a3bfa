"""A cluster: workers of a Dask scheduler, on this machine or on many, that do one thing after the other.

Dask sends Python objects as pickles between client, scheduler and workers: whoever reaches the scheduler's port can run
code on all of them. So a cluster is one's own, in a network of one's own, or has Dask's own security (TLS), which its
configuration turns on. That of ``local`` listens on this machine alone.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from digitlab.errors import ConfigError, DigitlabError

T = TypeVar("T")

_INSTALL = "Install it with: pip install 'digitlab[cluster]', on the workers, too."
_CONNECT_S = 20


class NoSchedulerError(ConfigError):
    """Nobody answers where a scheduler should be."""


class WorkerError(Exception):
    """What was not foreseen on a worker, in words."""


def sendable(call: Callable[..., T], *arguments: Any) -> T:
    """Call something on a worker; what it raises is bare of all that might not be pickled, and would never arrive."""
    try:
        return call(*arguments)
    except DigitlabError as error:
        found: Exception = error.with_traceback(None)
    except Exception as error:
        *_, last = traceback.extract_tb(error.__traceback__)
        found = WorkerError(f"{type(error).__name__}: {error!s:.500} (line {last.lineno} of {last.filename})")
    # Out here, so that it does not carry along what was raised before it.
    found.__cause__ = found.__context__ = None
    raise found


def load_distributed() -> Any:
    """Import Dask's scheduler; ConfigError if it is not there."""
    try:
        import distributed
    except ImportError:
        raise ConfigError(f"Dask, which spreads work over machines, is not installed. {_INSTALL}") from None
    return distributed


@contextmanager
def connected(address: str, workers: int) -> Iterator[Any]:
    """Give a client of a Dask scheduler, such as ``tcp://host:8786``; for ``local``, of one with so many workers here.

    An address that ends in .json is the file that a scheduler writes with ``--scheduler-file``. NoSchedulerError if
    nobody answers.
    """
    distributed = load_distributed()
    if address != "local":
        where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
        try:
            client = distributed.Client(**where, timeout=_CONNECT_S)
        except (OSError, ValueError, TimeoutError) as error:
            raise NoSchedulerError(
                f"There is no Dask scheduler at {address} ({type(error).__name__}). Start one with: dask scheduler, "
                f"and workers with: dask worker {address} --nthreads 1. Or use local for one on this machine."
            ) from None
        with client:
            yield client
        return
    # Workers have a core each: numbers are crunched there, and threads of one process would wait for each other. Dask's
    # pages about itself get any free port, or it complains that another cluster has the usual one.
    quiet = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    with (
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=logging.ERROR,
            scheduler_kwargs=quiet,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
