"""Schemas: the bodies that go in and out, for OpenAPI; with an example each."""

from __future__ import annotations

from typing import Any

from digitlab.reading.reading import REASONS
from digitlab.serving.bodies import PHOTO_TYPES, PREDICT_TYPES
from digitlab.serving.guard import CODES

Schema = dict[str, Any]

_FRACTION: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_DIGIT: Schema = {"type": "integer", "minimum": 0, "maximum": 9}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_BOX: Schema = {
    "type": "array",
    "description": "Left, top, right and bottom in pixels of the upright photo, half-open.",
    "items": {"type": "integer"},
    "minItems": 4,
    "maxItems": 4,
}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _list(of: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": of, **more}


ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "next": {"type": "string"}},
            "required": ["code", "message"],
            "additionalProperties": False,
        }
    },
    "required": ["error"],
    "additionalProperties": False,
}

_PREDICTION = _object(
    source={"type": "string", "description": "The file's name, or image#0, image#1 ..."},
    label={"type": ["integer", "null"], "description": "The most probable class; null where there is no digit."},
    confidence=_FRACTION | {"description": "How probable that answer is."},
    probabilities=_list(_FRACTION, description="One a class; they sum to 1."),
    not_a_digit={
        "type": ["number", "null"],
        "description": "How probably it is no digit; null from a network that does not know.",
    },
)
_SEVEN = {
    "source": "seven.png",
    "label": 7,
    "confidence": 0.998,
    "probabilities": [0.0, 0.0, 0.0, 0.001, 0.0, 0.0, 0.0, 0.999, 0.0, 0.0],
    "not_a_digit": 0.001,
}
PREDICTIONS = _list(_PREDICTION, description="One an image, in their order.") | {"examples": [[_SEVEN]]}

_ALTERNATIVE = _object(value=_DIGIT, probability=_FRACTION)
_DIGITS = _list(_object(value=_DIGIT, box=_BOX, confidence=_FRACTION, alternatives=_list(_ALTERNATIVE)))
_SEPARATOR = {"type": "string", "description": "What is written between this number and the next of its line."}
_NUMBERS = _list(
    _object(value={"type": "string"}, box=_BOX, confidence=_FRACTION, digits=_DIGITS, separator=_SEPARATOR)
)
_CELLS = _list(
    _object(box=_BOX, value={"type": "string"}), description="The boxes that a line is in; empty ones have no value."
)
_REFUSED = _object(
    box=_BOX,
    reason={"type": "string", "enum": [*REASONS]},
    best={"anyOf": [_ALTERNATIVE, {"type": "null"}]},
)
_READING = _object(
    source={"type": "string"},
    page=_COUNT | {"description": "From 1."},
    width=_COUNT,
    height=_COUNT,
    turned={"type": "integer", "description": "Degrees by which the photo was turned clockwise to stand upright."},
    skew={"type": "number", "description": "Degrees by which it was then straightened."},
    lines=_list(_object(box=_BOX, numbers=_NUMBERS, cells=_CELLS, text={"type": "string"})),
    refused=_list(_REFUSED, description="What is no digit, and why."),
    text={"type": "string", "description": "The lines, one below the other; empty where there is no digit."},
)
_EXAMPLE_NUMBER = {
    "value": "7",
    "box": [40, 30, 70, 78],
    "confidence": 0.998,
    "digits": [{"value": 7, "box": [40, 30, 70, 78], "confidence": 0.998, "alternatives": []}],
    "separator": "",
}
_EXAMPLE_READING = {
    "source": "image",
    "page": 1,
    "width": 640,
    "height": 480,
    "turned": 0,
    "skew": 0.0,
    "lines": [{"box": [40, 30, 70, 78], "numbers": [_EXAMPLE_NUMBER], "cells": [], "text": "7"}],
    "refused": [],
    "text": "7",
}
READINGS = _list(_READING, description="One a page, in their order.") | {"examples": [[_EXAMPLE_READING]]}

_STRINGS = _list({"type": "string"})

