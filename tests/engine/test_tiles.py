"""Every word of the kernels' vocabulary does what NumPy does, at places that are not multiples of a vector too."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from digitlab.engine.cpu import tiles
from digitlab.engine.cpu.tiles import LANES

# Tiles need their size when they are compiled; two rows and three columns cannot be confused with each other.
ROWS, COLUMNS = 2, 3
SIZE = ROWS * COLUMNS
START = 5


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(0).normal(size=3 * LANES * LANES).astype(np.float32)


def tile_at(array: np.ndarray, start: int, n: int) -> np.ndarray:
    return array[start : start + n * LANES].reshape(n, LANES)


@njit
def _write_zeros(out, start):
    tiles.store(tiles.zeros(ROWS, COLUMNS), out, start)


@njit
def _write_splat(numbers, i, out, start):
    tiles.store(tiles.splat(SIZE, numbers, i), out, start)


@njit
def _copy(numbers, i, out, start):
    tiles.store(tiles.load(ROWS, COLUMNS, numbers, i), out, start)


@njit
def _copy_rows(numbers, i, out, start, stride):
    tiles.store_rows(tiles.load(ROWS, COLUMNS, numbers, i), out, start, stride)


@njit
def _add_rows(numbers, i, out, start, stride):
    tiles.add_rows(tiles.load(ROWS, COLUMNS, numbers, i), out, start, stride)


@njit
def _add_outer(numbers, i, step, vectors, j, out, start):
    tiles.store(tiles.add_outer(tiles.load(ROWS, COLUMNS, out, start), numbers, i, step, vectors, j), out, start)


@njit
def _add_windows(numbers, i, vectors, j, step, row, out, start):
    tiles.store(tiles.add_windows(tiles.load(4, 2, out, start), numbers, i, vectors, j, step, row), out, start)


@njit
def _repeat(numbers, i, out):
    tiles.store(tiles.repeated(tiles.load(2, 1, numbers, i), 3), out, 0)


@njit
def _is_zero(numbers, i):
    return tiles.is_zero(numbers, i)


@njit
def _add_products(a, i, b, j, out, start):
    tiles.store(tiles.add_products(tiles.load(ROWS, COLUMNS, out, start), a, i, b, j), out, start)


@njit
def _add(a, i, j, out, start):
    tiles.store(tiles.added(tiles.load(ROWS, COLUMNS, a, i), tiles.load(ROWS, COLUMNS, a, j)), out, start)


@njit
def _transpose_rows(rows, positions, offset, out, start):
    tiles.store(tiles.transposed(tiles.load_rows(rows, positions, offset)), out, start)


@njit
def _copy_positions(rows, positions, offset, out, start):
    tiles.store(tiles.load_rows(rows, positions, offset), out, start)


@njit
def _sum_lanes(numbers, i, out, start):
    tiles.store(tiles.lane_sums(tiles.load(LANES, 1, numbers, i)), out, start)


def test_a_block_has_as_many_images_as_a_vector_register_has_numbers() -> None:
    assert LANES in (4, 8, 16)
    assert tiles.REGISTERS in (16, 32)


def test_zeros_are_written_over_exactly_their_place(numbers: np.ndarray) -> None:
    expected = numbers.copy()
    expected[START : START + SIZE * LANES] = 0.0
    _write_zeros(numbers, START)
    np.testing.assert_array_equal(numbers, expected)


def test_splat_repeats_every_number_in_all_lanes_of_its_vector(numbers: np.ndarray) -> None:
    out = np.zeros_like(numbers)
    _write_splat(numbers, 7, out, START)
    np.testing.assert_array_equal(tile_at(out, START, SIZE), np.repeat(numbers[7 : 7 + SIZE, None], LANES, axis=1))


def test_load_and_store_copy_from_any_place_to_any_place(numbers: np.ndarray) -> None:
    out = np.zeros_like(numbers)
    _copy(numbers, 3, out, START)
    expected = np.zeros_like(numbers)
    expected[START : START + SIZE * LANES] = numbers[3 : 3 + SIZE * LANES]
    np.testing.assert_array_equal(out, expected)


def test_store_rows_leaves_what_stands_between_the_rows(numbers: np.ndarray) -> None:
    out, stride = np.zeros_like(numbers), COLUMNS * LANES + 3
    _copy_rows(numbers, 3, out, START, stride)
    expected = np.zeros_like(numbers)
    for p in range(ROWS):
        expected[START + p * stride :][: COLUMNS * LANES] = numbers[3 + p * COLUMNS * LANES :][: COLUMNS * LANES]
    np.testing.assert_array_equal(out, expected)


def test_add_rows_adds_to_what_was_there(numbers: np.ndarray) -> None:
    out, stride = np.ones_like(numbers), COLUMNS * LANES + 3
    _add_rows(numbers, 3, out, START, stride)
    expected = np.ones_like(numbers)
    for p in range(ROWS):
        expected[START + p * stride :][: COLUMNS * LANES] += numbers[3 + p * COLUMNS * LANES :][: COLUMNS * LANES]
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("step", [1, 3])
def test_add_outer_multiplies_the_vectors_with_a_number_for_every_row(numbers: np.ndarray, step: int) -> None:
    out = np.ones_like(numbers)
    _add_outer(numbers, 7, step, numbers, 11, out, START)
    expected = 1.0 + np.outer(numbers[7 : 7 + ROWS * step : step], numbers[11 : 11 + COLUMNS * LANES])
    np.testing.assert_allclose(tile_at(out, START, SIZE), expected.reshape(SIZE, LANES), rtol=1e-6, atol=1e-6)


def test_add_windows_multiplies_the_four_pixels_of_a_window_with_a_number_for_every_sum(numbers: np.ndarray) -> None:
    out, step, row = np.ones(8 * LANES + START, np.float32), LANES + 1, 3 * LANES + 2
    _add_windows(numbers, 7, numbers, 2, step, row, out, START)
    pixels = [numbers[2 + k : 2 + k + LANES] for k in (0, step, row, row + step)]
    expected = 1.0 + np.array([numbers[7 + r] * pixel for pixel in pixels for r in (0, 1)])
    np.testing.assert_allclose(tile_at(out, START, 8), expected, rtol=1e-6, atol=1e-6)


def test_repeated_copies_a_tile(numbers: np.ndarray) -> None:
    out = np.zeros(6 * LANES, np.float32)
    _repeat(numbers, 3, out)
    np.testing.assert_array_equal(tile_at(out, 0, 6), np.tile(tile_at(numbers, 3, 2), (3, 1)))


def test_add_products_multiplies_every_vector_of_one_with_every_of_the_other(numbers: np.ndarray) -> None:
    out = np.ones_like(numbers)
    _add_products(numbers, 1, numbers, 2 * LANES + 1, out, START)
    down, across = tile_at(numbers, 1, ROWS), tile_at(numbers, 2 * LANES + 1, COLUMNS)
    expected = 1.0 + (down[:, None] * across[None]).reshape(SIZE, LANES)
    np.testing.assert_allclose(tile_at(out, START, SIZE), expected, rtol=1e-6, atol=1e-6)


def test_two_tiles_are_added_number_by_number(numbers: np.ndarray) -> None:
    out = np.zeros_like(numbers)
    _add(numbers, 1, 9, out, START)
    np.testing.assert_array_equal(tile_at(out, START, SIZE), tile_at(numbers, 1, SIZE) + tile_at(numbers, 9, SIZE))


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_load_rows_takes_every_vector_from_its_own_position(dtype: type[np.generic]) -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 256, 4096).astype(dtype)
    positions = rng.integers(0, 4096 - LANES - 9, LANES)
    out = np.zeros(LANES * LANES + START, np.float32)
    _copy_positions(rows, positions, 9, out, START)
    scale = np.float32(255.0) if dtype is np.uint8 else np.float32(1.0)
    expected = np.stack([rows[p + 9 : p + 9 + LANES] for p in positions]).astype(np.float32) / scale
    # Bytes become the very numbers that float images of the same pixels have.
    np.testing.assert_array_equal(tile_at(out, START, LANES), expected)


def test_transposed_exchanges_rows_and_columns(numbers: np.ndarray) -> None:
    positions = np.arange(LANES) * LANES
    out = np.zeros_like(numbers)
    _transpose_rows(numbers, positions, 1, out, START)
    np.testing.assert_array_equal(tile_at(out, START, LANES), tile_at(numbers, 1, LANES).T)


def test_lane_sums_sum_every_vector_of_a_square_tile(numbers: np.ndarray) -> None:
    out = np.zeros_like(numbers)
    _sum_lanes(numbers, 1, out, START)
    expected = tile_at(numbers, 1, LANES).sum(axis=1, dtype=np.float64)
    np.testing.assert_allclose(out[START : START + LANES], expected, rtol=1e-5, atol=1e-5)


def test_lane_sums_of_a_permuted_tile_are_the_permuted_sums_bit_for_bit(numbers: np.ndarray) -> None:
    # Every row is added in the same order wherever it stands, or gradients would depend on a weight's place.
    order = np.random.default_rng(2).permutation(LANES)
    out, other = np.zeros_like(numbers), np.zeros_like(numbers)
    _sum_lanes(numbers, 0, out, 0)
    _sum_lanes(np.ascontiguousarray(tile_at(numbers, 0, LANES)[order]).ravel(), 0, other, 0)
    np.testing.assert_array_equal(other[:LANES], out[:LANES][order])


def test_is_zero_notices_every_lane() -> None:
    for lane in range(LANES + 2):
        numbers = np.zeros(LANES + 2, np.float32)
        numbers[lane] = np.nan if lane == 2 else -1e-38
        assert _is_zero(numbers, 1) == (lane in (0, LANES + 1))
    assert _is_zero(np.full(LANES, -0.0, np.float32), 0)
