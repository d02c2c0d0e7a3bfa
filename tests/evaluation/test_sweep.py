"""A sweep: what it tries, what it chooses by, that it goes on, and that every way to train gives the same runs."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import digitlab as dl
from digitlab.cli.app import main
from digitlab.cli.sweep import _told
from digitlab.cluster import WorkerError, sendable
from digitlab.errors import ConfigError, RunError, StorageError
from digitlab.evaluation import sweep as swept
from digitlab.evaluation.sweep import CHART, PLAN, Sweep, SweepPoint
from digitlab.metrics import mean_interval
from digitlab.runs.listing import list_runs
from digitlab.runs.run import EVALUATION, Run
from digitlab.training.config import TrainConfig, parsed_values, takes_test_images

SMALL = dl.TrainConfig(network="dense_baseline", train_images=60, validation_images=50, batch_size=20, epochs=1)
GRID = {"learning_rate": [0.001, 0.02], "optimizer": ["adam", "sgd"]}


def weights_of(result: Sweep) -> dict[str, np.ndarray]:
    names = [name for point in result.points for name in point.runs]
    return {
        name: np.concatenate([w.ravel() for w in Run.open(Path(result.path) / name).load_model().weights])
        for name in names
    }


def test_every_combination_has_its_runs_and_only_the_chosen_ones_have_seen_test_images(tmp_path: Path) -> None:
    told: list[str] = []
    result = dl.sweep(SMALL, GRID, seeds=2, out=tmp_path, workers=1, on_run=lambda run, _: told.append(run))
    assert [point.settings for point in result.points] == [
        {"learning_rate": rate, "optimizer": optimizer} for rate in (0.001, 0.02) for optimizer in ("adam", "sgd")
    ]
    names = [name for point in result.points for name in point.runs]
    assert told == names
    assert {info.name for info in list_runs(tmp_path / "sweep")} == set(names)
    means = [point.mean for point in result.points]
    assert result.best is not None
    assert result.best.mean == max(means)
    for point in result.points:
        for name, accuracy in zip(point.runs, point.val_accuracies, strict=True):
            run = Run.open(tmp_path / "sweep" / name)
            assert run.info().val_accuracy == accuracy
            assert run.has(EVALUATION) == (point is result.best)
    assert len(result.best.test_accuracies) == 2
    kept = json.loads((tmp_path / "sweep" / PLAN).read_text())
    assert kept["result"] == json.loads(json.dumps(result.to_dict()))
    assert (tmp_path / "sweep" / CHART).read_text().startswith("<svg")


def test_a_sweep_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = dl.sweep(SMALL, GRID, seeds=1, out=tmp_path, name="whole", workers=1)

    def stop(run: str, accuracy: float | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dl.sweep(SMALL, GRID, seeds=1, out=tmp_path, name="parts", workers=1, on_run=stop)
    told: list[str] = []
    parts = dl.sweep(
        SMALL, GRID, seeds=1, out=tmp_path, name="parts", workers=1, on_run=lambda run, _: told.append(run)
    )
    assert len(told) == 3
    for name, weights in weights_of(whole).items():
        np.testing.assert_array_equal(weights_of(parts)[name], weights)


def test_another_sweep_is_not_mixed_with_the_one_that_is_there(tmp_path: Path) -> None:
    dl.sweep(SMALL, {"learning_rate": [0.01]}, seeds=1, out=tmp_path, workers=1)
    with pytest.raises(RunError, match="holds another sweep"):
        dl.sweep(SMALL, {"learning_rate": [0.02]}, seeds=1, out=tmp_path, workers=1)
    result = dl.sweep(SMALL, {"learning_rate": [0.02]}, seeds=1, out=tmp_path, workers=1, force=True)
    assert result.points[0].settings == {"learning_rate": 0.02}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="something else"):
        dl.sweep(SMALL, {"learning_rate": [0.02]}, seeds=1, out=tmp_path, name="other", workers=1)


@pytest.mark.parametrize(
    "content",
    ["[]", "3", "{", '{"points": 3, "seeds": 1}', "[" * 50_000, '{"points": [{"runs": ["../../thesis", 3]}]}'],
)
def test_a_file_that_anybody_may_have_written_is_another_sweep(tmp_path: Path, content: str) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "sweep" / PLAN).write_text(content)
    with pytest.raises(RunError, match="holds another sweep"):
        dl.sweep(SMALL, {"learning_rate": [0.01]}, seeds=1, out=tmp_path, workers=1)
    with pytest.raises(RunError, match="A run's name") if ".." in content else nullcontext():
        dl.sweep(SMALL, {"learning_rate": [0.01]}, seeds=1, out=tmp_path, workers=1, force=True)
    assert (tmp_path / "thesis").is_dir()


def test_beginning_anew_leaves_no_run_of_the_sweep_before(tmp_path: Path) -> None:
    dl.sweep(SMALL, {"learning_rate": [0.01, 0.02]}, seeds=1, out=tmp_path, workers=1)
    result = dl.sweep(SMALL, {"optimizer": ["sgd"]}, seeds=1, out=tmp_path, workers=1, force=True)
    assert [info.name for info in list_runs(tmp_path / "sweep")] == list(result.points[0].runs)


def test_a_combination_that_diverges_is_told_and_not_chosen_and_the_table_fits_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = ["--network", "dense_baseline", "--train-images", "60", "--validation-images", "50", "--epochs", "1"]
    words += ["--batch-size", "20", "--seeds", "2", "--workers", "1", "--out", str(tmp_path)]
    assert main(["sweep", *words, "--grid", "learning_rate=0.01,1e8", "optimizer=sgd,adam"]) == 0
    told = capsys.readouterr()
    assert told.err.count("diverged") == 4
    lines = told.out.splitlines()
    assert all(len(line) <= 80 for line in lines if not line.startswith(("Runs ", "Chart ")))
    assert sum("0 of 2" in line for line in lines) == 2
    assert "4 runs diverged" in told.out
    assert "On the test images, looked at once, its 2 runs have" in " ".join(told.out.split())


def test_what_single_test_images_cannot_judge_is_not_shown_any(tmp_path: Path) -> None:
    assert not takes_test_images(TrainConfig(learns_from="candidates"))
    assert not takes_test_images(TrainConfig(loss="finder", network="finder_cnn"))
    point = SweepPoint({"learning_rate": 0.1}, ("a",), (0.7,))
    assert "cannot judge" in _told(Sweep("x", (0,), (point,), 0))


@pytest.mark.slow
def test_a_sweep_whose_process_is_killed_goes_on_at_once_and_comes_to_the_same(tmp_path: Path) -> None:
    whole = dl.sweep(SMALL, GRID, seeds=1, out=tmp_path, name="whole", workers=1)
    program = (
        "import os, signal, sys\n"
        "import digitlab as dl\n"
        "from tests.evaluation.test_sweep import GRID, SMALL\n"
        "if __name__ == '__main__':\n"
        "    kill = lambda run, accuracy: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"    dl.sweep(SMALL, GRID, seeds=1, out={str(tmp_path)!r}, name='killed', workers=2, on_run=kill)\n"
    )
    (tmp_path / "program.py").write_text(program)
    paths = os.pathsep.join(str(Path(one).parents[n]) for one, n in ((dl.__file__, 1), (__file__, 2)))
    killed = subprocess.run([sys.executable, tmp_path / "program.py"], env=os.environ | {"PYTHONPATH": paths})
    assert killed.returncode == -signal.SIGKILL
    killed_one = dl.sweep(SMALL, GRID, seeds=1, out=tmp_path, name="killed", workers=1)
    for name, weights in weights_of(whole).items():
        np.testing.assert_array_equal(weights_of(killed_one)[name], weights)


@pytest.mark.slow
def test_processes_side_by_side_give_the_same_weights(tmp_path: Path) -> None:
    alone = dl.sweep(SMALL, GRID, seeds=1, out=tmp_path, name="alone", workers=1)
    beside = dl.sweep(SMALL, GRID, seeds=1, out=tmp_path, name="beside", workers=2)
    for name, weights in weights_of(alone).items():
        np.testing.assert_array_equal(weights_of(beside)[name], weights)


@pytest.mark.interop
def test_one_program_for_all_runs_of_a_shape_trains_them_as_if_they_were_alone(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    grid = {"learning_rate": [0.001, 0.02], "label_smoothing": [0.0, 0.1]}
    here = dl.sweep(SMALL, grid, seeds=2, out=tmp_path, name="here", workers=1)
    there = dl.sweep(
        dl.TrainConfig(**{**SMALL.to_dict(), "device": "cpu-xla"}), grid, seeds=2, out=tmp_path, name="there"
    )
    for name, weights in weights_of(here).items():
        np.testing.assert_allclose(weights_of(there)[name], weights, rtol=1e-3, atol=2e-5)


@pytest.mark.slow
@pytest.mark.interop
def test_a_cluster_gives_the_same_weights(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    alone = dl.sweep(SMALL, {"learning_rate": [0.01, 0.02]}, seeds=1, out=tmp_path, name="alone", workers=1)
    spread = dl.sweep(
        SMALL, {"learning_rate": [0.01, 0.02]}, seeds=1, out=tmp_path, name="spread", workers=1, cluster="local"
    )
    for name, weights in weights_of(alone).items():
        np.testing.assert_array_equal(weights_of(spread)[name], weights)


_ODD = """
from digitlab.evaluation import sweep

