"""TrainConfig: one place for every hyperparameter, nothing in it that cannot be used, and a command that repeats it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitlab.engine.optimizers import SGD, Adam, AdamW
from digitlab.errors import ConfigError, NetworkError
from digitlab.network import Architecture, architecture
from digitlab.training.config import OPTIMIZERS, PRESETS, TrainConfig, command_for, preset

FIELDS = {field.name: field for field in dataclasses.fields(TrainConfig)}
KINDS = {name: str(field.type).removesuffix(" | None") for name, field in FIELDS.items()}
LARGEST = 2**31 - 1
WRONG_TYPES = {
    "int": (True, 1.5, "3", float("nan"), [3], None),
    "float": (True, "0.1", float("nan"), float("inf"), float("-inf"), 10**400, 1j, None),
    "bool": (1, 0, "yes", None),
    "str": (3, b"codelab_cnn", "", "a\0b", None),
}
TOO_SMALL = {
    "train_images": (0, -1),
    "validation_images": (-1,),
    "batch_size": (0, -5),
    "epochs": (0, -1),
    "learning_rate": (0, 0.0, -1e-3, 1e-60),
    "beta_1": (-0.1,),
    "beta_2": (-0.1,),
    "epsilon": (0.0, -1e-7, 1e-60),
    "momentum": (-0.1,),
    "weight_decay": (-0.1,),
    "label_smoothing": (-0.1,),
    "seed": (-1,),
    "early_stopping": (-1,),
    "not_a_digit": (-0.1,),
    "variants": (-0.1,),
    "threads": (0, -2),
}
TOO_LARGE = {
    "train_images": LARGEST + 1,
    "validation_images": LARGEST + 1,
    "batch_size": LARGEST + 1,
    "epochs": 10**400,
    "learning_rate": 1e30,
    "beta_1": 1.0,
    "beta_2": 1.0,
    "epsilon": 1e30,
    "momentum": 1.0,
    "weight_decay": 1e30,
    "label_smoothing": 0.95,
    "seed": LARGEST + 1,
    "early_stopping": LARGEST + 1,
    "not_a_digit": 0.95,
    "variants": 0.95,
    "threads": LARGEST + 1,
}

fractions = st.floats(0, 1, exclude_max=True)
positive = st.floats(1e-30, 1e9)
counts = st.integers(1, LARGEST)
configs = st.builds(
    TrainConfig,
    network=st.text(min_size=1).filter(lambda text: "\0" not in text),
    data=st.none() | st.text(min_size=1).filter(lambda text: "\0" not in text),
    train_images=counts,
    validation_images=counts,
    batch_size=counts,
    epochs=counts,
    optimizer=st.sampled_from(OPTIMIZERS),
    learning_rate=positive,
    schedule=st.sampled_from(["constant", "cosine", "one-cycle"]),
    beta_1=fractions,
    beta_2=fractions,
    epsilon=positive,
    momentum=fractions,
    nesterov=st.booleans(),
    weight_decay=st.none() | st.floats(0, 1e9),
    label_smoothing=st.floats(0, 0.9),
    shuffle=st.booleans(),
    seed=st.integers(0, LARGEST),
    early_stopping=st.integers(0, LARGEST),
    best_weights=st.booleans(),
    threads=st.none() | counts,
)


def wrong_types():
    for name, field in FIELDS.items():
        kind = str(field.type).removesuffix(" | None")
        for value in WRONG_TYPES[kind]:
            if value is not None or kind == str(field.type):
                yield pytest.param(name, value, id=f"{name}={str(value)[:12]!r}")


def test_the_defaults_are_the_codelabs():
    config = TrainConfig()
    assert (config.train_images, config.validation_images) == (5_500, 1_000)
    assert (config.batch_size, config.epochs, config.shuffle) == (512, 10, True)
    assert config.build_optimizer() == Adam(0.001, 0.9, 0.999, 1e-7, 0.0)
    assert config.build_architecture() == architecture("codelab_cnn")
    assert [config.rate(step, 110) for step in (0, 50, 109)] == [0.001] * 3


def test_the_docstring_describes_every_field_in_order():
    described = re.findall(r"^    (\w+) : ([^\n]+)\n        (\w[^\n]+\.)", TrainConfig.__doc__ or "", re.MULTILINE)
    assert [name for name, _, _ in described] == list(FIELDS)
    for name, kind, _ in described:
        assert kind == str(FIELDS[name].type).replace(" | None", ", optional")


@pytest.mark.parametrize(("name", "value"), list(wrong_types()))
def test_a_value_of_another_type_is_refused_by_its_name(name, value):
    with pytest.raises(ConfigError, match=f"^{name} must be .*; got .*\\.$"):
        TrainConfig(**{name: value})


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in TOO_SMALL.items() for value in values])
def test_a_value_that_is_too_small_is_refused_with_the_least(name, value):
    with pytest.raises(ConfigError, match=f"^{name} must be (at least|from) .*; got -?[0-9.e-]+\\.$"):
        TrainConfig(**{name: value})


@pytest.mark.parametrize(("name", "value"), list(TOO_LARGE.items()))
def test_a_value_that_is_too_large_is_refused_with_the_most(name, value):
    with pytest.raises(ConfigError, match=f"^{name} must be (at most|from) .*; got .*\\.$"):
        TrainConfig(**{name: value})


def test_every_number_has_a_range():
    numbers = {name for name, field in FIELDS.items() if re.match("int|float", str(field.type))}
    assert set(TOO_SMALL) == set(TOO_LARGE) == numbers


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"optimizer": "adm"}, "There is no optimizer 'adm'. Did you mean 'adam'? There are adam, adamw, sgd."),
        ({"schedule": "one_cycle"}, "Did you mean 'one-cycle'"),
        (
            {"augmentation": "raeder"},
            "There is no augmentation 'raeder'. Did you mean 'reader'? There are none, reader.",
        ),
        ({"early_stopping": 2, "validation_images": 0}, "need validation images"),
        ({"best_weights": True, "validation_images": 0}, "need validation images"),
        ({"not_a_digit": 0.5, "variants": 0.5}, "together must be at most 0.9"),
        ({"optimizer": "sgd", "beta_1": 1.5}, "beta_1 must be"),
        ({"optimizer": "adam", "momentum": 1.5}, "momentum must be"),
    ],
)
def test_values_that_do_not_fit_together_get_a_sentence(changes, sentence):
    with pytest.raises(ConfigError) as error:
        TrainConfig(**changes)
    assert sentence in str(error.value)


def test_numbers_of_numpy_and_paths_become_plain():
    config = TrainConfig(
        epochs=np.int64(3), seed=np.uint8(4), learning_rate=np.float32(0.5), beta_1=0, data=Path("a") / "b"
    )
    assert (
        config.to_dict()
        == TrainConfig(epochs=3, seed=4, learning_rate=0.5, beta_1=0.0, data=os.path.join("a", "b")).to_dict()
    )
    assert [type(value) for value in (config.epochs, config.seed, config.learning_rate, config.beta_1)] == [
        int,
        int,
        float,
        float,
    ]
    json.dumps(config.to_dict(), allow_nan=False)


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().epochs = 3


@given(configs)
def test_the_json_form_comes_back_equal(config):
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict(), allow_nan=False))) == config


@given(configs)
def test_what_was_changed_is_all_that_is_needed(config):
    assert TrainConfig(**config.changed()) == config


@given(st.dictionaries(st.sampled_from(list(FIELDS)) | st.text(), st.none() | st.booleans() | st.floats() | st.text()))
def test_any_json_object_is_a_config_or_a_sentence(values):
    try:
        config = TrainConfig.from_dict(values)
    except ConfigError:
        return
    assert {name: getattr(config, name) for name in values} == values


@pytest.mark.parametrize("values", [None, 3, "epochs", ["epochs"]])
def test_a_json_form_that_is_no_object_is_refused(values):
    with pytest.raises(ConfigError, match="a JSON object"):
        TrainConfig.from_dict(values)


def test_an_unknown_setting_gets_the_nearest():
    with pytest.raises(ConfigError, match=r"There is no setting 'epoch'. Did you mean 'epochs'"):
        TrainConfig.from_dict({"epoch": 3})


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_is_valid_and_builds(name):
    config = preset(name)
    network = config.build_architecture()
    assert network.answers_maps == (config.loss == "finder")
    if not network.answers_maps:
        assert network.n_classes == (11 if config.not_a_digit or config.learns_from == "candidates" else 10)
    assert config.changed() == PRESETS[name]


def test_the_preset_codelab_changes_nothing():
    assert preset("codelab") == TrainConfig()


def test_the_preset_fast_is_one_epoch_of_all_training_images():
    config = preset("fast")
    assert (config.network, config.train_images, config.batch_size, config.epochs) == ("fast_cnn", 55_000, 256, 1)
    assert (config.learning_rate, config.beta_1, config.beta_2, config.schedule) == (0.01, 0.7, 0.9, "one-cycle")
    assert config.label_smoothing == 0.1


def test_values_change_a_preset():
    assert preset("fast", {"batch_size": 128, "seed": 3}) == dataclasses.replace(preset("fast"), batch_size=128, seed=3)


def test_a_misspelled_preset_gets_the_nearest():
    with pytest.raises(
        ConfigError,
        match=r"There is no preset 'fats'\. Did you mean 'fast'\? "
        r"There are codelab, fast, accurate, reader, second-look, finder\.",
    ):
        preset("fats")


def test_a_preset_with_an_unknown_setting_gets_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'batch_size'"):
        preset("fast", {"batchsize": 3})


@pytest.mark.parametrize(
    ("changes", "optimizer"),
    [
        ({"optimizer": "adamw"}, AdamW(0.001)),
        ({"optimizer": "adamw", "weight_decay": 0.0}, AdamW(0.001, weight_decay=0.0)),
        ({"weight_decay": 0.1}, Adam(weight_decay=0.1)),
        ({"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True}, SGD(0.1, 0.9, True)),
    ],
)
def test_the_optimizer_is_the_one_described(changes, optimizer):
    assert TrainConfig(**changes).build_optimizer() == optimizer


def test_a_network_comes_from_a_json_file(tmp_path):
    network = architecture("dense_baseline")
    path = tmp_path / "My Network.JSON"
    path.write_text(json.dumps(network.to_dict()), "utf-8")
    assert TrainConfig(network=path).build_architecture() == network


def test_an_unknown_network_gets_the_nearest():
    with pytest.raises(NetworkError, match="Did you mean 'codelab_cnn'"):
        TrainConfig(network="codelab_cmn").build_architecture()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "cannot be read as a network's JSON form"),
        (b'{"layers": [', "cannot be read as a network's JSON form"),
        (b"\xff\xfe\x00", "cannot be read as a network's JSON form"),
        (b"[" * 100_000, "cannot be read as a network's JSON form"),
        (b"[" + b" " * 1_000_000 + b"]", "at most 1,000,000 are read"),
        (b"[]", '"layers"'),
        (b'{"layers": [{"class_name": "Conv3D"}]}', "Layer 1: digitlab has no layer 'Conv3D'"),
    ],
)
def test_a_damaged_network_file_gets_a_sentence_with_its_name(tmp_path, content, sentence):
    path = tmp_path / "network.json"
    path.write_bytes(content)
    with pytest.raises(NetworkError) as error:
        TrainConfig(network=str(path)).build_architecture()
    assert str(path) in str(error.value)
    assert sentence in str(error.value)


def test_a_network_file_that_is_missing_or_no_file_gets_a_sentence(tmp_path):
    with pytest.raises(NetworkError, match=r"There is no file .*missing.json. Check the name"):
        TrainConfig(network=tmp_path / "missing.json").build_architecture()
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(NetworkError, match="Is a directory"):
        TrainConfig(network=tmp_path / "folder.json").build_architecture()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_in_place_of_a_network_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(NetworkError, match="not an ordinary file"):
        TrainConfig(network=tmp_path / "pipe.json").build_architecture()


@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_network_or_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with suppress(NetworkError):
        assert isinstance(TrainConfig(network=path).build_architecture(), Architecture)


names = st.text(min_size=1).filter(lambda text: "\0" not in text)
changes = st.fixed_dictionaries(
    {},
    optional={
        "network": names | st.sampled_from(["-layers.json", "my network.json", "$(date).json"]),
        "data": st.none() | names,
        "train_images": st.integers(1, 60_000),
        "batch_size": st.sampled_from([256, 512]),
        "epochs": st.integers(1, 20),
        "optimizer": st.sampled_from(OPTIMIZERS),
        "learning_rate": st.floats(1e-30, 1e9),
        "schedule": st.sampled_from(["constant", "cosine", "one-cycle"]),
        "beta_1": st.floats(0, 1, exclude_max=True),
        "nesterov": st.booleans(),
        "weight_decay": st.none() | st.floats(0, 1e9),
        "shuffle": st.booleans(),
        "seed": st.integers(0, 2**31 - 1),
        "best_weights": st.booleans(),
        "threads": st.none() | st.integers(1, 64),
    },
)


def parsed(command: str) -> TrainConfig:
    """Return the config that a command asks for, by the rules of the command line: --no- for false, = or a space."""
    words = shlex.split(command)
    assert words[:2] == ["digitlab", "train"]
    start, values, rest = "codelab", {}, words[2:]
    while rest:
        option, _, value = rest.pop(0).removeprefix("--").partition("=")
        name = option.replace("-", "_")
        if name.removeprefix("no_") in KINDS and KINDS[name.removeprefix("no_")] == "bool":
            values[name.removeprefix("no_")] = not name.startswith("no_")
            continue
        if not value:
            value = rest.pop(0)
            assert not value.startswith("-")  # it would be taken for an option
        if name == "preset":
            start = value
        else:
            values[name] = {"int": int, "float": float, "str": str}[KINDS[name]](value)
    return preset(start, values)


@given(start=st.sampled_from(list(PRESETS)), values=changes)
def test_the_command_gives_the_same_config(start, values):
    config = preset(start, values)
    assert parsed(command_for(config)) == config


def test_the_command_is_the_shortest():
    assert command_for(TrainConfig()) == "digitlab train"
    assert command_for(preset("fast")) == "digitlab train --preset fast"
    assert command_for(preset("fast", {"seed": 3, "threads": 1})) == "digitlab train --preset fast --seed 3 --threads 1"
    assert (
        command_for(TrainConfig(data="my digits", best_weights=True))
        == "digitlab train --data 'my digits' --best-weights"
    )
