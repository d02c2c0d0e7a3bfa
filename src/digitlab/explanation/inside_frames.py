"""An image's way through a network as it is drawn: what stays, what changes with every batch, and one number's sum.

The page to hand out has every number at full precision. A page that follows a training gets so many at once only for
their colours, in few levels and packed; what is written in figures is exact, and only for the one number that somebody
looks at.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from typing import Any

import numpy as np

from digitlab.errors import InputError, NetworkError
from digitlab.explanation.inside import Inside, LayerInside, border_of, formula_of
from digitlab.explanation.topics import beginning
from digitlab.network.layers import (
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    ZeroPadding2D,
    activation_of,
)

#: A frame has at most so many bytes as JSON: with an image, a sentence and its envelope 10 kB over the wire.
MOST_FRAME_BYTES = 8_500

#: What is told of a layer: the topic whose beginning it is.
_TOPICS = {
    "Conv2D": "convolution",
    "MaxPooling2D": "max_pooling",
    "GlobalMaxPooling2D": "max_pooling",
    "Flatten": "flatten",
    "Dense": "dense",
    "Dropout": "dropout",
    "ZeroPadding2D": "padding",
}
# So many shades of each colour, the first that fit into a frame.
_LEVELS = (127, 31, 15, 7, 3)
# Contributions that are told one by one, and numbers of a window that are.
_SHOWN_TERMS, _SHOWN_WINDOW = 12, 64


def plan_of(inside: Inside) -> dict[str, Any]:
    """Return what does not change while a network learns: names, shapes, formulas, sentences."""
    return {
        "name": inside.network.name,
        "class_names": list(inside.class_names),
        "shape": list(inside.image.shape),
        "says_image": beginning("images"),
        "layers": [_layer_plan(layer) for layer in inside.layers],
    }


def _layer_plan(inside: LayerInside) -> dict[str, Any]:
    layer, kind = inside.layer, type(inside.layer).__name__
    name, below = activation_of(layer)
    topic = _TOPICS.get(kind) or ("softmax" if name == "softmax" else None)
    told: dict[str, Any] = {
        "name": layer.name,
        "kind": kind,
        "activation": name,
        "below": below,
        "formula": formula_of(layer),
        "says": beginning(topic) if topic else "",
        "shape": list(inside.outputs.shape),
        "is_same": _is_same(inside),
    }
    if isinstance(layer, Conv2D | MaxPooling2D | AveragePooling2D):
        size = layer.kernel if isinstance(layer, Conv2D) else layer.pool
        border = border_of(layer, inside.inputs.shape)
        told["window"] = {"size": size, "stride": layer.stride, "border": border, "isGlobal": False}
    if isinstance(layer, GlobalAveragePooling2D | GlobalMaxPooling2D):
        told["window"] = {"size": inside.inputs.shape[:2], "stride": (1, 1), "border": (0, 0), "isGlobal": True}
    if isinstance(layer, ZeroPadding2D):
        told["padding"] = [side[0] for side in layer.sides]
    return told


def _is_same(inside: LayerInside) -> bool:
    """Whether a layer hands on the numbers that it gets."""
    return isinstance(inside.layer, Flatten | Dropout)


def first_unit(inside: Inside) -> tuple[int, tuple[int, ...]]:
    """Return a layer's position and a number of it to begin with: over ink, and not one of the many in the dark."""
    outputs = inside.layers[0].outputs
    if outputs.ndim == 1:
        return 0, (int(np.abs(outputs).argmax()),)
    row, column = np.unravel_index(int(np.abs(outputs[..., 0]).argmax()), outputs.shape[:2])
    return 0, (int(row), int(column), 0)


