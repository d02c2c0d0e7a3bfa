"""An image's way through a network as one HTML file to hand out: every number in it, no server, no library."""

from __future__ import annotations

import base64
import html
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab import __version__
from digitlab.data.storage import replacing
from digitlab.engine.sequential import Sequential
from digitlab.errors import InputError, NetworkError, StorageError
from digitlab.explanation.attribution import METHODS, attribute, smallest_change
from digitlab.explanation.inside import ACTIVATION_FORMULAS, FORMULAS, Inside, LayerInside, border_of, look_inside
from digitlab.explanation.topics import beginning
from digitlab.network.layers import (
    AveragePooling2D,
    Conv2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    ZeroPadding2D,
    activation_of,
)

_SOURCES = Path(__file__).with_name("page")
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
_TITLES = {
    "occlusion": "Occlusion",
    "gradient": "Gradient times input",
    "integrated": "Integrated gradients",
}
#: A page holds every number of the network; beyond so many it would take minutes to open.
MOST_NUMBERS = 4_000_000


def page_data(model: Sequential, inside: Inside) -> dict[str, Any]:
    """Return what the picture is drawn from: shapes, numbers in base64, formulas, sentences."""
    n_numbers = sum(layer.outputs.size + sum(array.size for array in layer.weights) for layer in inside.layers)
    if n_numbers > MOST_NUMBERS:
        raise InputError(
            f"{inside.network.name} has {n_numbers:,} numbers; a picture shows at most {MOST_NUMBERS:,}. Use a smaller "
            "network."
        )
    return {
        "name": inside.network.name,
        "label": inside.label,
        "class_names": list(inside.class_names),
        "image": _numbers(_as_image(inside.image)),
        "is_row": inside.image.ndim == 1,
        "says_image": beginning("images"),
        "layers": [_layer(layer) for layer in inside.layers],
        "evidence": _evidence(model, inside),
    }


def _evidence(model: Sequential, inside: Inside) -> list[dict[str, Any]]:
    """Return what speaks for the answer, and the smallest change that makes another one, each as a picture."""
    rival = int(np.argsort(inside.probabilities)[-2])
    answer, other = inside.class_names[inside.label], inside.class_names[rival]
    methods = [method for method in METHODS if method != "occlusion" or inside.image.ndim == 3]
    found = [attribute(model, inside.image, inside.label, method=method) for method in methods]
    told: list[dict[str, Any]] = [
        {
            "title": f"{_TITLES[each.method]}: what speaks for {answer}",
            "says": each.tells,
            "values": _numbers(_as_image(each.values)),
        }
        for each in found
    ]
    try:
        change = smallest_change(model, inside.image, rival)
    except NetworkError:
        return told  # its answer hardly depends on the pixels
    says = (
        f"So little makes the answer {other}: {change.distance:.2f} in all, where a pixel that turns from black to "
        "white is 1. Found by descent on the image; there may be smaller changes. Orange is added, blue taken away."
    )
    values = _numbers(_as_image(change.image - inside.image))
    changed = _numbers(_as_image(change.image))
    return [*told, {"title": f"What would make it {other}", "says": says, "values": values, "image": changed}]


def write_inside_page(model: Sequential, image: ArrayLike, path: Path, title: str = "") -> Inside:
    """Write the page of a network and an image, as ``look_inside`` takes them; it appears whole or not at all.

    Raises
    ------
    InputError
        If the network has too many numbers for a page.
    StorageError
        If the file cannot be written.
    """
    inside = look_inside(model, image)
    data = json.dumps(page_data(model, inside)).replace("<", "\\u003c")  # so that no name can end the script
    answer = f"{inside.class_names[inside.label]}, {100 * float(inside.probabilities[inside.label]):.1f} %"
    heading = html.escape(title or "The way of an image through a network")
    about = html.escape(f"{inside.network.name}, {inside.network.n_parameters:,} parameters, answers {answer}.")
    script, style = ((_SOURCES / f"inside.{kind}").read_text("utf-8") for kind in ("js", "css"))
    text = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<title>{heading}</title>
<style>
{style}</style>
<main>
<h1>{heading}</h1>
<p class="soft">{about}
Choose any number: click a map, or move with the arrow keys; Page Up and Page Down lead to the next map.</p>
<div id="inside"></div>
</main>
<script type="application/json" id="data">{data}</script>
<script type="module">
{script}
showInside(document.getElementById("inside"), JSON.parse(document.getElementById("data").textContent));
</script>
<!-- Made with digitlab {__version__}. -->
"""
    try:
        with replacing(path) as draft:
            draft.write(text.encode())
    except OSError as error:
        raise StorageError(f"The page cannot be written to {path}: {error.strerror or error}.") from None
    return inside


def _as_image(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return pixels as an image; a row of them is made a square where it can be."""
    side = math.isqrt(pixels.size)
    return pixels.reshape(side, side, 1) if pixels.ndim == 1 and side * side == pixels.size else pixels


def _numbers(array: NDArray[Any]) -> dict[str, Any]:
    kind = "float64" if array.dtype == np.float64 else "float32"
    content = base64.b64encode(array.astype("<f8" if kind == "float64" else "<f4").tobytes()).decode()
    return {"shape": list(array.shape), "kind": kind, "content": content}


def _layer(inside: LayerInside) -> dict[str, Any]:
    layer, kind = inside.layer, type(inside.layer).__name__
    name, below = activation_of(layer)
    formulas = (FORMULAS.get(kind, ""), "" if name == "linear" and kind in FORMULAS else ACTIVATION_FORMULAS[name])
    topic = _TOPICS.get(kind) or ("softmax" if name == "softmax" else None)
    told: dict[str, Any] = {
        "name": layer.name,
        "kind": kind,
        "activation": name,
        "below": below,
        "formula": "; ".join(filter(None, formulas)).format(below=below),
        "says": beginning(topic) if topic else "",
        "outputs": _numbers(inside.outputs),
    }
    if inside.weights:
        parts = zip(("kernel", "bias"), inside.weights, strict=False)
        told |= {part: _numbers(array.astype(np.float32)) for part, array in parts}
    if isinstance(layer, Conv2D | MaxPooling2D | AveragePooling2D):
        size = layer.kernel if isinstance(layer, Conv2D) else layer.pool
        border = border_of(layer, inside.inputs.shape)
        told["window"] = {"size": size, "stride": layer.stride, "border": border, "isGlobal": False}
    if isinstance(layer, GlobalAveragePooling2D | GlobalMaxPooling2D):
        told["window"] = {"size": inside.inputs.shape[:2], "stride": (1, 1), "border": (0, 0), "isGlobal": True}
    if isinstance(layer, ZeroPadding2D):
        told["padding"] = [side[0] for side in layer.sides]
    return told
