"""The evaluation and the report of a run, as files in its directory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from digitlab.cli.app import main
from digitlab.data.mnist import MnistData, Split
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, RunError
from digitlab.evaluation.finish import evaluate_run, evaluate_split, is_own_data, keep_timings, write_report
from digitlab.evaluation.train import train
from digitlab.runs.run import Run
from digitlab.training.config import TrainConfig


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = TrainConfig(network="dense_baseline", train_images=64, validation_images=32, batch_size=32, epochs=1)
    return train(config, tmp_path_factory.mktemp("finish"), name="a")


@pytest.fixture(scope="module")
def data() -> MnistData:
    return MnistData.load()


@pytest.fixture(scope="module")
def other(data: MnistData) -> MnistData:
    parts = [
        Split(part.name, part.images[:50], part.labels[:50]) for part in (data.training, data.validation, data.test)
    ]
    return MnistData(*parts, source="elsewhere", digest="0" * 64)


def test_the_library_leaves_what_the_command_leaves(tmp_path: Path) -> None:
    sizes = {"train_images": 64, "validation_images": 32, "batch_size": 32, "epochs": 1}
    words = [word for name, value in sizes.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = ["train", "--network", "dense_baseline", *words, "--out", str(tmp_path), "--name", "command", "--quiet"]
    assert main(command) == 0
    runs = Run(tmp_path / "command"), train(TrainConfig(network="dense_baseline", **sizes), tmp_path, name="library")
    by_command, by_library = (sorted(path.name for path in run.path.iterdir()) for run in runs)
    assert by_library == by_command
    assert runs[0].read_json("timings.json").keys() == runs[1].read_json("timings.json").keys()
    assert runs[0].read_json("evaluation.json") == runs[1].read_json("evaluation.json")


def test_a_runs_evaluation_is_of_the_whole_test_set_and_is_kept(run: Run, data: MnistData) -> None:
    evaluation = evaluate_run(run, data)
    assert evaluation.n_images == len(data.test)
    assert run.read_json("evaluation.json") == json.loads(json.dumps(evaluation.to_dict()))
    assert run.info().test_accuracy == evaluation.accuracy


def test_a_model_at_hand_gives_the_same_as_the_runs_own(run: Run, data: MnistData) -> None:
    model = Sequential.from_checkpoint(run.load_model())
    assert evaluate_run(run, data, model=model) == evaluate_run(run, data)


def test_other_data_is_refused_and_nothing_is_written(run: Run, data: MnistData, other: MnistData) -> None:
    evaluate_run(run, data)
    before = (run.path / "evaluation.json").read_bytes()
    assert not is_own_data(run, other)
    with pytest.raises(RunError, match="elsewhere"):
        evaluate_run(run, other)
    assert (run.path / "evaluation.json").read_bytes() == before


def test_every_figure_is_of_the_same_chosen_images(run: Run, data: MnistData) -> None:
    model = Sequential.from_checkpoint(run.load_model())
    evaluation = evaluate_split(model, data.test, 500, seed=3)
    assert evaluation.n_images == np.sum(evaluation.confusion_matrix) == 500
    assert evaluation == evaluate_split(model, data.test, 500, seed=3)
    assert evaluation.confusion_matrix != evaluate_split(model, data.test, 500, seed=4).confusion_matrix


def test_more_images_than_there_are_is_a_sentence(run: Run, data: MnistData) -> None:
    model = Sequential.from_checkpoint(run.load_model())
    with pytest.raises(ConfigError, match="10,000"):
        evaluate_split(model, data.test, 10_001)
    with pytest.raises(ConfigError, match="At least 1"):
        evaluate_split(model, data.test, 0)


def test_the_report_tells_the_run_from_settings_to_mistakes(run: Run, data: MnistData) -> None:
    keep_timings(run, {"train": 1.5})
    path = write_report(run, data, evaluate_run(run, data))
    page = path.read_text("utf-8")
    assert path == run.path / "report.html"
    for words in (
        "digitlab train --network dense_baseline",
        "6,370",
        "batch_size",
        "Confusion",
        "1.5 s",
        "data:image/png",
    ):
        assert words in page


def test_the_report_of_a_run_without_environment_or_times_is_written_all_the_same(
    run: Run, data: MnistData, tmp_path: Path
) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((run.path / name).read_bytes())
    bare = Run(tmp_path)
    assert write_report(bare, data, evaluate_run(bare, data)).exists()


def test_times_are_kept_beside_others_and_added_when_a_run_goes_on(run: Run) -> None:
    (run.path / "timings.json").unlink(missing_ok=True)
    keep_timings(run, {"load": 1.0, "train": 2.0})
    assert keep_timings(run, {"train": 3.0}, add=True) == {"load": 1.0, "train": 5.0}
    assert (
        keep_timings(run, {"evaluate": 0.5})
        == run.read_json("timings.json")
        == {"load": 1.0, "train": 5.0, "evaluate": 0.5}
    )
