"""What people who know Keras write: compile, fit, evaluate, predict, save; their data; Keras' own callbacks."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import digitlab as dl
from digitlab.engine.keras_words import MISSING
from digitlab.errors import ConfigError, DataError, DigitlabError, MissingNameError, NetworkError, StorageError
from digitlab.network import Dense, Flatten

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (60, 4, 5), np.uint8)
LABELS = RNG.integers(0, 3, 60)


def small(seed: int = 0) -> dl.Sequential:
    return dl.Sequential([Flatten(), Dense(3, activation="softmax")], (4, 5, 1), "small", seed=seed)


@pytest.fixture
def model() -> dl.Sequential:
    return small()


class SetOfTorch:
    """A data set that knows its items one by one, and would be asked for very many."""

    data, targets = BYTES, LABELS

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, k: int) -> tuple[Any, int]:
        return BYTES[0], 0


def learned(x: Any, y: Any, **settings: Any) -> dl.History:
    return small().fit(x, y, epochs=1, batch_size=16, **settings)


def test_the_lines_of_a_keras_tutorial_work(model: dl.Sequential) -> None:
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(BYTES, LABELS, batch_size=16, epochs=2, verbose=0, validation_split=0.1)
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.epoch == [0, 1]
    loss, accuracy = model.evaluate(BYTES, LABELS, verbose=0)
    ours = model.predict(BYTES, verbose=0)
    assert accuracy == (ours.argmax(axis=1) == LABELS).mean()
    assert loss == pytest.approx(-np.log(ours[np.arange(60), LABELS]).mean(), rel=1e-6)
    assert model.evaluate(BYTES, LABELS, return_dict=True) == {"loss": loss, "accuracy": accuracy}
    np.testing.assert_array_equal(model(BYTES), ours)
    np.testing.assert_array_equal(model.predict(x=BYTES, batch_size=7), ours)
    assert (model.input_shape, model.output_shape) == ((None, 4, 5, 1), (None, 3))
    assert [layer.name for layer in model.layers] == ["flatten", "dense"]
    assert model.get_layer("dense") is model.get_layer(index=1)
    assert model.metrics_names == ["loss", "accuracy"]


def test_the_part_that_is_split_off_is_the_last_and_is_not_learned_from() -> None:
    split = learned(BYTES, LABELS, validation_split=0.2)
    apart = learned(BYTES[:48], LABELS[:48], validation_data=(BYTES[48:], LABELS[48:]))
    assert split.history == apart.history
    # As in Keras, validation_data counts where both are given.
    both = learned(BYTES, LABELS, validation_split=0.2, validation_data=(BYTES[:9], LABELS[:9]))
    assert both.history["loss"] == learned(BYTES, LABELS).history["loss"]


@pytest.mark.parametrize("optimizer", ["sgd", "SGD", dl.SGD, dl.SGD()])
def test_an_optimizer_is_a_name_a_class_or_an_object_and_lasts_until_compile_is_called_again(optimizer: Any) -> None:
    expected = learned(BYTES, LABELS, optimizer=dl.SGD(0.01)).history
    model = small()
    model.compile(optimizer)
    assert model.optimizer is not None
    assert (model.optimizer.name, model.optimizer.learning_rate, model.optimizer.lr) == ("sgd", 0.01, 0.01)
    assert model.fit(BYTES, LABELS, epochs=1, batch_size=16).history == expected
    assert learned(BYTES, LABELS, optimizer=optimizer).history == expected


def test_a_rate_that_was_set_on_the_compiled_optimizer_counts_for_the_next_fit(model: dl.Sequential) -> None:
    model.compile(dl.SGD(0.5))
    assert model.optimizer is not None
    model.optimizer.learning_rate = 0.25
    assert [record.learning_rate for record in model.fit(BYTES, LABELS, epochs=1).steps] == [0.25]
    assert [record.learning_rate for record in model.fit(BYTES, LABELS, epochs=1).steps] == [0.5]
    model.compile(dl.SGD(0.5))
    assert [record.learning_rate for record in model.fit(BYTES, LABELS, epochs=1).steps] == [0.5]


def test_the_accuracy_is_called_as_compile_was_told(model: dl.Sequential) -> None:
    model.compile(metrics=["acc"])
    history = model.fit(BYTES, LABELS, epochs=1, validation_split=0.1)
    assert list(history.history) == ["loss", "acc", "val_loss", "val_acc"]
    assert list(model.evaluate(BYTES, LABELS, return_dict=True)) == ["loss", "acc"]


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"optimizer": "rmsprop"}, "There are adam, adamw, sgd"),
        ({"optimizer": "adm"}, "Did you mean 'adam'"),
        ({"optimizer": 0.001}, r"digitlab.Adam\(0.001\)"),
        ({"loss": "mse"}, 'write loss="sparse_categorical_crossentropy"'),
        ({"loss": "binary_crossentropy"}, "no loss 'binary_crossentropy'"),
        ({"loss": lambda a, b: 0}, "cross-entropy"),
        ({"metrics": ["precision"]}, r"digitlab.evaluate\(model, x, y\)"),
        ({"metrics": ["accuracy", "acc"]}, 'metrics=\\["accuracy"\\]'),
        ({"loss_weights": [1.0]}, "there is one loss"),
        ({"optimiser": "adam"}, "Did you mean 'optimizer'"),
    ],
)
def test_what_compile_cannot_do_is_a_sentence_that_says_what_to_write(
    model: dl.Sequential, told: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        model.compile(**told)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"class_weight": {0: 2.0}}, "repeat the images of rare classes"),
        ({"sample_weight": np.ones(60)}, "leave out those"),
        ({"initial_epoch": 3}, "goes on with the weights"),
        ({"steps_per_epoch": 3}, "give fewer images"),
        ({"epoch": 3}, "Did you mean 'epochs'"),
        ({"epochs": "10"}, "epochs must be a whole number"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"seed": 0.5}, "seed must be a whole number"),
        ({"validation_split": 1.0}, "0 to below 1"),
        ({"validation_split": 0.999}, "leaves none to learn from"),
        ({"validation_data": BYTES}, "validation_data is two"),
        ({"validation_data": (BYTES, LABELS, LABELS)}, "got 3 of them"),
        ({"callbacks": "early"}, "keras.callbacks.EarlyStopping"),
        ({"callbacks": [dict]}, "dict is a class"),
        ({"callbacks": lambda epoch: None}, "LambdaCallback"),
    ],
)
def test_what_fit_cannot_do_is_a_sentence_that_says_what_to_write(
    model: dl.Sequential, told: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DigitlabError, match=sentence):
        model.fit(BYTES, LABELS, **told)


def test_settings_that_change_no_result_are_passed_over(model: dl.Sequential) -> None:
    model.compile(run_eagerly=True, jit_compile=False, steps_per_execution=4, loss_weights=None)
    history = model.fit(
        BYTES, LABELS, 16, np.int64(1), 0, None, workers=4, sample_weight=None, initial_epoch=0, validation_freq=1
    )
    assert history.history == learned(BYTES, LABELS).history
    lines: list[str] = []
    model.summary(line_length=80, print_fn=lines.append)
    assert len(lines) == 4


def test_one_callback_needs_no_list(model: dl.Sequential) -> None:
    class Counting:
        n = 0

        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            self.n += 1

    counting = Counting()
    model.fit(BYTES, LABELS, epochs=3, callbacks=counting)
    assert counting.n == 3


def test_what_a_keras_model_has_and_this_has_not_is_told(model: dl.Sequential) -> None:
    for name in MISSING:
        with pytest.raises(MissingNameError, match=name):
            getattr(model, name)
        assert not hasattr(model, name)
    with pytest.raises(AttributeError, match="Did you mean 'evaluate'"):
        model.evalute(BYTES, LABELS)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="none can be frozen"):
        model.trainable = False
    with pytest.raises(NetworkError, match="as get_weights returns them"):
        model.set_weights(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="trains"):
        model(BYTES, training=True)
    with pytest.raises(ConfigError, match="needs images"):
        model.predict()
    with pytest.raises(NetworkError, match="It has flatten, dense"):
        model.get_layer("dens")


def test_a_model_is_copied_and_sent_to_other_processes_as_any_object_is(model: dl.Sequential) -> None:
    model.compile("sgd", metrics=["acc"])
    model.fit(BYTES, LABELS, epochs=1)
    for other in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(BYTES), model.predict(BYTES))
        assert other.metrics_names == ["loss", "acc"]
        with pytest.warns(UserWarning, match="from 0 to 255"):
            other.predict(BYTES.astype(float))
    draft = dl.Sequential(input_shape=(4, 5, 1))
    draft.add(Flatten())
    other = pickle.loads(pickle.dumps(draft))
    other.add(Dense(3, activation="softmax"))
    assert other.count_params() == 63


def test_a_network_is_put_together_by_add_and_keeps_what_it_has_learned() -> None:
    model = dl.Sequential(input_shape=(4, 5, 1), name="small", seed=3)
    assert "0 layers" in repr(model)
    with pytest.raises(NetworkError, match="at least one layer"):
        model.predict(BYTES)
    model.add(Flatten())
    assert model.layers == [Flatten()]
    with pytest.raises(NetworkError, match="softmax"):
        model.summary(print_fn=lambda line: None)
    model.add(Dense(3, activation="softmax"))
    for ours, at_once in zip(model.get_weights(), small(3).get_weights(), strict=True):
        np.testing.assert_array_equal(ours, at_once)
    model.fit(BYTES, LABELS, epochs=1)
    kept = model.get_weights()
    model.add(Dense(2, activation="softmax"))
    with pytest.raises(NetworkError, match="softmax belongs in the last layer"):
        model.predict(BYTES)
    for wrong in (3, "dense", None):
        with pytest.raises(NetworkError, match="is not a layer"):
            model.add(wrong)  # type: ignore[arg-type]
    other = dl.Sequential([Flatten(), Dense(3, activation="softmax")], (4, 5, 1))
    other.set_weights(kept)
    np.testing.assert_array_equal(other.get_weights()[0], kept[0])


# ---- data ----

FORMS = {
    "wide integers": BYTES.astype(np.int64),
    "small integers": BYTES.astype(np.int16),
    "floats": BYTES / 255,
    "half floats": (BYTES / np.float32(255)).astype(np.float32),
    "a list": BYTES.tolist(),
    "rows": BYTES.reshape(60, 20),
    "channels": BYTES[..., np.newaxis],
    "objects": BYTES.astype(object),
    "reversed memory": BYTES[::-1][::-1],
}


@pytest.mark.parametrize("form", FORMS)
def test_images_of_any_form_give_the_same_training(form: str) -> None:
    expected = learned(BYTES, LABELS).history["loss"]
    np.testing.assert_allclose(learned(FORMS[form], LABELS).history["loss"], expected, rtol=1e-5)


def test_booleans_are_ink_or_none() -> None:
    assert learned(BYTES > 127, LABELS).history == learned((BYTES > 127).astype(np.float32), LABELS).history


@given(
    labels=st.lists(st.integers(0, 2), min_size=1, max_size=12),
    form=st.sampled_from(["column", "float", "one-hot", "float one-hot", "list", "object", "int8", "bool"]),
)
@settings(max_examples=60, deadline=None)
def test_labels_of_any_form_mean_the_same(labels: list[int], form: str) -> None:
    numbers = np.array([min(one, 1) for one in labels] if form == "bool" else labels)
    one_hot = np.eye(3, dtype=np.int64)[numbers]
    given_labels: Any = {
        "column": numbers[:, np.newaxis],
        "float": numbers.astype(np.float32),
        "one-hot": one_hot,
        "float one-hot": one_hot.astype(np.float64),
        "list": numbers.tolist(),
        "object": numbers.astype(object),
        "int8": numbers.astype(np.int8),
        "bool": numbers.astype(bool),
    }[form]
    found = small().labelled(np.zeros((len(numbers), 20), np.uint8), given_labels)
    np.testing.assert_array_equal(found.labels, numbers)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_labels_that_are_none_are_a_sentence(data: st.DataObject) -> None:
    bad = data.draw(
        st.sampled_from([-1, 3, 0.5, float("nan"), float("inf"), -0.5, "2", "cat", b"1", None, [1], 2**70, 1j, [1, 2]])
    )
    labels = [0, 1, 2]
    labels.insert(data.draw(st.integers(0, 3)), bad)  # type: ignore[arg-type]
    with pytest.raises(DataError):
        small().labelled(np.zeros((4, 20), np.uint8), labels)


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (np.full((60, 4, 5), np.nan), LABELS, "60 of 60 images hold pixels that are NaN or infinite"),
        (
            np.where(np.arange(60)[:, None, None] == 7, np.inf, BYTES / 255),
            LABELS,
            "1 of 60 .* first at position 7",
        ),
        (BYTES.astype(np.float64) * 1e300, LABELS, "NaN or infinite"),
        (BYTES.astype(np.int64) * 2, LABELS, "whole numbers are bytes"),
        (BYTES, LABELS[:5], "60 images but 5 labels"),
        (BYTES, None, "60 images but 0 labels"),
        (BYTES[:0], LABELS[:0], "no images"),
        ([], [], "no images"),
        (np.zeros((60, 21)), LABELS, "Kaggle's train.csv"),
        (BYTES, LABELS.astype(str), "Texts of digits become numbers"),
        (BYTES, ["Zero"] * 60, "np.unique"),
        ((one for one in BYTES), LABELS, "generators"),
        ((BYTES, LABELS), None, r"two: \(x, y\)"),
        ("train.csv", None, "MnistData.load"),
        (dl.MnistData.load().test, None, r"x, y = data\.images, data\.labels"),
        (dl.MnistData.load(), None, r"data\.training\.images"),
        (SetOfTorch(), None, r"x, y = data\.data, data\.targets"),
    ],
)
def test_data_that_cannot_be_learned_from_are_named(x: Any, y: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        learned(x, y)
    if y is not None and not isinstance(x, str):
        with pytest.raises(DataError):
            small().evaluate(x, y)


def test_another_scale_of_pixels_is_told_of_when_learning() -> None:
    for x, advice in (
        (BYTES.astype(np.float32), r"pass images / 255, or bytes"),
        (BYTES / 255.0 * 16, r"pass images / 16\."),
        (BYTES // 255, r"If 1 is ink, pass images / 1\.0"),
    ):
        with pytest.warns(UserWarning, match=advice):
            learned(x, LABELS)
    with pytest.warns(UserWarning, match="from 0 to 1 when the network learned .* from 0 to 255"):
        learned(BYTES, LABELS, validation_data=(BYTES.astype(float), LABELS))


def test_another_scale_of_pixels_is_told_of_when_asking(model: dl.Sequential) -> None:
    model.fit(BYTES, LABELS, epochs=1)
    for right in (BYTES, BYTES / 255, BYTES * 0.0, BYTES.astype(int), BYTES / 127.5 - 1):
        model.predict(right)
    with pytest.warns(UserWarning, match=r"pass X / 255\."):
        model.predict(BYTES.astype(np.float32))
    with pytest.warns(UserWarning, match=r"pass X / 255\."):
        model.evaluate(BYTES.astype(np.float32), LABELS)
    with pytest.warns(UserWarning, match="taken as they are"):
        model.fit(BYTES.astype(np.float32), LABELS, epochs=1)
    model.predict(BYTES.astype(np.float32))
    with pytest.warns(UserWarning, match=r"pass X \* 255\."):
        model.predict(BYTES / 255)
    with pytest.warns(UserWarning, match=r"Pass images.astype\(float\)\."):
        model.predict(BYTES)
    model.fit(BYTES / 127.5 - 1, LABELS, epochs=1)  # of which nothing is known
    model.predict(BYTES)


def test_a_run_is_known_to_have_learned_from_bytes(tmp_path: Path) -> None:
    dl.train(dl.TrainConfig(epochs=1, train_images=512, network="dense_baseline"), tmp_path, name="run")
    images = dl.MnistData.load().test.images[:5]
    model = dl.load_model("run", out=tmp_path)
    model.predict(images)
    with pytest.warns(UserWarning, match=r"pass X / 255\."):
        model.predict(images.astype(float))


def test_frames_are_taken_as_they_come() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(BYTES.reshape(60, 20)).astype("int64")
    frame.insert(0, "label", LABELS)
    expected = learned(BYTES, LABELS).history
    x = frame.drop(columns="label")
    for y in (frame["label"], frame[["label"]], frame["label"].astype(object)):
        assert learned(x, y).history == expected
    assert learned(x.astype(object), LABELS, validation_split=0.1).history["loss"]
    gaps = x.astype("Int64").mask(x > 250)
    with pytest.raises(DataError, match=r"among these is '<NA>'.*fillna\(0\)"):
        learned(gaps, LABELS)
    with pytest.raises(DataError, match="NaN or infinite"):
        learned(x.mask(x > 250), LABELS)
    np.testing.assert_array_equal(small().predict(x), small().predict(BYTES))
    with pytest.raises(DataError, match=r"frame\.drop"):
        learned(frame, LABELS)


# ---- files ----


@pytest.mark.parametrize(
    "name", ["model.keras", "model.h5", "model.onnx", "model.safetensors", "folder", "folder/model.json"]
)
def test_a_saved_model_is_loaded_and_answers_the_same(name: str, tmp_path: Path) -> None:
    model = dl.Sequential.from_architecture(small(1).architecture, seed=1, class_names=("a", "b", "c"))
    model.save(tmp_path / name)
    back = dl.load_model(tmp_path / name)
    np.testing.assert_allclose(back.predict(BYTES), model.predict(BYTES), atol=1e-6)
    # Keras' older format has no place for them.
    assert back.class_names == (("0", "1", "2") if name == "model.h5" else ("a", "b", "c"))
    model.save(str(tmp_path / name))
    with pytest.raises(StorageError, match="overwrite is False"):
        model.save(tmp_path / name, overwrite=False)


@pytest.mark.parametrize("name", ["model.keras", "model.onnx", "model.safetensors", "folder"])
def test_the_scale_that_a_saved_model_learned_from_is_part_of_it_when_it_is_loaded(name: str, tmp_path: Path) -> None:
    model = small()
    with pytest.warns(UserWarning, match="taken as they are"):
        model.fit(BYTES.astype(float), LABELS, epochs=1)
    model.save(tmp_path / name)
    back = dl.load_model(tmp_path / name)
    np.testing.assert_allclose(back.predict(BYTES), model.predict(BYTES.astype(float)), atol=1e-4)
    with pytest.warns(UserWarning, match=r"pass X / 255\."):
        back.predict(BYTES.astype(float))
    if name == "model.onnx":  # which others give bytes, too
        session = pytest.importorskip("onnxruntime").InferenceSession(tmp_path / name)
        (answers,) = session.run(None, {"images": BYTES[..., np.newaxis]})
        np.testing.assert_allclose(answers, back.predict(BYTES), atol=1e-5)
    model.fit(BYTES, LABELS, epochs=1)
    model.save(tmp_path / name)
    np.testing.assert_allclose(dl.load_model(tmp_path / name).predict(BYTES), model.predict(BYTES), atol=1e-6)


def test_weights_are_saved_and_loaded_alone(tmp_path: Path) -> None:
    model = small(1)
    model.save_weights(tmp_path / "some.weights.h5")
    model.save(tmp_path / "model.safetensors")
    for name in ("some.weights.h5", "model.safetensors"):
        other = small(2)
        other.load_weights(tmp_path / name)
        np.testing.assert_array_equal(other.predict(BYTES), model.predict(BYTES))
    wide = dl.Sequential([Flatten(), Dense(4, activation="softmax")], (4, 5, 1))
    for name in ("some.weights.h5", "model.safetensors", "none.weights.h5"):
        with pytest.raises(DigitlabError):
            wide.load_weights(tmp_path / name)
    (tmp_path / "bad.weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200))
    with pytest.raises(DigitlabError, match=r"bad\.weights\.h5"):
        wide.load_weights(tmp_path / "bad.weights.h5")


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", None, 7])
def test_a_name_that_says_no_kind_of_file_is_told_which_do(name: Any, tmp_path: Path, model: dl.Sequential) -> None:
    with pytest.raises(ConfigError, match=r"\.keras"):
        model.save(name if not isinstance(name, str) else tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match=r"a\.weights\.h5"):
        model.save_weights(tmp_path / "a.h5")
    with pytest.raises(ConfigError, match="ending says the format"):
        model.save(tmp_path / "model.keras", save_format="h5")


# ---- Keras itself ----


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("keras")


interop = [pytest.mark.interop, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]


class TestWithKeras:
    pytestmark = interop

    def test_its_optimizers_are_understood(self, keras: Any, model: dl.Sequential) -> None:
        optimizers = keras.optimizers
        for theirs, ours in (
            (optimizers.Adam(3e-4, beta_1=0.8), dl.Adam(3e-4, beta_1=0.8)),
            (optimizers.AdamW(), dl.AdamW()),
            (optimizers.SGD(0.1, momentum=0.9, nesterov=True), dl.SGD(0.1, momentum=0.9, nesterov=True)),
            (optimizers.Adam, dl.Adam()),
        ):
            expected = learned(BYTES, LABELS, optimizer=ours).history
            assert learned(BYTES, LABELS, optimizer=theirs).history == expected
        for wrong, sentence in (
            (optimizers.RMSprop(), "no optimizer 'RMSprop'"),
            (optimizers.Adam(amsgrad=True), "has no amsgrad"),
            (optimizers.Adam(clipnorm=1.0), "has no clipnorm"),
            (optimizers.Adam(optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)), 'schedule="cosine"'),
        ):
            with pytest.raises(ConfigError, match=sentence):
                model.compile(wrong)

    def test_its_losses_and_metrics_are_understood(self, keras: Any, model: dl.Sequential) -> None:
        losses, metrics = keras.losses, keras.metrics
        for loss in (
            losses.SparseCategoricalCrossentropy(from_logits=True),
            losses.CategoricalCrossentropy(),
            losses.sparse_categorical_crossentropy,
            losses.CategoricalCrossentropy,
        ):
            model.compile(loss=loss, metrics=[metrics.SparseCategoricalAccuracy()])
        history = model.fit(BYTES, keras.utils.to_categorical(LABELS), epochs=1, validation_split=0.1)
        assert "val_sparse_categorical_accuracy" in history.history
        smooth = small()
        smooth.compile(loss=losses.CategoricalCrossentropy(label_smoothing=0.1))
        smooth.fit(BYTES, LABELS, epochs=1)
        expected = small()
        expected.fit(BYTES, LABELS, epochs=1, label_smoothing=0.1)
        np.testing.assert_array_equal(smooth.get_weights()[0], expected.get_weights()[0])
        for wrong in ({"loss": losses.MeanSquaredError()}, {"metrics": [metrics.Precision()]}):
            with pytest.raises(ConfigError):
                model.compile(**wrong)

    def test_its_callbacks_watch_the_accuracy_and_save_the_best(self, keras: Any, tmp_path: Path) -> None:
        callbacks, model = keras.callbacks, small()
        model.compile("sgd", metrics=["accuracy"])
        best = tmp_path / "best.keras"
        every = str(tmp_path / "{epoch:02d}-{val_loss:.2f}.weights.h5")
        history = model.fit(
            BYTES,
            LABELS,
            epochs=4,
            validation_split=0.2,
            callbacks=[
                callbacks.ModelCheckpoint(str(best), monitor="val_accuracy", save_best_only=True),
                callbacks.ModelCheckpoint(every, save_weights_only=True),
                callbacks.EarlyStopping(monitor="val_accuracy", patience=9, restore_best_weights=True),
                callbacks.ReduceLROnPlateau(monitor="val_accuracy"),
            ],
        )
        accuracies = history.history["val_accuracy"]
        for kept in (dl.load_model(best), model):
            assert kept.evaluate(BYTES[48:], LABELS[48:], return_dict=True)["accuracy"] == max(accuracies)  # type: ignore[call-overload]
        theirs = keras.saving.load_model(best)
        scaled = BYTES[..., np.newaxis].astype(np.float32) / np.float32(255)
        np.testing.assert_allclose(np.asarray(theirs(scaled)), dl.load_model(best).predict(BYTES), atol=1e-5)
        files = sorted(tmp_path.glob("*.weights.h5"))
        assert [file.name[:2] for file in files] == ["01", "02", "03", "04"]
        theirs.load_weights(files[-1])
        model.load_weights(files[-1])
        np.testing.assert_allclose(np.asarray(theirs(scaled)), model.predict(BYTES), atol=1e-5)

    def test_the_older_format_is_loaded_by_keras(self, keras: Any, tmp_path: Path) -> None:
        network = [dl.Conv2D(2, 3, activation="relu"), dl.MaxPooling2D(2), Flatten(), Dense(3, activation="softmax")]
        model = dl.Sequential(network, (6, 5, 1))
        model.save(tmp_path / "model.h5")
        theirs = keras.saving.load_model(tmp_path / "model.h5", compile=False)
        images = np.zeros((60, 6, 5, 1), np.float32)
        images[:, :4, :, 0] = BYTES / 255
        np.testing.assert_allclose(np.asarray(theirs(images)), model.predict(images), atol=1e-5)
        history = small().fit(
            BYTES, LABELS, epochs=1, callbacks=keras.callbacks.ModelCheckpoint(str(tmp_path / "best.h5"))
        )
        assert len(history.epochs) == 1
        assert (tmp_path / "best.h5").stat().st_size > 1_000

    def test_weights_that_keras_saves_are_loaded(self, keras: Any, tmp_path: Path) -> None:
        theirs = small(5).to_keras()
        theirs.save_weights(tmp_path / "theirs.weights.h5")
        model = small(6)
        model.load_weights(tmp_path / "theirs.weights.h5")
        np.testing.assert_array_equal(model.predict(BYTES), small(5).predict(BYTES))

    def test_callbacks_that_need_keras_own_models_are_named(self, keras: Any, tmp_path: Path) -> None:
        callbacks = keras.callbacks
        for one in (
            callbacks.TensorBoard(str(tmp_path)),
            callbacks.BackupAndRestore(str(tmp_path / "b")),
            callbacks.SwapEMAWeights(),
        ):
            with pytest.raises(ConfigError, match=type(one).__name__):
                learned(BYTES, LABELS, callbacks=[one])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ConfigError, match="is a class"):
                learned(BYTES, LABELS, callbacks=callbacks.EarlyStopping)
