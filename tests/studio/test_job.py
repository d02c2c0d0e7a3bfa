"""The recording: which snapshots are kept, and how much memory they take."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitlab.studio.job import Recording

N_FLOATS = 4
SNAPSHOT_BYTES = 4 * N_FLOATS


def snapshot(step):
    return np.full(N_FLOATS, step, np.float32)


def recorded(n_steps, room, epoch_batches=None):
    recording = Recording(room * SNAPSHOT_BYTES)
    for step in range(n_steps + 1):
        recording.add(step, snapshot(step))
        if epoch_batches and step and step % epoch_batches == 0:
            recording.end_epoch(step // epoch_batches)
    return recording


def test_every_step_is_kept_while_there_is_room():
    recording = recorded(9, room=10)
    assert recording.steps() == list(range(10))
    assert recording.n_bytes == 10 * SNAPSHOT_BYTES


def test_beyond_its_room_every_second_then_every_fourth_step_is_kept_and_the_newest():
    assert recorded(10, room=10).steps() == [0, 2, 4, 6, 8, 10]
    assert recorded(11, room=10).steps() == [0, 2, 4, 6, 8, 10, 11]
    assert recorded(20, room=10).steps() == [0, 4, 8, 12, 16, 20]


def test_the_ends_of_epochs_are_kept_when_the_steps_between_are_thinned():
    steps = recorded(55, room=12, epoch_batches=11).steps()
    assert set(steps) >= {0, 11, 22, 33, 44, 55}
    assert len(steps) <= 12


def test_epochs_are_thinned_when_their_ends_alone_are_too_many():
    steps = recorded(110, room=6, epoch_batches=11).steps()
    assert steps == [0, 22, 44, 66, 88, 110]


def test_the_first_and_the_newest_are_kept_even_where_they_do_not_fit():
    recording = recorded(7, room=1)
    assert recording.steps() == [0, 7]


def test_the_nearest_snapshot_at_or_before_a_step_is_found():
    recording = recorded(20, room=10)
    for asked, found in ((0, 0), (3, 0), (4, 4), (19, 16), (20, 20), (999, 20), (-5, 0), (None, 20)):
        step, weights = recording.at(asked)
        assert step == found
        assert np.array_equal(weights, snapshot(found))


def test_a_recording_may_begin_in_the_middle_of_a_run():
    recording = Recording(10 * SNAPSHOT_BYTES)
    for step in (37, 38, 39):
        recording.add(step, snapshot(step))
    assert recording.at(0)[0] == 37
    assert recording.steps() == [37, 38, 39]


def test_snapshots_are_kept_as_they_are_given_and_are_not_copied():
    recording = Recording(100 * SNAPSHOT_BYTES)
    weights = np.array([1e-38, np.pi, -0.0, 3e38], np.float32)
    recording.add(0, weights)
    assert recording.at(0)[1] is weights


def test_steps_come_in_order():
    recording = recorded(3, room=10)
    with pytest.raises(ValueError, match="Step 3 does not come after step 3"):
        recording.add(3, snapshot(3))


def test_who_gets_the_steps_may_change_the_list():
    recording = recorded(3, room=10)
    recording.steps().clear()
    assert recording.steps() == [0, 1, 2, 3]


@given(n_steps=st.integers(0, 400), room=st.integers(3, 40), epoch_batches=st.integers(1, 50))
def test_a_recording_stays_within_its_budget_and_evenly_spread(n_steps, room, epoch_batches):
    recording = recorded(n_steps, room, epoch_batches)
    steps = recording.steps()
    assert steps[0] == 0
    assert steps[-1] == n_steps
    assert steps == sorted(set(steps))
    assert recording.n_bytes == len(steps) * SNAPSHOT_BYTES <= room * SNAPSHOT_BYTES
    assert all(recording.at(step) == (step, weights) for step in steps if (weights := recording.at(step)[1])[0] == step)
    if n_steps + 1 <= room:
        assert len(steps) == n_steps + 1


@given(n_steps=st.integers(1, 500), room=st.integers(3, 20))
def test_no_part_of_a_run_is_left_out(n_steps, room):
    steps = recorded(n_steps, room).steps()
    gaps = np.diff(steps)
    # Half of the room is used at least, evenly: all gaps but the last are the same power of two.
    assert len(set(gaps[:-1].tolist())) <= 1
    assert gaps.max() <= max(1, 4 * n_steps / room)


def test_thinning_is_rare_however_long_the_run_is(monkeypatch):
    calls = []
    thin = Recording._thin
    monkeypatch.setattr(Recording, "_thin", lambda self: (calls.append(1), thin(self)))
    recorded(20_000, room=50, epoch_batches=11)
    assert len(calls) < 30


def test_looking_while_another_thread_records_finds_whole_snapshots():
    recording = Recording(64 * SNAPSHOT_BYTES)
    recording.add(0, snapshot(0))
    wrong = []

    def look():
        while (seen := recording.at(None)[0]) < 3_000:
            for step in (seen // 2, seen, None):
                found, weights = recording.at(step)
                if not np.array_equal(weights, snapshot(found)):
                    wrong.append(found)
            if recording.steps()[0] != 0:
                wrong.append("no first step")

    thread = threading.Thread(target=look)
    thread.start()
    for step in range(1, 3_001):
        recording.add(step, snapshot(step))
    thread.join()
    assert not wrong
