"""A step of learning as it is drawn: what there is, some images, some filters as maps, and one weight's arithmetic.

A network may have any number of weights and a batch of images: each answer here is bounded, and asked for when somebody
looks. What is coloured travels in few shades; what is written in figures is exact, for the one weight that is chosen.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.optimizers import Adam
from digitlab.errors import InputError
from digitlab.explanation.shares import GRADIENT_FORMULA
from digitlab.explanation.step import ArrayStep, LayerStep, StepApart
from digitlab.explanation.topics import beginning
from digitlab.network.layers import Conv2D, Dropout, Flatten
from digitlab.svg import png_data_uri

#: Images that are told at a time, and filters that are shown at a time, at most.
IMAGES, FILTERS = 24, 16
# Numbers of all maps of an answer together, and terms that are told one by one.
_MOST_SHOWN, _SHOWN_TERMS = 32_000, 6
_LEVELS = 127

#: What is shown of every weight, in this order; the first and the last have one scale of colours.
ROWS = ("before", "gradient", "change", "after")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What somebody looks at: a layer that learns, which of the maps that it reads, its first filter, and one weight.

    ``place`` is ``(row, column)`` in the filter's map, None for its bias; ``image`` the one whose products are told.
    """

    layer: int = 0
    read: int | None = None
    first: int = 0
    unit: int = 0
    place: tuple[int, int] | None = (0, 0)
    image: int | None = None


@dataclass(frozen=True, slots=True)
class _Laid:
    """How a kernel is laid out as maps: ``height`` x ``width`` of them, ``n_read`` deep, one a unit."""

    height: int
    width: int
    n_read: int
    n_units: int
    n_inputs: int

    def index(self, unit: int, row: int, column: int, read: int, *, is_filter: bool) -> tuple[int, ...]:
        """Return where a weight stands in the kernel."""
        if is_filter:
            return row, column, read, unit
        return (row * self.width + column) * self.n_read + read, unit


