"""Two runs compared: settings, histories, matrices, and the images on which they disagree."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import digitlab as dl
from digitlab.data.mnist import Split
from digitlab.errors import InputError, RunError, TrainingDivergedError
from digitlab.evaluation.alike import SettingDifference
from digitlab.evaluation.comparison import _sign_test, compare, verdict
from digitlab.network import Architecture, Dense, Flatten
from digitlab.runs.run import CONFIG, HISTORY, MODEL, STATE, Run
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord, StepRecord

SMALL = TrainConfig(network="dense_baseline", train_images=50, validation_images=20, batch_size=16, epochs=3)
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def digits():
    """Return 200 training, 60 validation and 40 test images."""
    mnist = dl.MnistData.load()

    def some(split, n):
        return Split(split.name, split.images[:n].copy(), split.labels[:n].copy())

    return dl.MnistData(
        some(mnist.training, 200), some(mnist.validation, 60), some(mnist.test, 40), source="a few digits", digest="few"
    )


def trained(digits, out, config=SMALL, architecture=None, n_records=None, rates=()):
    """Train a run, to the end or until so many records; ``rates`` are (step, rate) to set on the way."""
    number = next(NUMBERS)
    if architecture is not None:
        file = out / f"network{number}.json"
        file.write_text(json.dumps(architecture.to_dict()))
        config = dataclasses.replace(config, network=str(file))
    session = TrainingSession(config, digits, Run.create(out / f"run{number}"))
    records = session.records()
    for n, record in enumerate(records, start=1):
        for step, rate in rates:
            if isinstance(record, StepRecord) and record.step == step:
                session.set_learning_rate(rate)
        if n == n_records:
            break
    records.close()
    return session.run


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def first(digits, out):
    return trained(digits, out)


@pytest.fixture(scope="module")
def second(digits, out):
    return trained(digits, out, dataclasses.replace(SMALL, seed=1, learning_rate=0.05, threads=1))


@pytest.fixture(scope="module")
def comparison(first, second, digits):
    return compare(first, second, digits)


def answers(run, digits):
    return dl.Sequential.from_checkpoint(run.load_model()).predict(digits.test.images)


def test_only_the_settings_that_matter_and_differ_are_told(comparison):
    assert comparison.settings == (SettingDifference("learning_rate", 0.001, 0.05), SettingDifference("seed", 0, 1))


def test_unlike_settings_are_told_by_name_with_their_values_and_like_ones_not(comparison, first, digits, out):
    assert comparison.unlike == (
        "A and B were not trained alike: they differ in learning rate (A: 0.001, B: 0.05) and seed (A: 0, B: 1); what "
        "sets their figures apart may come from any of these."
    )
    assert compare(first, first, digits).unlike == ""
    wider = Architecture([Flatten(), Dense(16, activation="relu"), Dense(10, activation="softmax")])
    run = trained(digits, out, SMALL, wider)
    name = Path(run.settings()["network"]).stem
    assert compare(first, run, digits).unlike == (
        f"A and B were trained alike but for one thing: the network (A: dense_baseline, B: {name})."
    )


def test_the_warning_is_the_first_thing_of_every_form(comparison):
    assert next(iter(comparison.to_dict())) == "unlike"


def test_both_sides_are_evaluated_on_the_same_images(comparison, first, second, digits):
    for side, run in ((comparison.a, first), (comparison.b, second)):
        model = dl.Sequential.from_checkpoint(run.load_model())
        assert side.evaluation == dl.evaluate(model, digits.test.images, digits.test.labels)
        assert (side.name, side.is_complete, side.n_parameters) == (run.name, True, 6_370)
        assert [*side.steps] == [record for record in run.history() if isinstance(record, StepRecord)]
        assert [*side.epochs] == [record for record in run.history() if isinstance(record, EpochRecord)]


def test_the_difference_of_the_matrices_is_b_minus_a(comparison):
    a, b = (np.array(side.evaluation.confusion_matrix) for side in (comparison.a, comparison.b))
    assert np.array_equal(comparison.confusion_difference, b - a)
    assert np.sum(comparison.confusion_difference) == 0


def test_the_disagreements_are_exactly_the_images_answered_differently(comparison, first, second, digits):
    a, b = answers(first, digits), answers(second, digits)
    expected = np.flatnonzero(a.argmax(axis=1) != b.argmax(axis=1))
    assert len(expected) > 0
    assert sorted(entry.index for entry in comparison.disagreements) == expected.tolist()
    for entry in comparison.disagreements:
        assert entry.label == digits.test.labels[entry.index]
        assert (entry.a.probabilities, entry.b.probabilities) == (
            tuple(a[entry.index].tolist()),
            tuple(b[entry.index].tolist()),
        )
        assert (entry.a.label, entry.b.label) == (a[entry.index].argmax(), b[entry.index].argmax())
    sureness = [entry.a.confidence + entry.b.confidence for entry in comparison.disagreements]
    assert sureness == sorted(sureness, reverse=True)


def test_the_counts_say_who_is_right_where_they_disagree(comparison):
    right_a = sum(entry.a.label == entry.label for entry in comparison.disagreements)
    right_b = sum(entry.b.label == entry.label for entry in comparison.disagreements)
    assert (comparison.n_only_a_right, comparison.n_only_b_right) == (right_a, right_b)
    assert comparison.n_both_wrong == len(comparison.disagreements) - right_a - right_b
    assert comparison.b.evaluation.n_correct - comparison.a.evaluation.n_correct == right_b - right_a


def test_a_run_compared_with_itself_differs_in_nothing(first, digits):
    same = compare(first, first, digits)
    assert (same.settings, same.disagreements, same.p_value) == ((), (), 1.0)
    assert not np.any(same.confusion_difference)


def test_turning_it_round_changes_the_signs(comparison, first, second, digits):
    turned = compare(second, first, digits)
    assert np.array_equal(turned.confusion_difference, -np.array(comparison.confusion_difference))
    assert (turned.n_only_a_right, turned.n_only_b_right) == (comparison.n_only_b_right, comparison.n_only_a_right)
    assert turned.p_value == comparison.p_value


def test_runs_are_found_by_their_names(comparison, first, second, digits, out):
    assert compare(first.name, second.path, digits, out=out) == comparison
    with pytest.raises(RunError, match=r"There is no run 'none'"):
        compare(first.name, "none", digits, out=out)


def test_verdict_counts_and_names_the_better_one_only_with_reason(comparison):
    even = dataclasses.replace(comparison, n_only_a_right=5, n_only_b_right=6, n_both_wrong=2, p_value=1.0)
    assert "only A is right on 5, only B on 6, and on 2 both are wrong" in verdict(even)
    assert "does not tell which is better" in verdict(even)
    uneven = dataclasses.replace(comparison, n_only_a_right=1, n_only_b_right=30, p_value=3e-8)
    assert "B is the better reader" in verdict(uneven)
    assert "in <0.1 % of cases" in verdict(dataclasses.replace(uneven, p_value=0.0))  # too small for a float
    same = dataclasses.replace(comparison, n_only_a_right=0, n_only_b_right=0, n_both_wrong=0, p_value=1.0)
    assert verdict(same) == "They give the same answer to all 40 images."


def test_fewer_images_can_be_asked_for(first, second, digits):
    few = compare(first, second, digits, n_images=10)
    assert few.a.evaluation.n_images == few.b.evaluation.n_images == 10
    assert all(entry.index < 10 for entry in few.disagreements)
    assert all(digits.test.labels[entry.place] == entry.label for entry in few.disagreements)


def test_the_json_form_is_plain(comparison):
    form = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert form["settings"][0] == {"name": "learning_rate", "a": 0.001, "b": 0.05}
    assert form["a"]["steps"][0]["step"] == 1
    assert len(form["disagreements"]) == len(comparison.disagreements)


@pytest.mark.parametrize(
    ("n_a", "n_b", "expected"), [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (1, 9, 0.021484375), (9, 1, 0.021484375)]
)
def test_the_p_value_is_the_exact_binomial_tests(n_a, n_b, expected):
    # scipy.stats.binomtest(n_a, n_a + n_b).pvalue
    assert _sign_test(n_a, n_b) == pytest.approx(expected)


def test_the_p_value_of_thousands_of_disagreements_is_a_number():
    assert _sign_test(4_500, 4_600) == pytest.approx(0.29948, abs=2e-3)
    assert 0.0 <= _sign_test(1, 9_999) < 1e-300


def test_an_interrupted_run_is_compared_with_its_last_saved_weights(first, digits, out):
    stopped = trained(digits, out, n_records=7)
    assert (stopped.has(STATE), stopped.has(MODEL)) == (True, False)
    found = compare(first, stopped, digits)
    assert (found.b.is_complete, len(found.b.steps)) == (False, 6)
    assert found.settings == (SettingDifference("ended", "after the last batch", "after batch 6 of 12"),)
    assert found.unlike == (
        "A and B were trained alike but for one thing: where they ended (A: after the last batch; B: after batch 6 of "
        "12)."
    )


def test_networks_are_told_apart_by_their_layers_and_not_by_their_names(first, digits, out):
    wider = Architecture([Flatten(name="flat"), Dense(16, activation="relu"), Dense(10, activation="softmax")])
    found = {
        entry.name: (entry.a, entry.b) for entry in compare(first, trained(digits, out, SMALL, wider), digits).settings
    }
    assert set(found) == {"network", "layers", "initializers", "parameters"}
    assert found["layers"][1] == "Flatten, Dense 16 relu, Dense 10 softmax"
    assert found["parameters"] == (6_370, 12_730)


def test_a_learning_rate_that_was_changed_on_the_way_is_told(first, digits, out):
    run = trained(digits, out, rates=((4, 0.01), (8, 0.002)))
    found = compare(first, run, digits)
    (change,) = found.settings
    told = ("learning rate 0.01 from batch 5", "learning rate 0.002 from batch 9")
    assert change == SettingDifference("changed on the way", None, "; ".join(told))
    assert found.b.on_the_way == told
    assert found.unlike == (
        "A and B were trained alike but for one thing: what was changed on the way (A: nothing; "
        "B: learning rate 0.01 from batch 5 and learning rate 0.002 from batch 9)."
    )
    same = compare(run, trained(digits, out, rates=((4, 0.01), (8, 0.002))), digits)
    assert (same.settings, same.unlike, same.disagreements) == ((), "", ())


def test_of_many_changes_the_sentence_tells_the_first(first, digits, out):
    run = trained(digits, out, rates=tuple((step, step / 100) for step in range(1, 8)))
    found = compare(first, run, digits)
    assert found.unlike.endswith("learning rate 0.03 from batch 4 and 4 more).")
    assert found.settings[0].b.count("learning rate") == 7


def test_a_run_that_stopped_early_or_diverged_is_told_to_have_ended_elsewhere(digits, out):
    waiting = dataclasses.replace(SMALL, epochs=9, early_stopping=1, optimizer="sgd", learning_rate=3.0)
    early, whole = trained(digits, out, waiting), trained(digits, out, dataclasses.replace(waiting, early_stopping=0))
    assert early.info().epochs_done < 9
    told = {one.name: one.a for one in compare(early, whole, digits).settings}
    assert told == {"early_stopping": 1, "ended": f"after batch {early.info().batches_done} of 36"}
    number = next(NUMBERS) + 1
    with pytest.raises(TrainingDivergedError):
        trained(digits, out, dataclasses.replace(SMALL, learning_rate=1e9, optimizer="sgd"))
    diverged = Run.open(out / f"run{number}")
    found = compare(diverged, trained(digits, out), digits)
    n = diverged.info().batches_done
    assert found.a.on_the_way == (f"diverged after batch {n} of 12, weights from before",)
    assert f"where they ended (A: after batch {n} of 12; B: after the last batch)" in found.unlike


def test_a_schedule_alone_is_no_change_on_the_way(first, digits, out):
    run = trained(digits, out, dataclasses.replace(SMALL, schedule="one-cycle"))
    assert [entry.name for entry in compare(first, run, digits).settings] == ["schedule"]


def test_other_data_is_a_difference(first, digits, out):
    others = dl.MnistData(digits.training, digits.validation, digits.test, source="other digits", digest="other")
    found = compare(first, trained(others, out), digits)
    assert [(entry.name, entry.b) for entry in found.settings] == [("data", "other digits"), ("data digest", "other")]
    assert found.unlike == (
        "A and B were trained alike but for one thing: the data (A: a few digits; B: other digits). Both answered the "
        "test images of a few digits; B learned from other data."
    )
    both = compare(first, first, others)
    assert both.unlike == "Both answered the test images of other digits; A and B learned from other data."


def test_the_same_images_from_elsewhere_are_no_other_data(first, digits, out):
    moved = dl.MnistData(digits.training, digits.validation, digits.test, source="a copy", digest=digits.digest)
    found = compare(first, trained(moved, out), digits)
    assert (found.settings, found.unlike, found.data) == ((), "", "a few digits")


def test_a_run_without_weights_is_told(first, digits, tmp_path):
    run = Run.create(tmp_path / "new")
    run.write_json(CONFIG, first.read_json(CONFIG))
    with pytest.raises(RunError, match="stopped before its first state was saved"):
        compare(first, run, digits)


def test_runs_with_other_classes_cannot_be_compared(first, digits, out):
    more = trained(digits, out, SMALL, Architecture([Flatten(), Dense(12, activation="softmax")]))
    with pytest.raises(RunError, match=r"10 classes apart and .* 12"):
        compare(first, more, digits)


def test_a_network_for_other_images_is_told(first, digits, tmp_path):
    from digitlab.network import Checkpoint

    other = Architecture([Flatten(), Dense(10, activation="softmax")], input_shape=(8, 8, 1))
    run = Run.create(tmp_path / "small")
    run.write_json(CONFIG, {"config": {}})
    run.save(MODEL, Checkpoint(other, tuple(other.initial_weights(0))))
    with pytest.raises(InputError, match="small cannot be compared on a few digits"):
        compare(first, run, digits)


def test_a_damaged_description_is_no_traceback(first, digits, tmp_path):
    run = Run.create(tmp_path / "odd")
    run.write_json(CONFIG, {"config": [1], "data": "x", "network": {"layers": 3}})
    run.save(MODEL, first.load_model())
    names = [entry.name for entry in compare(first, run, digits).settings]
    assert {"layers", "epochs", "data"} <= set(names)


def test_a_sentence_stays_short_whatever_settings_somebody_wrote(first, digits, tmp_path):
    run = Run.create(tmp_path / "odd")
    description = first.read_json(CONFIG)
    description["config"] |= {f"{n:05}{'x' * 500}": "y" * 500 for n in range(1000)}
    run.write_json(CONFIG, description)
    run.save(MODEL, first.load_model())
    (run.path / HISTORY).write_bytes((first.path / HISTORY).read_bytes())
    found = compare(first, run, digits)
    assert len(found.settings) == 1000
    assert found.unlike.endswith("and 970 more; what sets their figures apart may come from any of these.")
    assert len(found.unlike) < 3_000


def test_model_files_are_compared_too_each_as_it_learned(foreign, first, digits):
    found = compare(foreign("0-255"), foreign("0-1"), digits)
    assert found.settings == found.disagreements == ()
    assert found.a.evaluation.confusion_matrix == found.b.evaluation.confusion_matrix
    assert (found.a.on_the_way, found.b.on_the_way) == (("given pixels 0-255",), ())
    assert found.unlike.startswith("How of 0-255.safetensors and of 0-1.safetensors learned is not known here")
    beside = compare(first, foreign("-1-1"), digits, pixels="-1-1")
    assert beside.b.evaluation.accuracy == found.a.evaluation.accuracy
    assert {setting.name for setting in beside.settings} <= {"layers", "parameters"}
