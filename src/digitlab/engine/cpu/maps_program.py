"""Networks whose answer is maps, as tables: what stands where, for a page of any size, or a stripe of it at a time.

A map is laid out as ``[row][column][channel]`` with the channels filled up to whole vectors, except the image's own,
and with the border of zeros that the convolution behind it reads. Weights are *packed*: two vectors of filters side by
side, for every tap (row and column of the kernel, and channel) one after the other, so that a kernel reads them in one
run. The gradients of the weights have the same order.

A page is answered in *stripes*: each layer computes the rows that the rows below it allow, and keeps the last of its
input's rows for the next stripe. Nothing is computed twice, no number depends on how high a stripe is, and a page of
any size needs the memory of a stripe.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.tiles import LANES
from digitlab.engine.cpu.winograd import N_LIFTED, WINDOWS
from digitlab.errors import DataError, NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Conv2D, MaxPooling2D

#: One convolution, with the 2 x 2 max-pooling behind it if there is one. Positions count float32 numbers in the memory
#: of a page, or in the packed weights (``weights``, ``bias``, ``flipped``, ``lifted``); -1 for none.
MAP_OP = np.dtype(
    [
        (name, np.int64)
        for name in (
            "kernel_height",
            "kernel_width",
            "top",  # border of what is read
            "bottom",
            "left",
            "right",
            "channels",  # numbers of a pixel that is read, and of one that is written
            "filters",
            "relu",
            "pool",
            "weights",
            "bias",
            "flipped",  # the kernel turned round, with channels and filters exchanged, for the input gradient
            "lifted",  # both once more as winograd.py wants them
            "lifted_back",
            "height",  # of the convolution's own map
            "width",
            "out_height",
            "out_width",
            "x",  # the map that is read, with its border
            "x_row",
            "x_rows",
            "y",  # the first pixel that is written
            "y_row",
            "winners",
            "dz",  # gradient of the convolution's own map, with its border
            "dz_row",
            "dz_top",
            "dz_left",
            "dy",  # gradient of what was written, without border: of the pooled map, or dz once more
            "dy_row",
            "dx",  # where the gradient of what was read belongs; -1 for the first layer
            "dx_row",
            "masked",  # whether what was read came out of a ReLU
        )
    ]
)

# float32 numbers of a stripe's maps: about what stays in the caches.
_STRIPE_VALUES = 4_200_000
_LEAST_STRIPE = 16


@dataclass(frozen=True)
class MapsNetwork:
    """What of a network does not depend on the size of a page.

    Attributes
    ----------
    ops : ndarray
        ``MAP_OP`` (n,), without sizes and positions of maps.
    n_channels, n_maps : int
        Of what goes in and comes out.
    n_parameters, n_packed, n_flipped, n_lifted : int
        float32 numbers of the flat parameters in Keras' order, and of the packed ones. What is not a parameter there
        is zero.
    n_lifted_sums, n_scratch : int
        float32 numbers of the gradients of lifted kernels, and of what a thread needs to lift windows.
    places, flipped_places : ndarray
        int64 (n_parameters,): where each parameter stands in the packed ones; -1 for none.
    """

    ops: NDArray[np.void]
    n_channels: int
    n_maps: int
    n_parameters: int
    n_packed: int
    n_flipped: int
    n_lifted: int
    n_lifted_sums: int
    n_scratch: int
    places: NDArray[np.int64]
    flipped_places: NDArray[np.int64]


@dataclass(frozen=True)
class MapsPlan:
    """A network for pages of one size.

    Attributes
    ----------
    ops : ndarray
        ``MAP_OP`` (n,).
    bases, ends : ndarray
        int64 (n_stripes, n + 1): for every map, from the page's own to the last, the first row that is in memory, which
        may lie in the border, and how many rows are there when the stripe is done.
    out_shape : tuple of int
        Height, width and number of the maps that come out.
    n_values, n_winners : int
        float32 numbers and bytes of memory.
    """

    ops: NDArray[np.void]
    bases: NDArray[np.int64]
    ends: NDArray[np.int64]
    out_shape: tuple[int, int, int]
    n_values: int
    n_winners: int


def build_maps_network(architecture: Architecture) -> MapsNetwork:
    """Lay out the weights of a fully convolutional network.

    Raises
    ------
    NetworkError
        If it holds anything but convolutions and 2 x 2 max-poolings behind them.
    """
    pairs: list[tuple[Conv2D, bool]] = []
    for layer in architecture.layers:
        if isinstance(layer, Conv2D):
            if layer.stride != (1, 1) or layer.activation not in ("linear", "relu"):
                raise NetworkError(
                    f'{layer.name}: a network for images of any size has strides of 1 and the activations "linear" and '
                    '"relu"; change this layer, or give the network a fixed input_shape.'
                )
            pairs.append((layer, False))
        elif isinstance(layer, MaxPooling2D) and pairs and not pairs[-1][1] and _halves(layer):
            pairs[-1] = (pairs[-1][0], True)
        else:
            raise NetworkError(
                f"{layer.name}: a network for images of any size consists of Conv2D and of MaxPooling2D(2) right "
                "behind one; leave this layer out, or give the network a fixed input_shape."
            )
    ops = np.zeros(len(pairs), MAP_OP)
    n_channels = n_real = architecture.input_shape[2]
    packed, n_parameters = 0, 0
    # Zeros first: what the input gradient adds to.
    flipped = _padded(max(layer.filters for layer, _ in pairs))
    places, flipped_places = [], []
    channels = n_channels
    for index, (layer, is_pooled) in enumerate(pairs):
        op = ops[index]
        (height, width), filters = layer.kernel, _padded(layer.filters)
        op["kernel_height"], op["kernel_width"] = height, width
        if layer.padding == "same":
            op["top"], op["bottom"] = (height - 1) // 2, height // 2
            op["left"], op["right"] = (width - 1) // 2, width // 2
        op["channels"], op["filters"] = channels, filters
        op["relu"], op["pool"] = layer.activation == "relu", is_pooled
        op["masked"] = index > 0 and ops[index - 1]["relu"]
        op["weights"], op["flipped"] = packed, flipped if index else -1
        ky, kx, c, f = (axis.ravel() for axis in np.indices((height, width, n_real, layer.filters)))
        places.append(packed + _packed_place(ky, kx, c, f, height, width, channels, filters))
        turned = _packed_place(height - 1 - ky, width - 1 - kx, f, c, height, width, filters, channels)
        flipped_places.append(flipped + turned if index else np.full(len(turned), -1))
        packed += height * width * channels * filters
        op["bias"] = packed
        if layer.use_bias:
            places.append(packed + np.arange(layer.filters))
            flipped_places.append(np.full(layer.filters, -1))
        packed += filters
        flipped += height * width * channels * filters if index else 0
        n_parameters += len(ky) + layer.filters * layer.use_bias
        channels, n_real = filters, layer.filters
    n_lifted = _padded(max(layer.filters for layer, _ in pairs))
    n_lifted_sums = 0
    for name in ("lifted", "lifted_back"):
        for op in ops:
            op[name] = -1
            if _can_be_lifted(op) and (name == "lifted" or op["flipped"] >= 0):
                op[name] = n_lifted
                n_lifted += int(N_LIFTED * op["channels"] * op["filters"])
        n_lifted_sums = n_lifted_sums or n_lifted
    return MapsNetwork(
        ops=ops,
        n_channels=n_channels,
        n_maps=n_real,
        n_parameters=n_parameters,
        n_packed=packed,
        n_flipped=flipped,
        n_lifted=n_lifted,
        n_lifted_sums=n_lifted_sums,
        n_scratch=int(N_LIFTED * WINDOWS * (ops["channels"] + ops["filters"]).max()),
        places=np.concatenate(places),
        flipped_places=np.concatenate(flipped_places),
    )


def _can_be_lifted(op: np.void) -> bool:
    """Whether it is a convolution of 3 x 3 with ``same`` borders, of whole vectors of channels."""
    kernel, border = (op["kernel_height"], op["kernel_width"]), (op["top"], op["bottom"], op["left"], op["right"])
    return kernel == (3, 3) and border == (1, 1, 1, 1) and op["channels"] % LANES == 0


def _halves(layer: MaxPooling2D) -> bool:
    return layer.pool == layer.stride == (2, 2) and layer.padding == "valid"


def _padded(n: int) -> int:
    return -(-n // LANES) * LANES


def _packed_place(
    ky: NDArray[np.int64],
    kx: NDArray[np.int64],
    c: NDArray[np.int64],
    f: NDArray[np.int64],
    height: int,
    width: int,
    channels: int,
    filters: int,
) -> NDArray[np.int64]:
    """Where a number of a kernel stands: blocks of two vectors of filters, the last of one where they are odd."""
    n_vectors, vector = filters // LANES, f // LANES
    block = vector // 2 * 2
    wide = np.where(block + 1 < n_vectors, 2 * LANES, LANES)
    tap = (ky * width + kx) * channels + c
    return block * LANES * height * width * channels + tap * wide + f - block * LANES


def plan_page(network: MapsNetwork, height: int, width: int, stripe: int | None = None) -> MapsPlan:
    """Lay out a page that is answered, in stripes of so many of its rows; of a fitting number where none is given.

    Raises
    ------
    DataError
        If the page is too small for the network.
    """
    ops = _sized(network, height, width)
    rows = max(1, height if stripe is None else stripe)
    while True:
        bases, ends = _stripes(ops, height, rows)
        memory = _place_maps(ops, bases, ends)
        if stripe is not None or memory <= _STRIPE_VALUES or rows <= _LEAST_STRIPE:
            break
        # Whole sixteens, so that the poolings leave even numbers of rows to share.
        rows = max(_LEAST_STRIPE, rows * 3 // 4 // _LEAST_STRIPE * _LEAST_STRIPE)
    ops["winners"] = ops["dx"] = -1
    return MapsPlan(ops, bases, ends, _out_shape(network, ops), memory, 0)


def plan_training(network: MapsNetwork, height: int, width: int) -> MapsPlan:
    """Lay out a crop that is learned from, with the gradients of all maps.

    Raises
    ------
    DataError
        If the crop is too small for the network.
    """
    ops = _sized(network, height, width)
    bases, ends = _stripes(ops, height, height)
    memory = _place_maps(ops, bases, ends)
    n_winners = 0
    given: dict[tuple[int, ...], list[int]] = {}
    for index in range(len(ops) - 1, -1, -1):
        op = ops[index]
        above, below = op["kernel_height"] - 1 - op["top"], op["kernel_height"] - 1 - op["bottom"]
        left, right = op["kernel_width"] - 1 - op["left"], op["kernel_width"] - 1 - op["right"]
        op["dz_top"], op["dz_left"] = above, left
        op["dz_row"] = (op["width"] + left + right) * op["filters"]
        # Two of a kind take turns: one is read while the other is written, and both are still in the cache.
        kind = tuple(int(op[name]) for name in ("height", "width", "filters", "dz_row", "dz_top", "dz_left"))
        places = given.setdefault(kind, [])
        if len(places) == 2:
            places.append(places.pop(0))
        else:
            places.append(memory)
            memory += int((op["height"] + above + below + 1) * op["dz_row"]) + LANES
        op["dz"] = places[-1]
        op["winners"] = -1
        if op["pool"]:
            op["winners"] = n_winners
            n_winners += int(op["out_height"] * op["out_width"] * op["filters"])
            op["dy"], op["dy_row"] = memory, op["out_width"] * op["filters"]
            memory += int(op["out_height"] * op["dy_row"])
        else:
            op["dy"], op["dy_row"] = op["dz"] + above * op["dz_row"] + left * op["filters"], op["dz_row"]
    ops["dx"][0] = -1
    ops["dx"][1:], ops["dx_row"][1:] = ops["dy"][:-1], ops["dy_row"][:-1]
    return MapsPlan(ops, bases, ends, _out_shape(network, ops), memory, n_winners)


def _sized(network: MapsNetwork, height: int, width: int) -> NDArray[np.void]:
    """The operations with the sizes of their maps."""
    ops = network.ops.copy()
    page = (height, width)
    for op in ops:
        height = height + int(op["top"] + op["bottom"]) - int(op["kernel_height"]) + 1
        width = width + int(op["left"] + op["right"]) - int(op["kernel_width"]) + 1
        op["height"], op["width"] = height, width
        if op["pool"]:
            height, width = height // 2, width // 2
        op["out_height"], op["out_width"] = height, width
        if min(height, width) < 1:
            raise DataError(
                f"An image of {page[0]} x {page[1]} pixels is too small for this network: nothing would be left of "
                "its maps. Use a larger one."
            )
    return ops


def _out_shape(network: MapsNetwork, ops: NDArray[np.void]) -> tuple[int, int, int]:
    return int(ops[-1]["out_height"]), int(ops[-1]["out_width"]), network.n_maps


def _stripes(ops: NDArray[np.void], height: int, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every stripe and map, the first row in memory and how many there are at last."""
    n_stripes = -(-height // rows)
    bases, ends = np.zeros((2, n_stripes, len(ops) + 1), np.int64)
    for stripe in range(n_stripes):
        ends[stripe, 0] = min(height, (stripe + 1) * rows)
        n_rows = height
        for index, op in enumerate(ops):
            done = ends[stripe - 1, index + 1] if stripe else 0
            bases[stripe, index] = (2 * done if op["pool"] else done) - op["top"]
            bases[stripe, index + 1] = done
            there = ends[stripe, index]
            # Below the last row there is the border; below any other there is a row to come.
            below = op["bottom"] if there == n_rows else 0
            n_rows = int(op["height"])
            can = min(n_rows, max(0, there + op["top"] + below - op["kernel_height"] + 1))
            if can < n_rows:
                can -= can % 2  # by twos, as winograd.py takes them
            ends[stripe, index + 1] = can // 2 if op["pool"] else can
            n_rows = int(op["out_height"])
    return bases, ends


def _place_maps(ops: NDArray[np.void], bases: NDArray[np.int64], ends: NDArray[np.int64]) -> int:
    """Say where every map stands, as high as its largest stripe; return how many numbers they all are."""
    memory = 0
    for index, op in enumerate(ops):
        op["x"], op["x_row"] = memory, (op["width"] + op["kernel_width"] - 1) * op["channels"]
        op["x_rows"] = (ends[:, index] - bases[:, index]).max() + op["bottom"]
        # A row more: the last window of an odd number of rows looks at it.
        memory += _padded(int(op["x_row"] * (op["x_rows"] + 1))) + LANES
    last = ops[-1]
    for op, following in pairwise(ops):
        op["y"], op["y_row"] = following["x"] + following["left"] * following["channels"], following["x_row"]
    last["y"], last["y_row"] = memory, last["out_width"] * last["filters"]
    return memory + int((ends[:, -1] - bases[:, -1]).max() * last["y_row"])