_NUMBER: Schema = {"type": "number"}
_ACTIVATIONS: Schema = {
    "type": "array",
    "items": {},
    "description": "Rows of columns of channels, or a row of features.",
}
_TERM = _object(place=_list({"type": "integer"}), value=_NUMBER, weight=_NUMBER, product=_NUMBER)
_ARITHMETIC = _object(
    layer={"type": "string"},
    kind={"type": "string"},
    unit=_list(_COUNT),
    formula={"type": "string"},
    window=_list({"type": "integer"}, description="Top, left, height and width of what is read, or empty."),
    terms=_list(_TERM, description="total is bias and the products of all."),
    n_terms=_COUNT,
    bias=_NUMBER,
    total=_NUMBER,
    output=_NUMBER | {"description": "What the activation makes of the total."},
    activation={"type": "string"},
    exponentials=_list(_NUMBER, description="Of a softmax, one a class."),
)
_ATTRIBUTION = _object(
    method={"type": "string"},
    label=_COUNT,
    against={"type": ["integer", "null"]},
    values=_ACTIVATIONS | {"description": "Of every pixel; above 0 where it speaks for the class."},
    total=_NUMBER,
    difference={"type": ["number", "null"], "description": "What integrated gradients should add up to."},
    tells={"type": "string", "description": "What the method may tell, and what not."},
)
_NULL: Schema = {"type": "null"}
INSIDE = _object(
    network={"type": "string"},
    image=_ACTIVATIONS | {"description": "Pixels from 0 to 1, as the network gets them."},
    layers=_list(_object(name={"type": "string"}, kind={"type": "string"}, outputs=_ACTIVATIONS)),
    class_names=_STRINGS,
    label=_COUNT,
    confidence=_FRACTION,
    arithmetic={"anyOf": [_ARITHMETIC, _NULL]},
    attribution={"anyOf": [_ATTRIBUTION, _NULL]},
) | {
    "examples": [
        {
            "network": "two_units",
            "image": [0.0, 1.0],
            "layers": [{"name": "dense", "kind": "Dense", "outputs": [0.25, 0.75]}],
            "class_names": ["Zero", "One"],
            "label": 1,
            "confidence": 0.75,
            "arithmetic": None,
            "attribution": None,
        }
    ]
}

ABOUT = _object(
    name={"type": "string"},
    source={"type": "string"},
    version={"type": "string"},
    n_parameters=_COUNT,
    input_shape=_list(_COUNT),
    class_names=_STRINGS,
    knows_not_a_digit={"type": "boolean"},
    reads_photos={"type": "boolean"},
    export_formats=_STRINGS,
    max_bytes=_COUNT,
    max_images=_COUNT,
    max_pages=_COUNT,
)

_LAYER_COST = _object(
    name={"type": "string"}, kind={"type": "string"}, n_parameters=_COUNT, multiply_adds=_COUNT, n_values=_COUNT
)
COST = _object(
    name={"type": "string"},
    n_parameters=_COUNT,
    multiply_adds=_COUNT | {"description": "A weight times an input, added to a sum; learning costs 3 times as many."},
    n_values=_COUNT | {"description": "Numbers of the image and of all that the layers make of it, 4 bytes each."},
    layers=_list(_LAYER_COST),
)

_LESSON = _object(
    term={"type": "string"},
    title={"type": "string"},
    text=_STRINGS | {"description": "Paragraphs that hold for every network."},
    formula={"type": "string", "description": "One line, or empty."},
    network={"type": "string"},
    here=_STRINGS | {"description": "Paragraphs with the numbers of that network."},
    see=_STRINGS | {"description": "Terms that lead on."},
)
_TITLES: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
LESSON: Schema = {"anyOf": [_LESSON, _TITLES]}

_SIDE = _object(
    name={"type": "string"},
    n_parameters=_COUNT,
    is_complete={"type": "boolean", "description": "If not, the weights are those that were saved last."},
    epochs=_list({"type": "object"}, description="As in the run's history.jsonl."),
    evaluation={"type": "object", "description": "As in a run's evaluation.json."},
    on_the_way=_STRINGS | {"description": "What happened to it besides its settings."},
)
_ANSWER = _object(source={"type": "string"}, label=_COUNT, confidence=_FRACTION, probabilities=_list(_FRACTION))
COMPARISON = _object(
    unlike={
        "type": "string",
        "description": "In what the two were not trained alike, to be read before any figure; empty where they were.",
    },
    data={"type": "string", "description": "Whose test images both answered."},
    a=_SIDE,
    b=_SIDE,
    settings=_list(_object(name={"type": "string"}, a={}, b={}), description="What was set differently."),
    confusion_difference=_list(_list({"type": "integer"}), description="Of b minus of a; rows are labels."),
    disagreements=_list(
        _object(index=_COUNT, place=_COUNT | {"description": "In the test set."}, label=_COUNT, a=_ANSWER, b=_ANSWER),
        description="The images that the two answer differently, those they are surest about first.",
    ),
    n_only_a_right=_COUNT,
    n_only_b_right=_COUNT,
    n_both_wrong=_COUNT,
    p_value=_FRACTION | {"description": "How often so uneven a split comes up between two equally good ones."},
)