class Odd(Exception):
    def __reduce__(self):
        raise TypeError("cannot be pickled")

def fail(settings, name):
    raise Odd("the worker is odd")

sweep._train_elsewhere = fail
"""


@pytest.mark.interop
@pytest.mark.slow
def test_what_befalls_a_worker_is_told_and_never_waited_for(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", preload=[_ODD], silence_logs=50
        ) as cluster,
        pytest.raises(RunError, match=r"s0 could not be trained on the cluster: Odd: the worker is odd \(line \d+ of"),
    ):
        dl.sweep(SMALL, seeds=1, out=tmp_path, cluster=cluster.scheduler_address)


def test_what_a_worker_raises_comes_bare() -> None:
    def fail(error: Exception) -> None:
        try:
            raise LookupError(threading.Lock())
        except LookupError:
            raise error from None

    for error, sentence in (
        (RunError("There is none."), "There is none."),
        (KeyError(threading.Lock()), r"KeyError: .*test_sweep"),
    ):
        with pytest.raises((RunError, WorkerError), match=sentence) as raised:
            sendable(fail, error)
        assert raised.value.__cause__ is raised.value.__context__ is None
        assert type(pickle.loads(pickle.dumps(raised.value))) is type(raised.value)


@pytest.mark.parametrize(
    ("grid", "seeds", "sentence"),
    [
        ({"learning_rate": []}, 1, "needs a list of values"),
        ({"learning_rate": "0.1"}, 1, "needs a list of values"),
        ({"seed": [1, 2]}, 1, "say how many with seeds"),
        ({"learning_rate": [0.1, 0.1]}, 1, "has a value twice"),
        ({"learning_rats": [0.1]}, 1, "learning_rate"),
        ({"epochs": list(range(1, 2_000))}, 10, "at most 10,000"),
        ({}, 0, "seeds must be at least 1"),
        ({"learning_rate": [0.1, float("nan")]}, 1, "finite number"),
    ],
)
def test_what_cannot_be_swept_is_told(tmp_path: Path, grid: dict[str, list[object]], seeds: int, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        dl.sweep(SMALL, grid, seeds=seeds, out=tmp_path, workers=1)
    with pytest.raises(ConfigError, match="chooses by validation images"):
        dl.sweep(dl.TrainConfig(validation_images=0), out=tmp_path)
    assert not list(tmp_path.iterdir())


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=200))
def test_the_interval_lies_around_the_mean_and_within_what_a_share_can_be(values: list[float]) -> None:
    found = mean_interval(values)
    assert found is not None
    low, high = found
    assert 0.0 <= low <= np.mean(values) + 1e-12
    assert np.mean(values) - 1e-12 <= high <= 1.0


def test_students_quantiles_are_those_of_scipy() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    for n in (*range(2, 40), 100, 1_000):
        values = list(np.linspace(0.499, 0.501, n))
        expected = scipy_stats.t.interval(0.95, n - 1, np.mean(values), scipy_stats.sem(values))
        assert mean_interval(values) == pytest.approx(expected, abs=0.02 * (expected[1] - expected[0]))


def test_a_point_that_a_seed_broke_is_not_chosen() -> None:
    good = SweepPoint({"learning_rate": 0.1}, ("a", "b"), (0.7, 0.8))
    bad = SweepPoint({"learning_rate": 9.0}, ("c", "d"), (0.99, None))
    assert bad.mean == 0.99
    assert bad.interval is None
    assert good.spread == pytest.approx(0.0707, abs=1e-4)


def test_the_chart_names_its_combinations_and_draws_means_where_the_axis_says() -> None:
    points = tuple(
        SweepPoint({"learning_rate": k / 1000, "network": "<cnn>"}, ("a", "b"), (0.5 + k / 200, 0.51 + k / 200))
        for k in range(1, 46)
    )
    drawn = ElementTree.fromstring(swept.chart_of(Sweep("x", (0, 1), (*points, SweepPoint({}, ("c",), (None,))), 44)))
    texts = [element.text or "" for element in drawn.iter() if element.tag.endswith("text")]
    assert [text for text in texts if "learning rate" in text] == [points[k].words for k in range(44, 4, -1)]
    assert any("best 40 of 45" in text for text in texts)
    ticks = {
        float(element.get("x", "")): float(element.text or "")
        for element in drawn.iter()
        if element.get("text-anchor") == "middle" and re.fullmatch(r"[\d.]+", element.text or "")
    }
    (first_x, first), *_, (last_x, last) = sorted(ticks.items())
    dots = [float(element.get("cx", "")) for element in drawn.iter() if element.tag.endswith("circle")]
    told = [first + (x - first_x) * (last - first) / (last_x - first_x) for x in dots]
    assert told == pytest.approx([100 * (points[k].mean or 0) for k in range(44, 4, -1)], abs=0.1)


def test_a_sweep_of_nothing_that_came_through_has_a_chart_all_the_same() -> None:
    broken = SweepPoint({"learning_rate": 9.0}, ("c", "d"), (None, None))
    assert "no values" in swept.chart_of(Sweep("x", (0, 1), (broken,), None))


def test_values_are_read_as_their_settings_are_declared() -> None:
    assert parsed_values("epochs", ["1", " 2"]) == [1, 2]
    with pytest.raises(ConfigError, match="epochs must be a whole number"):
        parsed_values("epochs", ["1.5"])
    with pytest.raises(ConfigError, match="Did you mean"):
        parsed_values("epoch", ["1"])


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"null", b'{"config": {}}', b"{" * 9_000, b"\xff", b"NaN"])
def test_a_damaged_plan_is_another_sweep_and_is_begun_anew_by_force(tmp_path: Path, content: bytes) -> None:
    grid = {"learning_rate": [0.01]}
    done = dl.sweep(SMALL, grid, seeds=1, out=tmp_path, workers=1)
    (tmp_path / "sweep" / PLAN).write_bytes(content)
    with pytest.raises(RunError, match="--force"):
        dl.sweep(SMALL, grid, seeds=1, out=tmp_path, workers=1)
    assert dl.sweep(SMALL, grid, seeds=1, out=tmp_path, workers=1, force=True) == done


def test_force_trains_anew_what_a_plan_that_is_gone_has_left(tmp_path: Path) -> None:
    grid = {"learning_rate": [0.01]}
    dl.sweep(SMALL, grid, seeds=1, out=tmp_path, workers=1)
    (tmp_path / "sweep" / PLAN).unlink()
    other, told = replace(SMALL, batch_size=16), []
    with pytest.raises(RunError, match="something else"):
        dl.sweep(other, grid, seeds=1, out=tmp_path, workers=1)
    dl.sweep(other, grid, seeds=1, out=tmp_path, workers=1, force=True, on_run=lambda run, _: told.append(run))
    assert len(told) == 1


@pytest.mark.parametrize("made", [lambda path: path.write_text("mine"), lambda path: path.symlink_to("nowhere/at/all")])
def test_what_is_in_the_way_of_a_sweep_is_told_and_stays(tmp_path: Path, made: Callable[[Path], object]) -> None:
    made(tmp_path / "sweep")
    for force in (False, True):
        with pytest.raises((RunError, StorageError)):
            dl.sweep(SMALL, {"learning_rate": [0.01]}, seeds=1, out=tmp_path, workers=1, force=force)
    assert os.path.lexists(tmp_path / "sweep")


def test_a_run_of_a_sweep_that_leads_elsewhere_is_not_replaced(tmp_path: Path) -> None:
    grid = {"learning_rate": [0.01]}
    [name] = dl.sweep(SMALL, grid, seeds=1, out=tmp_path, workers=1).points[0].runs
    run = tmp_path / "sweep" / name
    run.rename(tmp_path / "elsewhere")
    run.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError):
        dl.sweep(SMALL, grid, seeds=1, out=tmp_path, workers=1, force=True)
    assert (tmp_path / "elsewhere" / "model.safetensors").is_file()