def _laid(apart: StepApart, layer: LayerStep) -> _Laid:
    shape = layer.kernel.before.shape
    if isinstance(layer.layer, Conv2D):
        return _Laid(shape[0], shape[1], shape[2], shape[3], shape[0] * shape[1] * shape[2])
    source = _source(apart, layer)
    if len(source) == 3:
        return _Laid(source[0], source[1], source[2], shape[1], shape[0])
    # As near to a square as can be, as in the picture of the network.
    wide = int(np.ceil(np.sqrt(shape[0])))
    return _Laid(-(-shape[0] // wide), wide, 1, shape[1], shape[0])


def _source(apart: StepApart, layer: LayerStep) -> tuple[int, ...]:
    """Return the shape of the maps that a dense layer reads in a row; dropout between them changes no place."""
    network, position = apart.network, layer.position - 1
    while position >= 0 and isinstance(network.layers[position], Dropout):
        position -= 1
    if position >= 0 and isinstance(network.layers[position], Flatten):
        return network.input_shapes[position]
    return network.input_shape if len(layer.input_shape) == 3 else ()


def plan_of_step(apart: StepApart) -> dict[str, Any]:
    """Return what is said of the step as a whole, and the layers that learn."""
    optimizer = apart.optimizer
    return {
        "step": apart.step,
        "n_images": len(apart.labels),
        "class_names": list(apart.class_names),
        "rate": apart.learning_rate,
        "loss": apart.loss,
        "loss_after": apart.loss_after,
        "notes": list(apart.notes),
        "optimizer": {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}[optimizer.name],
        "says_gradient": beginning("gradient"),
        "says_optimizer": beginning("adam" if isinstance(optimizer, Adam) else "optimizer"),
        "gradient_formula": GRADIENT_FORMULA,
        "layers": [_layer_plan(apart, layer) for layer in apart.layers],
    }


def _layer_plan(apart: StepApart, layer: LayerStep) -> dict[str, Any]:
    laid = _laid(apart, layer)
    is_last = layer is apart.layers[-1] and laid.n_units == len(apart.class_names)
    return {
        "name": layer.layer.name,
        "is_filter": isinstance(layer.layer, Conv2D),
        "n_units": laid.n_units,
        "n_read": laid.n_read,
        "n_weights": layer.kernel.before.size + (0 if layer.bias is None else layer.bias.before.size),
        "units": list(apart.class_names) if is_last else None,
    }


def images_of_step(apart: StepApart, first: int = 0) -> dict[str, Any]:
    """Return ``IMAGES`` of the batch, from ``first`` on, of those with the largest losses first."""
    order = np.argsort(-apart.losses, kind="stable")[first : first + IMAGES]
    answers = apart.probabilities.argmax(axis=1)
    return {
        "first": first,
        "sprite": _sprite(apart, order),
        "images": [
            [int(at), int(apart.labels[at]), int(answers[at]), round(float(apart.losses[at]), 4)] for at in order
        ],
    }


def _sprite(apart: StepApart, chosen: NDArray[Any]) -> str:
    """Return images side by side as one picture."""
    if not len(chosen):
        return ""
    images = apart.images[chosen]
    if images.dtype != np.uint8:
        images = np.rint(np.clip(images, 0.0, 1.0) * 255.0).astype(np.uint8)
    if images.ndim == 2:
        side = int(np.sqrt(images.shape[1]))
        images = images[:, : side * side].reshape(len(images), side, side, 1)
    return png_data_uri(np.concatenate([image[..., 0] for image in images], axis=1))


def maps_of_step(apart: StepApart, chosen: Chosen) -> dict[str, Any]:
    """Return some filters of a layer before the step, their gradients, changes, and what they are after it.

    ``content`` are int8 from -127 to 127 of the row's ``most``: ROWS x filters x height x width, deflated, in base64;
    ``biases`` are exact. The map that is read is by default the one with the largest gradients.
    """
    layer = _layer(apart, chosen)
    laid = _laid(apart, layer)
    n = _n_shown(laid)
    first = chosen.first // n * n if 0 <= chosen.first < laid.n_units else 0
    read = _read(layer, laid, chosen.read)
    most, parts = [], []
    for row in ROWS:
        scale = "after" if row == "before" else row
        arrays = [getattr(layer.kernel, name) for name in ({"before", "after"} if scale == "after" else {row})]
        largest = max(float(np.abs(array).max()) for array in arrays)
        maps = _as_maps(getattr(layer.kernel, row), laid)[..., read, first : first + n]
        parts.append(np.rint(np.nan_to_num(maps / (largest or 1.0)) * _LEVELS).astype(np.int8).transpose(2, 0, 1))
        most.append(largest)
    content = np.stack(parts)
    return {
        "layer": chosen.layer,
        "read": read,
        "first": first,
        "n": content.shape[1],
        "height": laid.height,
        "width": laid.width,
        "n_inputs": laid.n_inputs,
        "most": most,
        "levels": _LEVELS,
        "content": base64.b64encode(zlib.compress(content.tobytes())).decode(),
        "biases": _biases(layer.bias, first, n),
    }


def _biases(bias: ArrayStep | None, first: int, n: int) -> list[list[float]] | None:
    return None if bias is None else [getattr(bias, row)[first : first + n].tolist() for row in ROWS]


def _read(layer: LayerStep, laid: _Laid, read: int | None) -> int:
    if read is not None and 0 <= read < laid.n_read:
        return read
    gradients = _as_maps(layer.kernel.gradient, laid)
    return int(np.abs(gradients).sum(axis=(0, 1, 3)).argmax())


def _as_maps(kernel: NDArray[np.float32], laid: _Laid) -> NDArray[np.float32]:
    """Return a kernel as (height, width, maps that are read, units); what is beyond a dense layer's inputs is 0."""
    if kernel.ndim == 4:
        return kernel
    room = laid.height * laid.width * laid.n_read
    padded = kernel if room == len(kernel) else np.pad(kernel, ((0, room - len(kernel)), (0, 0)))
    return padded.reshape(laid.height, laid.width, laid.n_read, laid.n_units)


def account_of_weight(apart: StepApart, chosen: Chosen) -> dict[str, Any]:
    """Return the arithmetic of one weight as it is shown; InputError if there is no such weight."""
    layer = _layer(apart, chosen)
    laid = _laid(apart, layer)
    read = _read(layer, laid, chosen.read)
    index: tuple[int, ...] = (chosen.unit,)
    if chosen.place is not None:
        row, column = chosen.place
        if not (0 <= row < laid.height and 0 <= column < laid.width):
            raise InputError(f"{layer.layer.name} has no weight at row {row}, column {column}.")
        index = laid.index(chosen.unit, row, column, read, is_filter=isinstance(layer.layer, Conv2D))
    why = apart.why(layer.layer.name, *index, image=chosen.image)
    shown = list(why.shares[:_SHOWN_TERMS])
    if all(share.image != why.image for share in shown):
        shown[-1] = next(share for share in why.shares if share.image == why.image)
    answers = apart.probabilities[[share.image for share in shown]].argmax(axis=1).tolist()
    told = why.to_dict()
    for name in ("shares", "products"):
        del told[name]
    return told | {
        "place": chosen.place and list(chosen.place),
        "read": read,
        "unit": chosen.unit,
        "at": chosen.layer,
        "shares": [
            [share.image, int(apart.labels[share.image]), answer, share.share]
            for share, answer in zip(shown, answers, strict=True)
        ],
        "other_shares": sum(share.share for share in why.shares) - sum(share.share for share in shown),
        "sprite": _sprite(apart, np.array([share.image for share in shown])),
        "products": [[list(each.place), each.value, each.error] for each in why.products[:_SHOWN_TERMS]],
        "other_products": sum(each.product for each in why.products[_SHOWN_TERMS:]),
        "share": next(share.share for share in why.shares if share.image == why.image),
        "weight_decay": apart.optimizer.weight_decay,
    }


def first_weight(apart: StepApart, layer: int = 0) -> Chosen:
    """Return the weight of a layer to begin with: the one with the largest gradient among those that are seen first."""
    own = apart.layers[layer]
    laid = _laid(apart, own)
    read = _read(own, laid, None)
    seen = np.abs(_as_maps(own.kernel.gradient, laid)[..., read, : _n_shown(laid)])
    row, column, unit = np.unravel_index(int(np.nan_to_num(seen).argmax()), seen.shape)
    return Chosen(layer, read, 0, int(unit), (int(row), int(column)))


def _n_shown(laid: _Laid) -> int:
    return max(1, min(FILTERS, _MOST_SHOWN // (len(ROWS) * laid.height * laid.width)))


def _layer(apart: StepApart, chosen: Chosen) -> LayerStep:
    if not 0 <= chosen.layer < len(apart.layers):
        raise InputError(f"The network has {len(apart.layers)} layers that learn; got {chosen.layer}.")
    return apart.layers[chosen.layer]