_PIXEL: Schema = {"type": "number", "minimum": 0, "maximum": 255}
_ROWS = _list(_list(_PIXEL, minItems=28, maxItems=28), minItems=28, maxItems=28)
_IN_BASE64: Schema = {
    "type": "string",
    "format": "data-url",
    "description": "A picture of any size as canvas.toDataURL() gives it, or its bytes in base64 alone; the digit is "
    "found in it.",
}
_IMAGE: Schema = {"anyOf": [_IN_BASE64, _ROWS, _list(_PIXEL, minItems=784, maxItems=784)]}
_IMAGES: Schema = {
    "anyOf": [
        _object(image=_IMAGE),
        _object(
            images={
                "anyOf": [_list(one, minItems=1) for one in _IMAGE["anyOf"]],
                "description": "All texts or all of one shape: rows, or pixels row by row; a list around each number, "
                "the only channel, is taken, too. From 0 to 255, or all from 0 to 1; ink bright.",
            }
        ),
    ]
}
_STROKE = [[200 if 13 <= column <= 15 and 5 <= row <= 22 else 0 for column in range(28)] for row in range(28)]
_BINARY: Schema = {"type": "string", "format": "binary"}
# A stroke, 16 x 16 pixels.
_DATA_URL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAQAAAAA3iMLMAAAAHElEQVR42mP8z8DEwMDyv5GJgQE/YvzPwMTAAAB0SQOf"
    "ZtipKQAAAABJRU5ErkJggg=="
)


def _form(files: Schema, kinds: str) -> Schema:
    schema = _object(file=files)
    return {"schema": schema, "encoding": {"file": {"contentType": kinds}}}


_FILES = ", ".join(kind for kind in PREDICT_TYPES if kind.startswith("image/"))
INVERT: Schema = {
    "name": "invert",
    "in": "query",
    "description": "The images have dark ink on bright ground.",
    "schema": {"type": "boolean", "default": False},
}
PREDICT_BODY: Schema = {
    "required": True,
    "content": {kind: {"schema": _BINARY} for kind in PREDICT_TYPES}
    | {
        "multipart/form-data": _form(_list(_BINARY, minItems=1), _FILES),
        "application/json": {
            "schema": _IMAGES,
            "examples": {
                "a one": {"value": {"images": [_STROKE]}},
                "what a canvas gives": {"value": {"image": _DATA_URL}},
            },
        },
        "application/octet-stream": {
            "schema": _BINARY | {"description": "784 bytes an image, row by row, ink bright on dark."}
        },
    },
}
INSIDE_BODY: Schema = {
    "required": True,
    "content": {kind: {"schema": _BINARY} for kind in PREDICT_TYPES}
    | {
        "multipart/form-data": _form(_BINARY, _FILES),
        "application/json": {
            "schema": _object(image=_IMAGE),
            "examples": {
                "a one": {"value": {"image": _STROKE}},
                "what a canvas gives": {"value": {"image": _DATA_URL}},
            },
        },
        "application/octet-stream": {"schema": _BINARY | {"description": "784 bytes, row by row, ink bright on dark."}},
    },
}
PHOTO_BODY: Schema = {
    "required": True,
    "content": {kind: {"schema": _BINARY} for kind in PHOTO_TYPES}
    | {"multipart/form-data": _form(_BINARY, f"{_FILES}, application/pdf")}
    | {"application/json": {"schema": _object(image=_IN_BASE64), "example": {"image": _DATA_URL}}},
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of refusals with these statuses."""
    documented: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        code, words = CODES[status]
        example = {"error": {"code": code, "message": words}}
        documented[status] = {
            "description": words,
            "content": {"application/json": {"schema": ERROR, "example": example}},
        }
        if status in (429, 503):
            seconds = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
            documented[status]["headers"] = {"Retry-After": seconds}
    return documented
