"""Threads that share the tasks of a phase: every task is done once, whoever comes, and nobody depends on a helper."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from digitlab.engine.cpu import team
from digitlab.engine.cpu.compiled import entry_point
from digitlab.engine.cpu.team import Team


@entry_point
def count(worker, patience, board, n_tasks, n_phases, done, by):
    """Count which task was done how often, and by whom."""
    n_rounds = 0
    if worker == 0:
        team.open_phase(board, n_tasks)
    while True:
        ticket = team.claim(board)
        if ticket >= 0:
            done[(ticket >> 32) - 1, team.task_of(ticket)] += 1
            by[worker] += 1
            n_rounds = 0
            team.finish(board)
        elif worker == 0 and team.is_finished(board):
            if team.phase_of(board) == n_phases:
                return
            team.open_phase(board, n_tasks)
        else:
            n_rounds += 1
            if worker > 0 and n_rounds > patience:
                return
            team.rest(n_rounds)


@pytest.mark.parametrize("n_helpers", [0, 1, 3])
def test_every_task_of_every_phase_is_done_once(n_helpers: int) -> None:
    n_tasks, n_phases = 7, 2_000
    board, done, by = team.new_board(), np.zeros((n_phases, n_tasks), np.int64), np.zeros(4, np.int64)
    helpers = [
        threading.Thread(target=count, args=(1 + k, 10_000, board, n_tasks, n_phases, done, by))
        for k in range(n_helpers)
    ]
    for helper in helpers:
        helper.start()
    count(0, 0, board, n_tasks, n_phases, done, by)
    for helper in helpers:
        helper.join()
    assert (done == 1).all()
    assert by.sum() == n_tasks * n_phases


def test_as_many_tasks_as_there_may_be() -> None:
    n = team.MOST_TASKS
    done, by = np.zeros((1, n), np.int64), np.zeros(1, np.int64)
    count(0, 0, team.new_board(), n, 1, done, by)
    assert (done == 1).all()


def test_helper_that_finds_nothing_returns() -> None:
    count(1, 100, team.new_board(), 1, 1, np.zeros((1, 1), np.int64), np.zeros(2, np.int64))


def test_team_calls_everybody_and_needs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    crew, material = Team(3), object()
    crew.work(lambda worker, patience, board: called.append(worker), material)
    deadline = time.monotonic() + 60
    while len(called) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert sorted(called) == [0, 1, 2]

    class Never:
        def done(self) -> bool:
            return False

    monkeypatch.setattr(team, "submit", lambda *_: Never())
    called.clear()
    boards = []
    for _ in range(2):
        crew.work(lambda worker, patience, board: boards.append(board), object())
    assert called == []
    assert boards[0] is not boards[1]  # other arrays, another board: no helper of before finds work on it


def test_dismissed_helpers_do_not_come_back() -> None:
    crew, boards = Team(2), []
    crew.work(lambda worker, patience, board: boards.append(board), "arrays")
    crew.dismiss()
    assert boards[0][32] == 1
    crew.work(lambda worker, patience, board: boards.append(board), "arrays")
    assert boards[-1] is not boards[0]
    assert boards[-1][32] == 0
