"""What is said of terms: about everything, and right in its numbers with any network."""

from __future__ import annotations

import re

import pytest

import digitlab as dl
from digitlab.errors import InputError
from digitlab.explanation import TOPICS, Explanation, explain, terms
from digitlab.explanation.facts import Facts
from digitlab.explanation.topics import GROUPS, find_topic
from digitlab.network import (
    ELU,
    ZOO,
    Activation,
    Architecture,
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    LeakyReLU,
    MaxPooling2D,
    ZeroPadding2D,
    architecture,
)
from digitlab.training.config import OPTIMIZERS, TrainConfig

OTHERS = {
    "row": Architecture([Dense(16, activation="relu"), Dense(10, activation="softmax")], (784,)),
    "linear": Architecture([Flatten(), Dense(10, activation="softmax", use_bias=False)]),
    "strange": Architecture(
        [
            Conv2D(3, (5, 1), padding="same", use_bias=False),
            MaxPooling2D((3, 2), strides=(1, 2), padding="same"),
            Conv2D(1, 1, activation="relu"),
            MaxPooling2D(2, strides=1),
            Flatten(),
            Dropout(0.25),
            Dropout(0),
            Dense(10, activation="softmax"),
        ],
        name="<script>alert(1)</script>",
    ),
    "later": Architecture(
        [
            ZeroPadding2D(2),
            Conv2D(6, 5, strides=(2, 3), padding="same", activation="tanh"),
            AveragePooling2D(2),
            Conv2D(4, 3, strides=2),
            LeakyReLU(0.1),
            ELU(),
            GlobalAveragePooling2D(),
            Dense(10),
            Activation("softmax"),
        ]
    ),
}
NETWORKS = {name: architecture(name) for name in ZOO} | OTHERS
CONFIGS = {
    "codelab": TrainConfig(),
    "bare": TrainConfig(train_images=1, validation_images=0, batch_size=1, epochs=1, shuffle=False, optimizer="sgd"),
    "sgd": TrainConfig(optimizer="sgd", momentum=0.9, weight_decay=0.1, schedule="cosine", early_stopping=3),
    "adamw": TrainConfig(optimizer="adamw", schedule="one-cycle", beta_1=0.0, train_images=10**9, batch_size=10**9),
}


@pytest.fixture(scope="module")
def mnist() -> dl.MnistData:
    return dl.MnistData.load()


def facts(mnist: dl.MnistData, network: str = "codelab_cnn", config: str = "codelab") -> Facts:
    return Facts(NETWORKS[network], CONFIGS[config], mnist)


def explanation(topic: str, facts: Facts) -> Explanation:
    return explain(topic, facts.config, architecture=facts.architecture, data=facts.data)


def said(topic: str, facts: Facts) -> str:
    return str(explanation(topic, facts))


def test_all_words_of_the_page_are_explained() -> None:
    wanted = {
        "convolution", "stride", "filter", "relu", "max_pooling", "softmax", "cross_entropy", "adam", "batch", "epoch",
        "overfitting", "confusion_matrix", "validation", "learning_rate", "dropout", "calibration",
    }  # fmt: skip
    assert wanted <= set(TOPICS)


def test_related_topics_exist_and_lead_elsewhere() -> None:
    for name, topic in TOPICS.items():
        assert set(topic.see) <= set(TOPICS)
        assert name not in topic.see
        assert topic.title


@pytest.mark.parametrize("network", list(NETWORKS))
@pytest.mark.parametrize("config", list(CONFIGS))
def test_every_text_holds_for_every_network_and_setting(mnist: dl.MnistData, network: str, config: str) -> None:
    for topic in TOPICS:
        content = explanation(topic, facts(mnist, network, config))
        for paragraph in (*content.text, *content.here):
            assert re.fullmatch(r"\S.*[.!?]”?", paragraph), (topic, paragraph)
            assert "  " not in paragraph, (topic, paragraph)
            assert not re.search(r"\b(nan|inf|None)\b", paragraph), (topic, paragraph)
            assert not re.search(
                r"(?<![\d,.])1 (images|batches|epochs|filters|numbers|steps|layers|units|inputs)\b", paragraph
            ), (
                topic,
                paragraph,
            )
        assert 10 <= len(str(content).split()) <= 230, topic


@pytest.mark.parametrize("topic", list(TOPICS))
def test_every_text_has_numbers_of_this_network(mnist: dl.MnistData, topic: str) -> None:
    here = explanation(topic, facts(mnist)).here
    assert here
    assert topic in ("dropout", "data_source", "average_pooling") or any(
        re.search(r"\d", paragraph) for paragraph in here
    )


