"""The editor of layers: what it builds, where it says what is wrong, and the way back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitlab.errors import NetworkError
from digitlab.network import (
    ZOO,
    Architecture,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    MaxPooling2D,
    ZeroPadding2D,
    architecture,
)
from digitlab.network.layers import Layer
from digitlab.studio.tabs.layer_editor import SETTINGS, STARTING, LayerEditor, build_layer, settings_of
from digitlab.studio.tabs.model_tab import MOST_BYTES, read_network_document
from digitlab.studio.trainer import network_document


def key_of(editor: LayerEditor, position: int) -> int:
    return editor.drafts[position - 1].key


def softmax(units: int = 10) -> Dense:
    return Dense(units, activation="softmax")


@pytest.mark.parametrize("name", list(ZOO))
def test_an_untouched_network_is_given_back_as_it_is(name: str) -> None:
    editor = LayerEditor(architecture(name))
    assert editor.check().architecture == architecture(name)
    assert not editor.can_undo


def test_own_names_and_rare_settings_survive_editing() -> None:
    network = Architecture(
        [
            Conv2D(4, (3, 5), name="eyes", use_bias=False, kernel_initializer="he_normal"),
            MaxPooling2D(3, strides=(2, 1)),
            Flatten(),
            softmax(),
        ]
    )
    editor = LayerEditor(network)
    editor.change(key_of(editor, 1), "filters", 6)
    edited = editor.check().architecture
    assert edited is not None
    assert edited.layers[0] == Conv2D(6, (3, 5), name="eyes", use_bias=False, kernel_initializer="he_normal")
    assert edited.layers[1:] == network.layers[1:]
    assert edited.name == "sequential_edited"


@pytest.mark.parametrize(
    ("kind", "typed", "layer"),
    [
        ("ZeroPadding2D", {"padding": "2"}, ZeroPadding2D(2)),
        ("ZeroPadding2D", {"padding": " 0,1, 2 ,3"}, ZeroPadding2D(((0, 1), (2, 3)))),
        ("LeakyReLU", {"negative_slope": 0.1}, LeakyReLU(0.1)),
        ("Conv2D", {"filters": 4, "kernel_size": "3", "strides": "2 x 1"}, Conv2D(4, 3, strides=(2, 1))),
    ],
)
def test_what_is_typed_becomes_a_layer_and_is_shown_as_it_would_be_typed(
    kind: str, typed: dict[str, object], layer: Layer
) -> None:
    assert build_layer(kind, typed) == layer
    assert build_layer(kind, settings_of(layer)) == layer


def test_a_border_that_is_none_is_told_with_what_to_type() -> None:
    with pytest.raises(NetworkError, match="padding must be a whole number such as 5"):
        build_layer("ZeroPadding2D", {"padding": "1, 2, 3"})


def test_shapes_and_costs_follow_what_is_typed() -> None:
    editor = LayerEditor(architecture("codelab_cnn"))
    editor.change(key_of(editor, 1), "kernel_size", "3")
    checked = editor.check()
    assert [layer.output_shape for layer in checked.layers][:2] == [(26, 26, 8), (13, 13, 8)]
    cost = checked.layers[0].cost
    assert cost is not None
    assert (cost.n_parameters, cost.multiply_adds) == (80, 26 * 26 * 8 * 9)


@pytest.mark.parametrize(
    ("typed", "kernel"), [("3", (3, 3)), (" 3 x 5 ", (3, 5)), ("3×5", (3, 5)), ("3,5", (3, 5)), (5, (5, 5))]
)
def test_sizes_can_be_typed_as_one_number_or_two(typed: object, kernel: tuple[int, int]) -> None:
    layer = build_layer("Conv2D", {"filters": 8.0, "kernel_size": typed})
    assert isinstance(layer, Conv2D)
    assert layer.kernel == kernel


@pytest.mark.parametrize(
    ("position", "setting", "value", "sentence"),
    [
        (1, "filters", None, "Conv2D filters is empty"),
        (1, "filters", 0, "from 1 to 65,536; got 0"),
        (1, "filters", 8.5, "whole number"),
        (1, "filters", 1e308, "whole number"),
        (1, "filters", -(10**30), "whole number"),
        (3, "kernel_size", "13", "does not fit into an image of 12 x 12 pixels"),
        (3, "kernel_size", "five", "kernel_size must be a whole number such as 5"),
        (3, "kernel_size", "9" * 100_000, "kernel_size must be"),
        (3, "kernel_size", "", "kernel_size is empty"),
        (3, "padding", "half", "padding must be one of valid, same"),
        (4, "pool_size", "0", "pool_size must be"),
        (1, "strides", "0", "strides must be"),
        (6, "units", 12, "10 units, one for each digit; it has 12"),
        (6, "activation", "relu", 'activation="softmax"'),
    ],
)
def test_what_is_wrong_is_said_at_its_layer(position: int, setting: str, value: object, sentence: str) -> None:
    editor = LayerEditor(architecture("codelab_cnn"))
    editor.change(key_of(editor, position), setting, value)
    checked = editor.check()
    assert checked.architecture is None
    assert checked.wrong_at == position
    assert sentence in checked.layers[position - 1].error
    assert len(checked.layers[position - 1].error) < 300
    assert all(layer.output_shape is not None for layer in checked.layers[: position - 1])


def test_layers_after_a_wrong_one_wait_for_it() -> None:
    editor = LayerEditor(architecture("codelab_cnn"))
    editor.change(key_of(editor, 1), "filters", None)
    assert [(layer.output_shape, layer.error) for layer in editor.check().layers[1:]] == [(None, "")] * 5


def test_two_wrong_layers_are_both_told() -> None:
    editor = LayerEditor(architecture("codelab_cnn"))
    editor.change(key_of(editor, 1), "filters", None)
    editor.change(key_of(editor, 6), "units", None)
    assert [bool(layer.error) for layer in editor.check().layers] == [True, False, False, False, False, True]


def test_softmax_in_the_middle_is_told_at_that_layer() -> None:
    editor = LayerEditor(Architecture([Flatten(), Dense(8), softmax()]))
    editor.change(key_of(editor, 2), "activation", "softmax")
    assert "last layer only" in editor.check().layers[1].error


def test_a_layer_in_the_wrong_place_is_told() -> None:
    editor = LayerEditor(architecture("codelab_cnn"))
    editor.move(key_of(editor, 5), 1)
    assert "add Flatten before it" in editor.check().layers[4].error


def test_a_network_without_layers_is_told() -> None:
    editor = LayerEditor(Architecture([Flatten(), softmax()]))
    for draft in editor.drafts:
        editor.remove(draft.key)
    checked = editor.check()
    assert checked.layers == ()
    assert "at least one layer" in checked.error


def test_a_network_with_too_many_parameters_is_told() -> None:
    editor = LayerEditor(Architecture([Flatten(), Dense(8), softmax()]))
    editor.change(key_of(editor, 2), "units", 65_536)
    checked = editor.check()
    assert checked.architecture is None
    assert "50,000,000 parameters" in checked.error


@pytest.mark.parametrize("name", list(ZOO))
@pytest.mark.parametrize("kind", list(STARTING))
def test_an_added_layer_goes_where_the_network_still_works(name: str, kind: str) -> None:
    editor = LayerEditor(architecture(name))
    key = editor.add(kind)
    added = next(draft for draft in editor.drafts if draft.key == key)
    assert added.kind == kind
    assert set(added.settings) == {setting.name for setting in SETTINGS[kind]}
    assert editor.check().architecture is not None


def test_layers_can_be_added_to_an_empty_network() -> None:
    editor = LayerEditor(Architecture([Flatten(), softmax()]))
    for draft in editor.drafts:
        editor.remove(draft.key)
    editor.add("Flatten")
    key = editor.add("Dense")
    editor.change(key, "units", 10)
    editor.change(key, "activation", "softmax")
    assert editor.check().architecture is not None


def test_a_layer_moves_as_far_as_there_is_room() -> None:
    editor = LayerEditor(architecture("codelab_cnn"))
    first = key_of(editor, 1)
    editor.move(first, -1)
    assert not editor.can_undo
    editor.move(first, 99)
    assert editor.drafts[-1].key == first


def test_undo_takes_back_changes_one_at_a_time() -> None:
    editor = LayerEditor(architecture("codelab_cnn"))
    before = editor.drafts
    editor.change(key_of(editor, 1), "filters", 1)
    editor.change(key_of(editor, 1), "filters", 12)  # typed on in the same field
    editor.remove(key_of(editor, 2))
    editor.load(architecture("dense_baseline"))
    editor.undo()
    assert len(editor.drafts) == 5
    editor.undo()
    assert editor.drafts[0].settings["filters"] == 12
    editor.undo()
    assert editor.drafts == before
    assert editor.check().architecture == architecture("codelab_cnn")
    editor.undo()
    assert editor.drafts == before


def test_typing_the_same_again_is_no_change() -> None:
    editor = LayerEditor(architecture("codelab_cnn"))
    editor.change(key_of(editor, 1), "filters", 8.0)
    assert not editor.can_undo


def test_going_back_by_hand_gives_the_original_name_back() -> None:
    editor = LayerEditor(architecture("codelab_cnn"))
    key = key_of(editor, 1)
    editor.change(key, "filters", 9)
    assert editor.check().name == "codelab_cnn_edited"
    editor.change(key, "filters", None)
    assert editor.check().name == "codelab_cnn_edited"
    editor.change(key, "filters", 8)
    assert editor.check().name == "codelab_cnn"


def test_an_edited_network_edited_again_keeps_one_ending() -> None:
    editor = LayerEditor(Architecture([Flatten(), softmax()], name="x" * 93 + "_edited"))
    editor.add("Dropout")
    network = editor.check().architecture
    assert network is not None
    assert network.name == "x" * 93 + "_edited"


def test_a_network_for_other_images_is_edited_for_these() -> None:
    editor = LayerEditor(Architecture([Flatten(), softmax()], input_shape=(8, 8, 1)))
    assert editor.check().layers[0].output_shape == (784,)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from(list(STARTING))),
            st.tuples(st.just("remove"), st.integers(0, 9)),
            st.tuples(st.just("move"), st.integers(0, 9), st.integers(-3, 3)),
            st.tuples(
                st.just("change"),
                st.integers(0, 9),
                st.sampled_from(["filters", "units", "kernel_size", "pool_size", "strides", "rate", "activation"]),
                st.one_of(st.none(), st.integers(-3, 70), st.floats(allow_nan=True), st.text(max_size=5)),
            ),
            st.tuples(st.just("undo")),
        ),
        max_size=12,
    )
)
def test_whatever_is_done_the_editor_says_a_network_or_what_is_wrong(actions: list[tuple[object, ...]]) -> None:
    editor = LayerEditor(architecture("codelab_cnn"))
    for name, *arguments in actions:
        if name == "add":
            editor.add(str(arguments[0]))
        elif name == "undo":
            editor.undo()
        elif editor.drafts:
            draft = editor.drafts[int(str(arguments[0])) % len(editor.drafts)]
            if name == "change" and arguments[1] not in draft.settings:
                continue
            getattr(editor, str(name))(draft.key, *arguments[1:])
        checked = editor.check()
        wrong = checked.error or any(layer.error for layer in checked.layers)
        assert (checked.architecture is None) == bool(wrong)
        if checked.architecture is not None:
            assert Architecture.from_dict(checked.architecture.to_dict()) == checked.architecture


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_the_form_has_every_setting_of_the_layer(kind: str) -> None:
    layer = build_layer(kind, STARTING[kind])
    assert set(settings_of(layer)) == {setting.name for setting in SETTINGS[kind]}


def test_a_dropout_rate_is_a_fraction() -> None:
    assert build_layer("Dropout", {"rate": 0.5}) == Dropout(0.5)
    with pytest.raises(NetworkError, match="from 0 to below 1"):
        build_layer("Dropout", {"rate": 1})


@pytest.mark.parametrize("name", list(ZOO))
def test_a_saved_network_is_opened_again(name: str) -> None:
    assert read_network_document(network_document(architecture(name)).encode()) == architecture(name)


def nested(depth: int) -> bytes:
    return b"[" * depth


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (nested(100_000), "not JSON"),
        (b"9" * 10_000, "not JSON"),
        (b"[]", "layers"),
        (b'{"layers": []}', "at least one layer"),
        (b'{"layers": [{"class_name": "Conv3D"}]}', "Did you mean 'Conv2D'"),
        (b'{"layers": [{"class_name": "Dropout", "rate": NaN}]}', "not JSON"),
        (b'{"layers": [{"class_name": "Dense", "units": 1e99}]}', "whole number"),
        (b" " * (MOST_BYTES + 1), "too large"),
        (json.dumps({"layers": [{"class_name": "Flatten"}] * 65}).encode(), "at most 64 layers"),
        (
            b'{"input_shape": [784], "layers": [{"class_name": "Dense", "units": 10, "activation": "softmax"}]}',
            "28, 28, 1",
        ),
    ],
)
def test_a_file_that_is_no_network_gets_a_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(NetworkError, match=sentence) as caught:
        read_network_document(content)
    assert len(str(caught.value)) < 400
