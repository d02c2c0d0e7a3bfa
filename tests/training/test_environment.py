"""What a run needs to be repeated: the command parses back to its config, and the environment is known."""

from __future__ import annotations

import dataclasses
import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

import digitlab
from digitlab.training.config import OPTIMIZERS, PRESETS, TrainConfig, preset
from digitlab.training.environment import command_for, environment

COMMIT = "0123456789abcdef0123456789abcdef01234567"
KINDS = {field.name: str(field.type).removesuffix(" | None") for field in dataclasses.fields(TrainConfig)}

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


def test_the_environment_has_versions_processor_threads_and_commit():
    found = environment(3)
    assert found["digitlab"] == digitlab.__version__
    assert found["threads"] == 3
    assert all(found[name] not in (None, "", "unknown") for name in found if name != "commit")
    assert json.loads(json.dumps(found)) == found


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Pretend that digitlab is imported from a source tree."""
    monkeypatch.setattr(digitlab, "__file__", str(tmp_path / "src" / "digitlab" / "__init__.py"))
    (tmp_path / ".git" / "refs" / "heads").mkdir(parents=True)
    return tmp_path / ".git"


@pytest.mark.parametrize("where", ["branch", "packed", "detached"])
def test_the_commit_is_that_of_the_source_tree(checkout, where):
    (checkout / "HEAD").write_text(f"{COMMIT}\n" if where == "detached" else "ref: refs/heads/main\n")
    if where == "branch":
        (checkout / "refs" / "heads" / "main").write_text(f"{COMMIT}\n")
    if where == "packed":
        (checkout / "packed-refs").write_text(
            f"# pack-refs with: peeled\n{'f' * 40} refs/heads/x\n{COMMIT} refs/heads/main\n"
        )
    assert environment(1)["commit"] == COMMIT


@pytest.mark.parametrize("head", [None, "", "ref: refs/heads/unborn", "not a commit", b"\xff\xfe"])
def test_no_commit_is_known_outside_a_repository_or_in_an_odd_one(checkout, head):
    if head is not None:
        (checkout / "HEAD").write_bytes(head if isinstance(head, bytes) else head.encode())
    assert environment(1)["commit"] is None
