from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from digitlab.errors import ConfigError, RunError
from digitlab.network.formats.tfjs import QUANTIZATIONS, dequantized, is_quantization, item_bytes, quantized

WEIGHTS = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-1000, 1000, width=32, allow_subnormal=False))


@given(weights=WEIGHTS, kind=st.sampled_from(["uint8", "uint16"]))
def test_weights_come_back_to_within_half_a_step_and_zero_stays_zero(weights: np.ndarray, kind: str) -> None:
    weights[0] = 0.0
    content, description = quantized(weights, kind)
    back = dequantized(content, description)
    assert len(content) == len(weights) * item_bytes(kind)
    assert back.dtype == np.float32
    assert back[0] == 0.0
    assert np.abs(back - weights).max() <= description["scale"] * 0.501 + 1e-6 * np.abs(weights).max()


@given(weights=WEIGHTS)
def test_half_precision_keeps_eleven_bits(weights: np.ndarray) -> None:
    back = dequantized(*quantized(weights, "float16"))
    assert np.all(np.abs(back - weights) <= np.maximum(np.abs(weights) * 2.0**-11, 2.0**-25))


def test_equal_weights_are_kept() -> None:
    for kind in QUANTIZATIONS:
        for value in (0.0, 1.0, -2.0):
            np.testing.assert_allclose(dequantized(*quantized(np.full(3, value, np.float32), kind)), value, rtol=1e-6)


def test_what_cannot_be_stored_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match="uint8, uint16, float16"):
        quantized(np.zeros(1, np.float32), "int4")
    with pytest.raises(ConfigError, match="does not fit into float16"):
        quantized(np.array([1e6], np.float32), "float16")
    with pytest.raises(RunError, match="quantized"):
        dequantized(b"", {"dtype": "int4"})
    for wrong in (
        {"min": None, "scale": 1},
        {"min": 0, "scale": float("inf")},
        {"min": 0},
        {"min": "0", "scale": True},
    ):
        with pytest.raises(RunError, match="min or scale"):
            dequantized(b"", {"dtype": "uint8"} | wrong)


@pytest.mark.parametrize("kind", [["uint8"], {"a": 1}, None, 8, "int8"])
def test_a_word_for_the_storage_that_is_none_is_a_sentence(kind: object) -> None:
    assert not is_quantization(kind)
    with pytest.raises(RunError, match=r"in a way that TensorFlow\.js does not know"):
        dequantized(b"\x00", {"dtype": kind, "min": 0.0, "scale": 1.0})
