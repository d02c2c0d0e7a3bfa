"""Lesson links: there and back, and what anybody may write into an address."""

from __future__ import annotations

import base64
import dataclasses
import json
import string
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from digitlab.errors import NetworkError
from digitlab.network import Architecture, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, architecture
from digitlab.studio.lesson import TABS, LessonLink
from digitlab.studio.tasks import TASK_IDS
from digitlab.training.config import PRESETS, TrainConfig

OWN = Architecture(
    [
        Conv2D(12, 3, padding="same", activation="relu", kernel_initializer="he_normal", name="erste"),
        MaxPooling2D(2),
        Dropout(0.25),
        Flatten(),
        Dense(10, activation="softmax", use_bias=False),
    ],
    name="mein Netz · 网络",
)


def packed(form):
    return base64.urlsafe_b64encode(json.dumps(form).encode()).decode().rstrip("=")


def refused(query):
    link, sentence = LessonLink.from_query(query)
    assert link == LessonLink()
    assert sentence.startswith("This link's settings are not used: ")
    assert sentence.endswith(".")
    return sentence


def test_an_empty_address_is_the_codelabs_page():
    link, sentence = LessonLink.from_query("")
    assert (link, sentence) == (LessonLink(), "")
    assert (link.config, link.architecture) == (TrainConfig(), architecture("codelab_cnn"))


# A lesson is about single digits.
OF_DIGITS = [changes for changes in PRESETS.values() if not {"loss", "learns_from"} & set(changes)]


@pytest.mark.parametrize("changes", [*OF_DIGITS, {"shuffle": False, "weight_decay": 0.01, "schedule": "cosine"}])
@pytest.mark.parametrize("tab", TABS)
def test_a_page_comes_back_as_it_was(changes, tab):
    config = TrainConfig(**changes)
    link = LessonLink.of(config, config.build_architecture(), tab, 40)
    again, sentence = LessonLink.from_query(link.to_query())
    assert sentence == ""
    assert again == link
    assert again.config == config
    assert again.architecture == config.build_architecture()
    assert (again.tab, again.step) == (tab, 40)


@pytest.mark.parametrize("tasks", ["", "on", *TASK_IDS])
def test_tasks_come_back_too(tasks):
    link = LessonLink(tab="training", tasks=tasks)
    assert LessonLink.from_query(link.to_query()) == (link, "")
    assert ("tasks" in link.to_query()) is bool(tasks)


@pytest.mark.parametrize("tasks", ["nothing", "ON", "rate,fool", "x" * 1000])
def test_task_that_there_is_not_is_told(tasks):
    refused(f"tasks={tasks}")


def test_a_network_of_ones_own_comes_back_as_it_was():
    link = LessonLink.of(TrainConfig(epochs=3), OWN)
    again, sentence = LessonLink.from_query(link.to_query())
    assert sentence == ""
    assert again.architecture == OWN
    assert again.config.epochs == 3
    assert len(link.to_query()) < 700


def test_a_link_can_be_read_by_people():
    link = LessonLink.of(TrainConfig(learning_rate=0.01, nesterov=True), architecture("fast_cnn"), "training")
    assert link.to_query() == "network=fast_cnn&learning_rate=0.01&nesterov=true&tab=training"


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "train_images": st.integers(1, 60_000),
            "batch_size": st.integers(1, 2_048),
            "epochs": st.integers(1, 2**31 - 1),
            "learning_rate": st.floats(1e-6, 10),
            "beta_1": st.floats(0, 0.999),
            "momentum": st.floats(0, 0.999),
            "weight_decay": st.floats(0, 1),
            "shuffle": st.booleans(),
            "seed": st.integers(0, 2**31 - 1),
            "optimizer": st.sampled_from(["adam", "adamw", "sgd"]),
        },
    )
)
def test_every_setting_comes_back_exactly(changes):
    config = TrainConfig(**changes)
    link, sentence = LessonLink.from_query(LessonLink.of(config, config.build_architecture()).to_query())
    assert sentence == ""
    assert link.config == config


def test_a_mapping_of_parameters_does_as_well():
    link, sentence = LessonLink.from_query({"epochs": "2", "tab": "model"})
    assert (link.changes, link.tab, sentence) == ({"epochs": 2}, "model", "")


def test_what_is_not_the_links_is_left_alone():
    link, sentence = LessonLink.from_query("token=secret&utm_source=mail&epochs=2")
    assert (dict(link.changes), sentence) == ({"epochs": 2}, "")
    assert "secret" not in link.to_query()


def test_defaults_written_out_are_no_changes():
    assert LessonLink.from_query("epochs=10&learning_rate=0.001&shuffle=True")[0] == LessonLink()


def test_what_belongs_to_the_machine_is_not_in_a_link():
    config = TrainConfig(data="folder", threads=3, epochs=2)
    assert "folder" not in LessonLink.of(config, config.build_architecture()).to_query()
    assert LessonLink.of(config, config.build_architecture()).changes == {"epochs": 2}
    for private in ("data=/etc", "threads=64"):
        assert "cannot be set by a link" in refused(private)