@pytest.mark.parametrize(
    ("topic", "number"),
    [
        ("filter", "8 filters of 5 × 5: 8 × (25 + 1) = 208 numbers"),
        ("filter", "16 filters of 5 × 5 × 8, because it reads 8 channels: 16 × (200 + 1) = 3,216 numbers"),
        ("convolution", "24 × 24 × 8 = 4,608 sums of 25 multiply-adds each: 115,200 for one image"),
        ("stride", "24 × 24 becomes 12 × 12. With stride 1 it would be 23 × 23"),
        ("padding", "28 − 5 + 1 = 24"),
        ("relu", "conv2d and conv2d_1: 5,632 numbers"),
        ("max_pooling", "24 × 24 × 8 = 4,608 numbers become 12 × 12 × 8 = 1,152"),
        ("dense", "10 × (256 + 1) = 2,570 numbers"),
        ("softmax", "10 % for each"),
        ("cross_entropy", "ln 10 = 2.30"),
        ("adam", "2 × 5,994 = 11,988 numbers"),
        ("adam", "over about 10 batches"),
        ("adam", "over about 1,000 batches"),
        ("batch", "has 11 batches: 10 of 512 and a last one of 380"),
        ("epoch", "10 epochs of 5,500 images"),
        ("learning_rate", "in 110 steps by 0.11"),
        ("overfitting", "49,500 more than you use"),
        ("validation", "5,500 of 55,000 training images and watch 1,000 of 5,000 validation images"),
        ("accuracy", "from 10,000 images from 96.6 % to 97.3 %"),
        ("confusion_matrix", "892 times (Five) and 1,135 times (One)"),
        ("cost", "322,560 multiply-adds"),
        ("class_counts", "4,963"),
    ],
)
def test_the_codelabs_numbers_are_told(mnist: dl.MnistData, topic: str, number: str) -> None:
    assert number in said(topic, facts(mnist))


def test_numbers_are_those_of_another_network_too(mnist: dl.MnistData) -> None:
    assert "24 filters of 5 × 5: 24 × (25 + 1) = 624 numbers" in said("filter", facts(mnist, "fast_cnn"))
    assert "has no convolution" in said("convolution", facts(mnist, "dense_baseline"))
    assert "You can add a layer of it" in said("dropout", facts(mnist))
    assert "multiplies the others by 1 / (1 − 0.25) = 1.33" in said("dropout", facts(mnist, "strange"))
    assert "has 1 batch: 1 of 1." in said("batch", facts(mnist, config="bare"))
    assert "steps by 2 pixels downwards and 3 sideways: 32 × 32 becomes 16 × 11" in said(
        "stride", facts(mnist, "later")
    )
    assert "In steps of 2 pixels downwards and 3 sideways it stops at 16 × 11" in said(
        "convolution", facts(mnist, "later")
    )
    assert "leaky_re_lu (leaky_relu with 0.1 below zero, 24 numbers)" in said("activation", facts(mnist, "later"))
    assert "of every 3 × 2 window: 3 × 2 × 4 = 24 numbers become 4." in said("average_pooling", facts(mnist, "later"))
    assert "No layer of this network uses ReLU; it uses elu, leaky_relu and tanh." in said(
        "relu", facts(mnist, "later")
    )


def test_settings_are_told_as_they_are(mnist: dl.MnistData) -> None:
    assert "You have chosen sgd now" in said("adam", facts(mnist, config="sgd"))
    assert "10.0 times as long" in said("optimizer", facts(mnist, config="sgd"))
    assert "along half a cosine wave" in said("learning_rate", facts(mnist, config="sgd"))
    assert "same order, because shuffling is off" in said("epoch", facts(mnist, config="bare"))
    assert "no validation images" in said("validation", facts(mnist, config="bare"))
    assert {OPTIMIZERS[0], OPTIMIZERS[2]} == {"adam", "sgd"}


@pytest.mark.parametrize("term", ["cross_entropy", "cross-entropy", "Cross Entropy", "Loss: cross-entropy"])
def test_a_term_is_found_however_it_is_written(term: str) -> None:
    assert find_topic(term) == "cross_entropy"


@pytest.mark.parametrize(("term", "meant"), [("convolutoin", "convolution"), ("loss", "cross_entropy")])
def test_an_unknown_term_is_told_with_the_one_that_is_like_it(term: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"Did you mean '{meant}'"):
        explain(term)


@pytest.mark.parametrize("term", ["zzz", "", "é", "x" * 100_000])
def test_a_term_that_is_like_none_is_told_with_those_that_exist(term: str) -> None:
    with pytest.raises(InputError, match="There are images") as caught:
        explain(term)
    assert len(str(caught.value)) < 1_000


def test_every_term_stands_under_one_heading() -> None:
    assert sum(map(len, GROUPS.values())) == len(TOPICS)


def test_there_is_a_text_for_every_function_that_tells_numbers() -> None:
    told = {name for name, found in vars(terms).items() if getattr(found, "__module__", "") == terms.__name__}
    assert {name for name in told if name[0] != "_"} == set(TOPICS)


def test_networks_for_images_of_any_size_are_refused() -> None:
    with pytest.raises(InputError, match="any size"):
        explain("filter", TrainConfig(network="finder_cnn"))


def test_without_settings_the_codelabs_are_explained() -> None:
    assert "conv2d, has 8 filters of 5 × 5" in str(explain("filter"))
