"""Sharing tasks among threads: each exactly once, none left running, whatever happens."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from digitlab.engine.cpu import threads
from digitlab.engine.cpu.threads import available_threads, share


@pytest.mark.parametrize("n_workers", [1, 2, 3, 8])
@pytest.mark.parametrize("n_tasks", [0, 1, 2, 7, 200])
def test_every_task_is_done_exactly_once(n_tasks: int, n_workers: int) -> None:
    done: list[int] = []
    share(lambda worker, i: done.append(i), n_tasks, n_workers)
    assert sorted(done) == list(range(n_tasks))


def test_worker_numbers_are_below_the_number_of_workers_and_never_shared() -> None:
    busy: set[int] = set()
    seen: set[int] = set()

    def task(worker: int, i: int) -> None:
        assert worker not in busy
        busy.add(worker)
        seen.add(worker)
        busy.remove(worker)

    for _ in range(20):
        share(task, 50, 3)
    assert seen <= {0, 1, 2}


def test_the_calling_thread_is_worker_0() -> None:
    callers: set[int] = set()
    share(lambda worker, i: callers.add(threading.get_ident()) if worker == 0 else None, 20, 4)
    assert callers <= {threading.get_ident()}


def test_a_single_worker_needs_no_other_thread() -> None:
    callers: list[int] = []
    share(lambda worker, i: callers.append(threading.get_ident()), 5, 1)
    assert callers == [threading.get_ident()] * 5


def test_an_error_of_the_calling_thread_is_raised_and_stops_the_others() -> None:
    here, done = threading.get_ident(), []
    calling = threading.Event()

    def task(worker: int, i: int) -> None:
        if threading.get_ident() == here:
            calling.set()
            raise ValueError("task failed")
        calling.wait(60)
        done.append(i)

    with pytest.raises(ValueError, match="task failed"):
        share(task, 1_000_000, 2)
    n_done = len(done)
    share(lambda worker, i: None, 10, 2)
    # Nothing was left to run on behind the caller's back.
    assert len(done) == n_done < 1_000_000


def test_an_error_of_another_thread_is_raised_in_the_caller() -> None:
    here, failed = threading.get_ident(), threading.Event()

    def task(worker: int, i: int) -> None:
        if threading.get_ident() != here:
            failed.set()
            raise ValueError("task failed")
        # Wait for the other thread to take a task, whichever came first.
        failed.wait(60)

    with pytest.raises(ValueError, match="task failed"):
        share(task, 2, 2)


def test_tasks_can_share_tasks_of_their_own() -> None:
    # All threads of the pool wait for inner tasks here, which must not need one of them.
    done: list[int] = []
    share(lambda worker, i: share(lambda w, k: done.append(10 * i + k), 10, 4), 10, 4)
    assert sorted(done) == list(range(100))


def test_a_process_may_use_at_least_one_core() -> None:
    assert 1 <= available_threads() <= (os.cpu_count() or 1)


def test_without_an_affinity_mask_all_cores_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert available_threads() == os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes can be forked")
# Newer Pythons warn of what is the point here: that the other threads do not come along.
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_a_forked_child_does_not_wait_for_threads_that_stayed_behind() -> None:
    share(lambda worker, i: None, 100, 8)  # the pool has its threads now
    assert threads._pool.cache_info().currsize == 1
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends the child, whatever it waits for
        done: list[int] = []
        share(lambda worker, i: done.append(i), 100, 8)
        os._exit(0 if len(done) == 100 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
