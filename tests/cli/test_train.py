"""``digitlab train``: what it prints, what it keeps, and what it refuses."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from digitlab.cli.terminal import COMPILING
from digitlab.cli.train import TrainingProgress, TrainSettings, describe_presets, given
from digitlab.data.idx import write_idx
from digitlab.network import architecture
from digitlab.runs.run import MODEL, Run
from digitlab.training.config import TrainConfig
from digitlab.training.session import open_session
from digitlab.values import EpochRecord, StepRecord

FILES = {
    "config.json",
    "environment.json",
    "history.jsonl",
    "model.safetensors",
    "evaluation.json",
    "timings.json",
    "report.html",
}


def test_a_run_holds_its_settings_history_weights_evaluation_and_report(out: Path) -> None:
    assert {path.name for path in (out / "first").iterdir()} == FILES


def test_the_result_tells_classes_confusion_accuracy_times_and_places(call: Any, small: Any, tmp_path: Path) -> None:
    outcome = call("train", *small(), "--out", tmp_path, "--name", "a")
    assert outcome.code == 0
    for words in ("# Samples", "Zero", "Nine", "predictions across", "95 % confidence", "10,000 test images"):
        assert words in outcome.out
    for stage in ("load", "compile", "train", "evaluate", "report", "in all"):
        assert f"\n{stage}" in outcome.out
    assert f"Report  {tmp_path / 'a' / 'report.html'}" in outcome.out


def test_away_from_a_terminal_there_is_a_line_an_epoch_and_no_escape_code(
    call: Any, small: Any, tmp_path: Path
) -> None:
    outcome = call("train", *small(epochs=3), "--out", tmp_path)
    epochs = [line for line in outcome.err.splitlines() if line.startswith("Epoch")]
    assert [line.split()[1] for line in epochs] == ["1/3", "2/3", "3/3"]
    assert "val_accuracy" in epochs[0]
    assert "\x1b" not in outcome.out + outcome.err


def test_json_is_a_line_for_every_record_and_then_the_result(call: Any, small: Any, tmp_path: Path) -> None:
    outcome = call("train", *small(epochs=2), "--out", tmp_path, "--name", "a", "--json")
    lines = outcome.lines()
    assert [line["kind"] for line in lines] == ["step", "step", "epoch", "step", "step", "epoch", "result"]
    result = lines[-1]
    assert result["run"]["status"] == "complete"
    assert result["evaluation"] == Run.open(tmp_path / "a").read_json("evaluation.json")
    assert set(result["timings"]) == {"load", "compile", "train", "evaluate", "report"}
    assert "Epoch" not in outcome.err


def test_quiet_prints_the_run_and_nothing_else(call: Any, small: Any, tmp_path: Path) -> None:
    outcome = call("train", *small(), "--out", tmp_path, "--name", "a", "-q")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{tmp_path / 'a'}\n", "")


def test_only_what_was_given_changes_a_preset(call: Any, small: Any, tmp_path: Path) -> None:
    assert call("train", "--preset", "fast", *small(), "--no-shuffle", "--out", tmp_path, "--name", "a", "-q").code == 0
    config = Run.open(tmp_path / "a").read_json("config.json")["config"]
    assert (config["schedule"], config["batch_size"], config["shuffle"]) == ("one-cycle", 32, False)


def test_early_stopping_and_best_weights_are_told(call: Any, small: Any, tmp_path: Path) -> None:
    options = small(epochs=30, learning_rate=0.3, early_stopping=1)
    outcome = call("train", *options, "--best-weights", "--out", tmp_path)
    assert outcome.code == 0
    assert "Stopped early" in outcome.out
    assert "lowest validation loss" in outcome.out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--preset", "fats"), "'fast'"),
        (("--network", "codelab_cn"), "codelab_cnn"),
        (("--network", "missing.json"), "missing.json"),
        (("--optimizer", "adma"), "'adam'"),
        (("--schedule", "cosin"), "'cosine'"),
        (("--epochs", "0"), "at least 1"),
        (("--batch-size", "-3"), "at least 1"),
        (("--validation-images", "-1"), "at least 0"),
        (("--learning-rate", "nan"), "finite"),
        (("--data", "nowhere"), "nowhere"),
        (("--name", "../up"), "name"),
        (("--resume", "--epochs", "3"), "--epochs"),
        (("--resume", "--force"), "--force"),
        (("--resume",), "no interrupted run"),
        (("--resume", "--name", "nix"), "no run 'nix'"),
        (("--repeat", "nix"), "no run 'nix'"),
        (("--repeat", "nix", "--preset", "fast"), "leave out --preset"),
        (("--repeat", "nix", "--resume"), "leave out --resume"),
    ],
)
def test_what_cannot_be_used_is_a_sentence_and_leaves_nothing_behind(
    call: Any, tmp_path: Path, options: tuple[str, ...], expected: str
) -> None:
    outcome = call("train", *options, "--out", tmp_path / "runs")
    assert outcome.code == 2
    assert outcome.err.startswith("Error: ")
    assert expected in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert not (tmp_path / "runs").exists()


def _write_set(folder: Path, mnist: Any, **changes: Any) -> None:
    folder.mkdir(exist_ok=True)
    arrays = {
        "train-images-idx3-ubyte": mnist.training.images[:40],
        "train-labels-idx1-ubyte": mnist.training.labels[:40],
        "t10k-images-idx3-ubyte": mnist.test.images[:20],
        "t10k-labels-idx1-ubyte": mnist.test.labels[:20],
    } | changes
    for name, array in arrays.items():
        write_idx(folder / name, array)


@pytest.fixture(scope="session")
def mnist() -> Any:
    from digitlab.data.mnist import MnistData

    return MnistData.load()


def test_ones_own_digits_can_be_trained_on(call: Any, mnist: Any, tmp_path: Path) -> None:
    _write_set(tmp_path / "digits", mnist)
    options = ("--network", "dense_baseline", "--train-images", "30", "--validation-images", "4", "--epochs", "1")
    outcome = call("train", "--data", tmp_path / "digits", *options, "--out", tmp_path / "runs", "--json")
    assert outcome.code == 0
    assert outcome.lines()[-1]["evaluation"]["n_images"] == 20


def test_a_damaged_idx_file_is_a_sentence(call: Any, mnist: Any, tmp_path: Path) -> None:
    def error(expected: str) -> None:
        outcome = call("train", "--data", folder, "--out", tmp_path / "runs")
        assert outcome.code == 2
        assert expected in outcome.err.replace("\n", " ")
        assert "Traceback" not in outcome.err

    folder = tmp_path / "digits"
    _write_set(folder, mnist, **{"train-labels-idx1-ubyte": mnist.training.labels[:40] - 0.5})
    error("whole numbers were expected")
    _write_set(folder, mnist, **{"t10k-images-idx3-ubyte": mnist.test.images[:20, :20]})
    error("20 x 28 pixels, and those for training have 28 x 28")
    _write_set(folder, mnist, **{"t10k-images-idx3-ubyte": mnist.test.images[:20].astype("float32") * 9})
    error("pixels from 0 to 2295")
    _write_set(folder, mnist)
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:1000])
    error("cut off")
    path.write_bytes(b"no IDX file")
    error("IDX")


def test_a_set_of_letters_is_trained_evaluated_and_gone_on_with(call: Any, mnist: Any, tmp_path: Path) -> None:
    path, out = tmp_path / "letters.npz", tmp_path / "runs"
    images, labels = mnist.training.images[:120], np.array(list("abc"))[np.arange(120) % 3]
    np.savez(path, x=images / 255, y=labels)
    outcome = call(
        "train", "--data", path, "--epochs", "2", "--out", out, "--name", "abc", "--network", "dense_baseline"
    )
    assert outcome.code == 0
    told = " ".join(outcome.err.split())
    assert "Its pixels are 0 to 1 and were brought to 0 to 255." in told
    assert "one of 7 of each class, are kept for the test" in told
    assert "has 92 images for training and 10 for validation; 5,500 and 1,000 were asked for." in told
    assert call("evaluate", "abc", "--out", out).code == 0
    assert "Kept in" in call("evaluate", "abc", "--out", out).err
    repeated = call("train", "--repeat", out / "abc", "--out", out, "--name", "again")
    assert "bit for bit" in repeated.err
    assert call("evaluate", "abc", "--data", path, "--out", out, "--json").json()["class_names"] == ["a", "b", "c"]
    _write_set(tmp_path / "digits", mnist)
    other = call("evaluate", "abc", "--out", out, "--data", tmp_path / "digits")
    assert other.code == 2
    assert "labels up to 9, and dense_baseline tells 3 classes apart" in " ".join(other.err.split())


def test_an_existing_run_needs_force(call: Any, small: Any, out: Path, tmp_path: Path) -> None:
    before = (out / "first" / "model.safetensors").read_bytes()
    outcome = call("train", *small(), "--out", out, "--name", "first", "--seed", "1")
    assert outcome.code == 2
    assert "--force" in outcome.err
    assert "--resume" in outcome.err
    assert (out / "first" / "model.safetensors").read_bytes() == before
    assert call("train", *small(), "--out", tmp_path, "--name", "a", "-q").code == 0
    assert call("train", *small(), "--out", tmp_path, "--name", "a", "--seed", "1", "--force", "-q").code == 0
    assert (tmp_path / "a" / "model.safetensors").read_bytes() != before


def test_force_deletes_no_folder_that_is_not_a_run(call: Any, small: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    outcome = call("train", *small(), "--out", tmp_path, "--name", "mine", "--force")
    assert outcome.code == 2
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_a_run_is_repeated_with_all_that_was_changed_on_the_way(call: Any, small: Any, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    config = TrainConfig(network="dense_baseline", train_images=64, validation_images=32, batch_size=32, epochs=3)
    session = open_session(config, out, name="steered")
    for record in session.records():
        if isinstance(record, StepRecord) and record.step == 3:
            session.set_learning_rate(0.02)
    outcome = call("train", "--repeat", "steered", "--out", out, "--name", "again")
    assert outcome.code == 0
    assert f"The weights are those of {out / 'steered'}, bit for bit." in outcome.err
    (first, second) = (Run.open(out / name) for name in ("steered", "again"))
    assert all(map(np.array_equal, first.load_model().weights, second.load_model().weights))
    report = (second.path / "report.html").read_text()
    assert f"digitlab train --repeat {second.path}" in report
    assert report.count("learning rate 0.02 from batch 4") == 2
    listed = call("runs", "--out", out)
    assert "On the way" in listed.out
    assert "learning rate 0.02" in listed.out
    assert call("runs", "--out", out, "--json").json()[0]["changes"] == ["learning rate 0.02 from batch 4"]


def test_a_run_that_was_stopped_is_repeated_as_far_as_it_was(call: Any, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    config = TrainConfig(network="dense_baseline", train_images=64, validation_images=32, batch_size=32, epochs=3)
    records = open_session(config, out, name="stopped").records()
    for _ in range(4):
        next(records)
    records.close()
    outcome = call("train", "--repeat", out / "stopped", "--out", out, "--name", "again")
    assert outcome.code == 0
    assert "Stopped after batch 3 of 6" in outcome.err
    assert "bit for bit" in outcome.err
    assert Run.open(out / "again").info().status == "interrupted"


def test_a_repetition_that_comes_out_otherwise_is_told(
    call: Any, small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "runs"
    assert call("train", *small(), "--out", out, "--name", "a", "-q").code == 0
    run = Run.open(out / "a")
    checkpoint = run.load_model()
    run.save(MODEL, dataclasses.replace(checkpoint, weights=tuple(weight + 1 for weight in checkpoint.weights)))
    outcome = call("train", "--repeat", "a", "--out", out, "-q")
    assert outcome.code == 0
    assert "The weights are not those of" in outcome.err


def test_a_complete_run_is_not_resumed(call: Any, out: Path) -> None:
    outcome = call("train", "--out", out, "--name", "first", "--resume")
    assert outcome.code == 2
    assert "complete" in outcome.err


def test_diverged_training_has_exit_code_1_and_keeps_the_last_good_weights(
    call: Any, small: Any, tmp_path: Path
) -> None:
    outcome = call("train", *small(epochs=20, learning_rate="1e6"), "--out", tmp_path, "--name", "a")
    assert outcome.code == 1
    assert "learning rate" in outcome.err
    assert "Traceback" not in outcome.err
    assert call("evaluate", "a", "--out", tmp_path).code == 0


def test_a_folder_that_cannot_be_written_is_a_sentence(call: Any, small: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    outcome = call("train", *small(), "--out", tmp_path / "file")
    assert outcome.code == 2
    assert outcome.err.startswith("Error: ")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("full_for", ["config.json", "model.safetensors", "evaluation.json", "report.html"])
def test_a_full_disk_is_a_sentence_and_other_runs_stay(
    call: Any, small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_for: str
) -> None:
    (tmp_path / "other").mkdir()
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).name == full_for:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    outcome = call("train", *small(), "--out", tmp_path, "--name", "a")
    assert outcome.code == 2
    assert "No space left" in outcome.err.replace("\n", " ")
    assert "Traceback" not in outcome.err
    assert not list((tmp_path / "a").glob(".digitlab-*"))
    assert (tmp_path / "other").is_dir()


def test_every_field_of_the_config_is_an_option_with_its_words_and_default(call: Any) -> None:
    shown = " ".join(call("train", "--help").out.replace("│", " ").split())
    for field in dataclasses.fields(TrainConfig):
        assert f"--{field.name.replace('_', '-')}" in shown
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert f"[default: {field.default}" in shown
    assert "Passes over the training images." in shown


def test_help_tells_what_a_preset_changes(call: Any) -> None:
    assert "batch-size 256" in describe_presets()
    shown = " ".join(call("train", "--help").out.replace("│", " ").split())
    assert "512 (fast: 256, accurate: 256, reader: 256, second-look: 128, finder: 8)" in shown


def test_only_what_was_given_counts() -> None:
    assert given(None) == {}
    assert given(TrainSettings(epochs=3, shuffle=False)) == {"epochs": 3, "shuffle": False}


def _step(step: int, images_per_s: float = 1000.0) -> StepRecord:
    return StepRecord(step, (step - 1) // 5 + 1, (step - 1) % 5 + 1, 32, 1.5, 0.5, 0.001, images_per_s)


EPOCH = EpochRecord(1, 5, 1.25, 0.625, 1.125, 0.75, 0.001, 12_345.0)


def _shown(width: int, records: list[Any], *, terminal: bool = True, **options: Any) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None, legacy_windows=False)
    with TrainingProgress(console, 2, 10, **options) as progress:
        for record in records:
            progress.record(record)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_bar_tells_epoch_loss_accuracies_speed_and_batches(width: int) -> None:
    shown = _shown(width, [*map(_step, range(1, 6)), EPOCH, _step(6)])
    for words in (
        "Epoch 2/2",
        "batch 6/10",
        "loss 1.5000",
        "accuracy 50.00 %",
        "val_accuracy 75.00 %",
        "images/s",
        "left",
    ):
        assert words in shown


@pytest.mark.parametrize("width", [20, 40, 60])
def test_the_bar_fits_a_narrow_terminal(width: int) -> None:
    shown = _shown(width, [*map(_step, range(1, 6)), EPOCH])
    assert all(len(line) <= width for line in shown.replace("\r", "\n").split("\n") if "\x1b" not in line)


def test_at_the_end_of_an_epoch_its_means_are_shown() -> None:
    assert "loss 1.2500" in _shown(100, [*map(_step, range(1, 6)), EPOCH])


def test_elsewhere_there_is_a_line_an_epoch() -> None:
    shown = _shown(40, [*map(_step, range(1, 6)), EPOCH], terminal=False)
    expected = "Epoch 1/2  loss 1.2500  accuracy 62.50 %  val_loss 1.1250  val_accuracy 75.00 %  12,345 images/s\n"
    assert shown == expected


def test_without_validation_there_are_no_figures_of_it() -> None:
    epoch = EpochRecord(1, 5, 1.25, 0.625, None, None, 0.001, 12_345.0)
    assert "val_" not in _shown(100, [*map(_step, range(1, 6)), epoch], terminal=False)


def test_nothing_is_shown_if_nothing_is_wanted() -> None:
    assert _shown(80, [_step(1), EPOCH], lines=False, live=False) == ""
    assert _shown(80, [_step(1), EPOCH], terminal=False, lines=False) == ""


def test_compiling_is_told_when_the_first_batch_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitlab.cli.train._COMPILING_AFTER_S", 0.0)
    assert COMPILING[:20] in _shown(100, [])


def test_a_wish_to_stop_is_answered_while_a_batch_is_under_way() -> None:
    assert "Stopping" in _shown(100, [], is_stopping=lambda: True)


def test_the_report_of_a_network_from_a_file_repeats_the_network_and_not_the_file(
    call: Any, small: Any, tmp_path: Path
) -> None:
    file, out = tmp_path / "net.json", tmp_path / "runs"
    file.write_text(json.dumps(architecture("dense_baseline").to_dict()))
    assert call("train", *small(network=file), "--out", out, "--name", "a", "-q").code == 0
    assert f"digitlab train --repeat {out / 'a'}" in (out / "a" / "report.html").read_text()
    file.write_text(json.dumps(architecture("codelab_cnn").to_dict()))
    outcome = call("train", "--repeat", "a", "--out", out, "--name", "b")
    assert "bit for bit" in outcome.err
