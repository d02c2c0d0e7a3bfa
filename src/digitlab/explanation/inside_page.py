"""An image's way through a network as one HTML file to hand out: every number in it, no server, no library."""

from __future__ import annotations

import base64
import html
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab import __version__
from digitlab.data.storage import replacing
from digitlab.engine.sequential import Sequential
from digitlab.errors import InputError, NetworkError, StorageError
from digitlab.explanation.attribution import LIKES, METHODS, Attribution, attribute, favourite_input, smallest_change
from digitlab.explanation.inside import Inside, LayerInside
from digitlab.explanation.inside_frames import plan_of
from digitlab.text import percent

#: The script and the stylesheets that draw the picture, here and on the Studio's page.
SOURCES = Path(__file__).with_name("page")
# As one module, each behind those that it imports from.
_SCRIPTS = ("maps.js", "arithmetic.js", "inside.js", "sides.js")
_STYLES = ("tokens.css", "page.css", "inside.css")
_IMPORT = re.compile(r"^import .*\n", re.MULTILINE)
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
    plan = plan_of(inside)
    layers = [told | _layer_numbers(layer) for told, layer in zip(plan["layers"], inside.layers, strict=True)]
    return plan | {
        "label": inside.label,
        "image": _numbers(_as_image(inside.image)),
        "layers": layers,
        "evidence": evidence_of(model, inside),
    }


def evidence_of(model: Sequential, inside: Inside, target: int | None = None) -> list[dict[str, Any]]:
    """Return what speaks for the answer, and the smallest change that makes another one, each as a picture.

    Each has a title, a sentence, and numbers in base64. ``target`` is the other answer; by default the next likely.
    """
    rival = int(np.argsort(inside.probabilities)[-2]) if target is None else target
    answer, other = inside.class_names[inside.label], inside.class_names[rival]
    methods = [method for method in METHODS if method != "occlusion" or inside.image.ndim == 3]
    found = [attribute(model, inside.image, inside.label, method=method) for method in methods]
    told: list[dict[str, Any]] = [
        {
            "title": f"{_TITLES[each.method]}: what speaks for {answer}",
            "says": each.tells + _sum_of(each),
            "values": _numbers(_as_image(each.values)),
        }
        for each in found
    ]
    try:
        change = smallest_change(model, inside.image, rival)
    except NetworkError as error:  # its answer hardly depends on the pixels
        nothing = _numbers(np.zeros_like(_as_image(inside.image)))
        return [*told, {"title": f"What would make it {other}", "says": str(error), "values": nothing}]
    says = (
        f"So little makes the answer {other}: {change.distance:.2f} in all, where a pixel that turns from black to "
        "white is 1. It tells how near the border to that answer is. Found by descent on the image; there may be "
        "smaller changes. Orange is added, blue (with holes) taken away."
    )
    values = _numbers(_as_image(change.image - inside.image))
    changed = _numbers(_as_image(change.image))
    return [*told, {"title": f"What would make it {other}", "says": says, "values": values, "image": changed}]


def _sum_of(found: Attribution) -> str:
    """Say what the pixels of a method give together, where that is to be the difference of two sums."""
    if found.difference is None:
        return ""
    return f" Here they give {found.total:.3f} in all, and the sums differ by {found.difference:.3f}."


def favourite_of(model: Sequential, position: int, channel: int) -> dict[str, Any]:
    """Return what a channel of the layer at a position likes best, as a picture with a title and a sentence."""
    layer = model.architecture.layers[position]
    is_answer = position == len(model.architecture.layers) - 1
    shape = model.architecture.shapes[position]
    what = f"map {channel}" if len(shape) == 3 else f"number {channel}"
    liked = favourite_input(model, layer.name, channel)
    title = f"What {model.class_names[channel]} likes best" if is_answer else f"What {what} of {layer.name} likes best"
    return {"title": title, "says": LIKES, "values": _numbers(_as_image(liked))}


def write_inside_page(
    model: Sequential,
    inside: Inside,
    path: Path,
    title: str = "",
    *,
    beside: tuple[Sequential, Inside] | None = None,
    names: tuple[str, str] = ("", ""),
) -> None:
    """Write the page of an image's way through a network; it appears whole or not at all.

    With ``beside``, the way of the same image through another network or moment stands beside it; ``names`` say what
    the two are.

    Raises
    ------
    InputError
        If the network has too many numbers for a page.
    StorageError
        If the file cannot be written.
    """
    both = [(model, inside), *([] if beside is None else [beside])]
    sides = [
        {"words": _sentence(way, name), "data": page_data(own, way)}
        for (own, way), name in zip(both, names, strict=False)
    ]
    data = json.dumps(sides).replace("<", "\\u003c")  # so that no name can end the script
    heading = html.escape(title or "The way of an image through a network")
    styles = "".join((SOURCES / name).read_text("utf-8") for name in _STYLES)
    scripts = "\n".join(_IMPORT.sub("", (SOURCES / name).read_text("utf-8")) for name in _SCRIPTS)
    text = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<title>{heading}</title>
<style>
{styles}</style>
<main>
<h1>{heading}</h1>
<p class="soft">
Click any map to see how a number is made; the arrow keys move, Page Up and Page Down lead to the next map.</p>
<div id="inside"></div>
</main>
<script type="application/json" id="data">{data}</script>
<script type="module">
{scripts}
const sides = showSides(document.getElementById("inside"), showInside);
JSON.parse(document.getElementById("data").textContent).forEach(({{data, words}}, k) => sides.put(k, data, words));
</script>
<!-- Made with digitlab {__version__}. -->
"""
    try:
        with replacing(path) as draft:
            draft.write(text.encode())
    except OSError as error:
        raise StorageError(f"The page cannot be written to {path}: {error.strerror or error}.") from None


def _sentence(inside: Inside, name: str) -> str:
    answer = f"{inside.class_names[inside.label]}, {percent(float(inside.probabilities[inside.label]), 1)}"
    own = f"{inside.network.name}, {inside.network.n_parameters:,} parameters"
    return f"{f'{name}: {own}' if name else own}, answers {answer}."


def _as_image(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return pixels as an image; a row of them is made a square where it can be."""
    side = math.isqrt(pixels.size)
    return pixels.reshape(side, side, 1) if pixels.ndim == 1 and side * side == pixels.size else pixels


def _numbers(array: NDArray[Any]) -> dict[str, Any]:
    kind = "float64" if array.dtype == np.float64 else "float32"
    content = base64.b64encode(array.astype("<f8" if kind == "float64" else "<f4").tobytes()).decode()
    return {"shape": list(array.shape), "kind": kind, "content": content}


def _layer_numbers(inside: LayerInside) -> dict[str, Any]:
    parts = zip(("kernel", "bias"), inside.weights, strict=False)
    weights = {part: _numbers(array.astype(np.float32)) for part, array in parts}
    return {"outputs": _numbers(inside.outputs)} | weights