def frame_of(
    inside: Inside,
    position: int,
    unit: tuple[int, ...],
    read: int | None = None,
    *,
    most_bytes: int = MOST_FRAME_BYTES,
) -> dict[str, Any]:
    """Return the numbers of a moment for the plan's layers, in at most ``most_bytes`` of JSON.

    ``content`` are the outputs of all layers that do not hand on what they get, int8 from -``levels`` to ``levels``,
    which stands for the layer's ``most``; deflated, in base64. ``account`` is that of one number, see ``account_of``.

    Raises
    ------
    NetworkError
        If they are no numbers any more.
    InputError
        If there are so many that they do not fit.
    """
    if not all(np.isfinite(layer.totals).all() for layer in inside.layers):
        raise NetworkError(
            "At this step the network's sums are no numbers any more. Look at an earlier step, and train with a "
            "smaller learning rate."
        )
    layers = [layer.outputs for layer in inside.layers if not _is_same(layer)]
    most = [float(np.abs(outputs).max()) for outputs in layers]
    frame: dict[str, Any] = {
        "most": most,
        "levels": _LEVELS[0],
        "content": "",
        "label": inside.label,
        "probabilities": inside.probabilities.tolist(),
        "account": account_of(inside, position, unit, read),
    }
    room = most_bytes - len(json.dumps(frame))
    parts = [outputs.ravel() / (largest or 1.0) for outputs, largest in zip(layers, most, strict=True)]
    fractions = np.concatenate(parts)
    for levels in _LEVELS:
        packed = base64.b64encode(zlib.compress(np.rint(fractions * levels).astype(np.int8).tobytes()))
        if len(packed) <= room:
            return frame | {"levels": levels, "content": packed.decode()}
    raise InputError(
        f"{inside.network.name} has {len(fractions):,} numbers between the pixels and the answer, too many for a live "
        "picture. As a page of its own: digitlab explain latest 0 --html page.html"
    )


def account_of(inside: Inside, position: int, unit: tuple[int, ...], read: int | None = None) -> dict[str, Any]:
    """Return the arithmetic of one number as it is shown; ``position`` is its layer's, from 0.

    Of a convolution the products of one map that is ``read``, by default the one that gives most, and every map's sum;
    of a dense layer the largest contributions and the rest; of a softmax every class's sum.
    """
    layer = inside.layers[position]
    why = inside.why(layer.layer.name, *unit)
    account: dict[str, Any] = {
        "layer": position,
        "unit": list(unit),
        "read": None,
        "box": list(why.window) or None,
        "bias": why.bias,
        "total": why.total,
        "output": why.output,
        "most_input": float(np.abs(layer.inputs).max()),
    }
    if isinstance(layer.layer, Conv2D):
        n = layer.inputs.shape[2]
        sums = [sum(term.product for term in why.terms[k::n]) for k in range(n)]
        if read is None or not 0 <= read < n:
            read = int(np.abs(sums).argmax())
        kernel = layer.weights[0]
        most = float(np.abs(kernel).max())
        pull = kernel[..., unit[2]].sum((0, 1)) / ((most or 1.0) * math.sqrt(math.prod(kernel.shape[:2])))
        account |= {
            "read": read,
            "sums": sums,
            "values": [term.value for term in why.terms[read::n]],
            "weights": [term.weight for term in why.terms[read::n]],
            "most_weight": most,
            "pull": [round(float(each), 3) for each in pull],
        }
    elif "Pooling" in why.kind:
        kept = next((k for k, term in enumerate(why.terms) if term.weight == 1.0), 0)
        values = [term.value for term in why.terms]
        account |= {"n_terms": len(values), "values": values if len(values) <= _SHOWN_WINDOW else [], "kept": kept}
    elif isinstance(layer.layer, Dense):
        account |= {
            "terms": [[term.place[0], term.value, term.weight] for term in why.terms[:_SHOWN_TERMS]],
            "n_terms": why.n_terms,
            "rest": sum(term.product for term in why.terms[_SHOWN_TERMS:]),
        }
    else:
        account["value"] = why.terms[0].value if why.terms else None
    if why.activation == "softmax":
        account["totals"] = layer.totals.tolist()
    return account
