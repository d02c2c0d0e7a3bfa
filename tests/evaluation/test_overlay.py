"""Curves over the images seen: every record at its true place, on any other training's axis, too."""

from __future__ import annotations

from contextlib import closing
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitlab.errors import RunError
from digitlab.evaluation.alike import differing_settings, unlike_sentence
from digitlab.evaluation.overlay import ImagesAxis, read_curves
from digitlab.runs.run import CONFIG, Run
from digitlab.values import EpochRecord, StepRecord

SETTINGS = {"network": "dense_baseline", "seed": 3, "epochs": 2, "threads": 2}


@pytest.fixture
def run(tmp_path):
    run = Run.create(tmp_path / "mine")
    run.write_json(CONFIG, {"config": SETTINGS, "command": "digitlab train", "data": {"source": "x", "digest": "d"}})
    return run


def write(run, sizes, n_epochs=1, val_loss=0.5):
    records = []
    for epoch in range(1, n_epochs + 1):
        for batch, n in enumerate(sizes, start=1):
            step = (epoch - 1) * len(sizes) + batch
            records.append(StepRecord(step, epoch, batch, n, 1.0 / step, 0.5, 0.001, 1.0))
        records.append(EpochRecord(epoch, epoch * len(sizes), 1.0, 0.5, val_loss, 0.25, 0.001, 1.0))
    with closing(run.open_history()) as history:
        history.append(records)


def test_every_batch_stands_at_the_images_seen_with_it(run):
    write(run, [40, 40, 20], n_epochs=2)
    curves = read_curves(run)
    assert [point.images for point in curves.batches] == [40, 80, 100, 140, 180, 200]
    assert [point.images for point in curves.epochs] == [100, 200]
    assert curves.n_images == 200
    assert curves.batch_at(39) is None
    assert curves.batch_at(141).batch == 4
    assert curves.epoch_at(199.9).epoch == 1
    assert "threads" not in curves.settings


def test_run_that_was_not_validated_has_its_training_curves(run):
    write(run, [10], val_loss=None)
    (point,) = read_curves(run).epochs
    assert (point.loss, point.val_loss) == (1.0, None)


def test_run_without_a_batch_is_told(run):
    with pytest.raises(RunError, match="tells of no batch"):
        read_curves(run)


@given(st.integers(1, 500), st.integers(1, 600), st.integers(1, 4))
def test_batches_and_epochs_stand_where_their_images_were_seen(n_images, batch_size, n_epochs):
    batches = ImagesAxis(n_images, batch_size, of_epochs=False)
    epochs = ImagesAxis(n_images, batch_size, of_epochs=True)
    whole, rest = divmod(n_images, batch_size)
    sizes = ([batch_size] * whole + [rest] * bool(rest)) * n_epochs
    for step, seen in enumerate(accumulate(sizes), start=1):
        assert batches.place(seen) == pytest.approx(step)
        assert batches.images(step) == pytest.approx(seen)
    for epoch in range(1, n_epochs + 1):
        assert epochs.place(epoch * n_images) == epoch
        assert epochs.images(epoch) == epoch * n_images


@given(st.integers(1, 500), st.integers(1, 600), st.lists(st.integers(0, 5_000), min_size=2, max_size=20))
def test_more_images_stand_further_on_and_the_way_back_is_the_same(n_images, batch_size, seen):
    axis = ImagesAxis(n_images, batch_size, of_epochs=False)
    places = [axis.place(images) for images in sorted(seen)]
    assert places == sorted(places)
    for images in seen:
        assert axis.images(axis.place(images)) == pytest.approx(images, abs=1e-6)


def test_settings_that_all_share_are_left_out_and_the_same_data_is_the_same_wherever_it_lies():
    a, b = {"seed": 1, "data": "here", "data digest": "d"}, {"seed": 1, "data": "there", "data digest": "d", "more": 2}
    assert differing_settings([a, b, a]) == [("more", (None, 2, None))]
    assert differing_settings([a]) == []


def test_the_sentence_warns_where_more_than_one_thing_differs():
    assert unlike_sentence([]) == "They were trained alike, with the same settings."
    assert unlike_sentence(["ended"]) == "They were trained alike but for one thing: where they ended."
    assert unlike_sentence(["network", "layers"]) == "They were trained alike but for one thing: the network."
    told = unlike_sentence(["batch_size", "seed", "layers"])
    assert "they differ in batch size, seed and the network" in told
    assert "may come from any of these" in told


@pytest.mark.parametrize("digest", [["a"], {"a": 1}, None, 3, "a"])
def test_settings_that_anybody_wrote_are_compared_whatever_they_are(digest: object) -> None:
    one, other = {"data": "here", "data digest": digest}, {"data": "there", "data digest": digest}
    found = [name for name, _ in differing_settings([one, other])]
    assert found == ([] if digest is not None else ["data"])