def test_a_link_opens_no_file(tmp_path):
    path = tmp_path / "network.json"
    path.write_text(json.dumps(OWN.to_dict()))
    assert "there is no network" in refused(urlencode({"network": str(path)}))


def test_the_json_form_is_plain():
    link = LessonLink.of(TrainConfig(epochs=2), OWN, "runs", 5)
    form = json.loads(json.dumps(link.to_dict()))
    assert Architecture.from_dict(form["layers"]) == OWN
    assert (form["changes"], form["tab"], form["step"]) == ({"epochs": 2}, "runs", 5)


def test_a_network_too_large_for_an_address_is_told():
    layers = [Dropout(0.1 + i / 100, name=f"a_{i}_" + "rather_long_name_" * 3) for i in range(60)]
    with pytest.raises(NetworkError, match="too large for a link"):
        LessonLink.of(TrainConfig(), Architecture([*layers, Flatten(), Dense(10, activation="softmax")])).to_query()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("epochs=many", "epochs must be a whole number"),
        ("epochs=0", "epochs must be at least 1"),
        ("epochs=" + "9" * 5_000, "epochs must be a whole number"),
        ("learning_rate=nan", "learning_rate must be a finite number"),
        ("learning_rate=1e999", "learning_rate must be a finite number"),
        ("shuffle=perhaps", "shuffle must be true or false"),
        ("optimizer=magic", "magic"),
        ("network=../../etc/passwd", "there is no network"),
        ("tab=kitchen", "there is no tab 'kitchen'"),
        ("step=-1", "step must be from 0"),
        ("step=1.5", "step must be a whole number"),
        ("layers=", "its network is damaged"),
        ("layers=%00%FF", "the address cannot be read"),
        ("layers=abc*", "its network is damaged"),
        ("layers=ä", "its network is damaged"),
        ("layers=" + packed([]), '"layers"'),
        ("layers=" + packed({"layers": [{"class_name": "Lambda"}]}), "digitlab has no layer 'Lambda'"),
        ("layers=" + packed({"layers": [{"class_name": "Dense", "units": 10}]}), "Flatten"),
        ("layers=" + packed({"layers": [{"class_name": "Dense", "units": 10**9}]}), "Dense units"),
        (
            "layers=" + packed({"layers": [{"class_name": "Flatten"}, {"class_name": "Dense", "units": 10}]}),
            "softmax",
        ),
        (
            "layers=" + packed(Architecture([Flatten(), Dense(3, activation="softmax")]).to_dict()),
            "tells 3 classes apart",
        ),
        (
            "layers="
            + packed(Architecture([Flatten(), Dense(10, activation="softmax")], input_shape=(9, 9, 1)).to_dict()),
            "(9, 9, 1)",
        ),
        ("layers=" + base64.urlsafe_b64encode(b"[" * 4_000).decode(), "its network is damaged"),
        ("layers=" + base64.urlsafe_b64encode(b"9" * 5_000).decode(), "its network is damaged"),
        ("epochs=3&" + "x" * 9_000, "longer than 8,000"),
        ("&".join(f"a{i}=1" for i in range(200)), "the address cannot be read"),
        ({"epochs": "x" * 9_000}, "longer than 8,000"),
    ],
)
def test_what_cannot_be_used_is_a_sentence(query, words):
    assert words in refused(query)


@given(st.text(max_size=300))
def test_no_address_raises(text):
    link, sentence = LessonLink.from_query(text)
    assert isinstance(sentence, str)
    assert LessonLink.from_query(link.to_query()) == (link, "")


_NAMES = [entry.name for entry in dataclasses.fields(TrainConfig)] + ["layers", "tab", "step"]


@given(st.dictionaries(st.sampled_from(_NAMES), st.text(max_size=50) | st.from_regex(r"-?\d{1,12}(\.\d*)?(e\d+)?")))
@example({"epochs": "١٢"})
@example({"seed": "1_000"})
def test_no_value_raises(values):
    link, sentence = LessonLink.from_query(urlencode(values))
    assert link.config
    assert link.architecture.n_classes == 10
    assert sentence == "" or link == LessonLink()


_KEYS = ["layers", "class_name", "units", "filters", "kernel_size", "activation", "name", "input_shape"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8)
    | st.sampled_from(["Dense", "Conv2D", "Flatten", "softmax"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@given(_JSON)
def test_no_network_raises(form):
    link, sentence = LessonLink.from_query("layers=" + packed(form))
    assert sentence or link.architecture.n_classes == 10


def test_links_need_no_escaping_beyond_the_addresss_own():
    query = LessonLink.of(TrainConfig(), OWN, "evaluation", 3).to_query()
    assert set(query) <= set(string.ascii_letters + string.digits + "-_.~+%=&")
    assert set(parse_qs(query)) == {"layers", "tab", "step"}
