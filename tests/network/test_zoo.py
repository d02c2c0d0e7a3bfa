from __future__ import annotations

import numpy as np
import pytest

from digitlab.errors import NetworkError
from digitlab.network import ZOO, Architecture, architecture
from digitlab.network.zoo import FINDERS


def test_codelab_cnn_has_the_codelabs_shapes_and_parameters() -> None:
    network = architecture("codelab_cnn")
    assert network.shapes == ((24, 24, 8), (12, 12, 8), (8, 8, 16), (4, 4, 16), (256,), (10,))
    assert [row.n_parameters for row in network.summary()] == [208, 0, 3_216, 0, 0, 2_570]
    assert network.n_parameters == 5_994


@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [
        ("codelab_cnn", 5_994),
        ("dense_baseline", 6_370),
        ("fast_cnn", 215_194),
        ("reader_cnn", 321_483),
        ("finder_cnn", 182_007),
    ],
)
def test_parameters_are_those_that_training_starts_with(name: str, n_parameters: int) -> None:
    network = architecture(name)
    assert sum(weights.size for weights in network.initial_weights(seed=0)) == network.n_parameters == n_parameters


@pytest.mark.parametrize("name", ZOO)
def test_every_network_reads_digits_into_their_classes(name: str) -> None:
    network = architecture(name)
    assert network.name == name
    assert network.input_shape == (28, 28, 1)
    assert network.n_classes == (11 if name == "reader_cnn" else 10)
    assert Architecture.from_dict(network.to_dict()) == network
    assert all(weights.dtype == np.float32 for weights in network.initial_weights(seed=0))


def test_the_second_look_sees_candidates_with_what_stands_around_them() -> None:
    network = architecture("second-look-cnn")
    assert network.input_shape == (44, 44, 1)
    assert network.n_classes == 11
    assert network.n_parameters == 229_083
    assert Architecture.from_dict(network.to_dict()) == network


def test_the_finder_answers_pages_of_any_size_with_maps() -> None:
    network = architecture("finder_cnn")
    assert set(FINDERS) == {"finder_cnn", "second_look_cnn"}
    assert network.answers_maps
    assert network.input_shape == (None, None, 1)
    assert network.shapes[-1] == (None, None, 23)
    assert Architecture.from_dict(network.to_dict()) == network
    # So that a centre is nowhere to begin with, and every map is where its loss expects nothing.
    assert not network.initial_weights(seed=0)[-2].any()


def test_a_hyphen_is_as_good_as_an_underscore() -> None:
    assert architecture("codelab-cnn") == architecture("codelab_cnn")


def test_an_unknown_network_is_answered_with_the_nearest_and_the_whole_zoo() -> None:
    with pytest.raises(NetworkError, match=r"'codlab_cnn'\. Did you mean 'codelab_cnn'\? The zoo has codelab_cnn,"):
        architecture("codlab_cnn")
    with pytest.raises(NetworkError, match=r"'xyz'\. The zoo has"):
        architecture("xyz")
