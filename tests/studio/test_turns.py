"""Turns: fair, at most so many at a time, and all cores for who is alone."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import ExitStack

import numpy as np
import pytest

from digitlab.studio import turns as module
from digitlab.studio.trainer import Trainer
from digitlab.studio.turns import Share, Turns
from tests.studio.steered import PATIENCE_S, SMALL, same, trained_alone, wait_for_state


def waiting(turns, n):
    deadline = time.monotonic() + PATIENCE_S
    while len(turns._waiting) < n:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_whoever_has_had_least_is_next():
    turns, served = Turns(1), []
    shares, threads = {}, []

    def train(name):
        with turns.of(shares[name]):
            served.append(name)

    with turns.of(Share()):
        for n, (name, used_s) in enumerate({"c": 30.0, "a": 10.0, "b": 20.0}.items(), start=1):
            shares[name] = Share()
            shares[name].used_s = used_s
            threads.append(threading.Thread(target=train, args=(name,), daemon=True))
            threads[-1].start()
            waiting(turns, n)
    for thread in threads:
        thread.join(PATIENCE_S)
    with turns.of(last := Share()):
        pass
    assert served == ["a", "b", "c"]
    assert last.used_s >= 20.0, "who comes later has saved up nothing"


def test_no_more_turns_at_a_time_than_cores():
    turns, inside, most = Turns(2), [], []

    def train():
        share = Share()
        for _ in range(50):
            with turns.of(share):
                inside.append(share)
                most.append(len(inside))
                inside.remove(share)

    threads = [threading.Thread(target=train) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert max(most) <= 2
    assert turns._n_free == 2


def test_two_who_wait_by_one_share_have_a_turn_each():
    turns, share, inside, most = Turns(1), Share(), [], []

    def train():
        with turns.of(share):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=train, daemon=True) for _ in range(3)]
    with turns.of(Share()):
        for n, thread in enumerate(threads, start=1):
            thread.start()
            waiting(turns, n)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert most == [1, 1, 1]
    assert (turns._n_free, turns._waiting) == (1, [])


def test_all_cores_are_for_who_is_alone(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    turns, first, second = Turns(4), Share(), Share()

    def cores(share):
        with turns.of(share) as n_cores:
            now[0] += 0.01
            return n_cores

    assert [cores(first) for _ in range(3)] == [4, 4, 4]
    assert [cores(second), cores(first), cores(second)] == [1, 1, 1]
    now[0] += 1.0
    assert cores(second) == 4, "the other one pauses"
    turns.leave(second)
    assert cores(first) == 4, "the other one has ended"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells threads apart")
def test_trainings_of_a_class_give_way_to_the_event_loop_and_others_do_not():
    def niceness(turns):
        found = []

        def train():
            turns.enter()
            found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

        thread = threading.Thread(target=train)
        thread.start()
        thread.join(PATIENCE_S)
        return found[0]

    own, turns = niceness(Turns()), Turns()
    turns.gives_way = True
    assert own == os.getpriority(os.PRIO_PROCESS, 0)
    assert niceness(turns) == 5
    assert own == os.getpriority(os.PRIO_PROCESS, 0)


def test_turn_that_fails_is_given_back():
    turns = Turns(1)
    with pytest.raises(ValueError, match="wrong"), turns.of(Share()):
        raise ValueError("wrong")
    with turns.of(Share()) as n_cores:
        assert n_cores == 1


def test_trainings_at_the_same_time_come_to_the_same_weights_as_alone(digits, tmp_path):
    alone = trained_alone(digits)[1]
    turns = Turns(2)
    with ExitStack() as stack:
        trainers = [Trainer(digits, tmp_path / f"{i}", turns=turns) for i in range(4)]
        for trainer in trainers:
            stack.callback(trainer.close)
            trainer.start(SMALL)
        for trainer in trainers:
            wait_for_state(trainer, "finished")
            assert same(trainer.moment().weights, alone)
    assert all(np.isfinite(array).all() for array in alone)
