"""In the process that a runtime works in: a model is asked once to learn its ways, and then answers.

Everything here happens within the limits of the process that ``RuntimeModel`` asks, and is forgotten with it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.images import resized_digits
from digitlab.engine.runtime_files import Dims, Session, open_keras, open_onnx, reason_of
from digitlab.errors import NetworkError, RunError
from digitlab.network.formats.files import unusable

#: Images that are answered between two looks at the clock.
MOST_AT_ONCE = 256
# Images that a model is tried with; a slow one answers no more at once.
_TRIED, _SLOW_S = 16, 2.0
_LEAST_SIDE, _MOST_SIDE, _SIDE = 8, 512, 28
_MOST_CLASSES = 1_000
_SUM_TOLERANCE = 1e-2  # of half precision, and of what was quantized
_NO_NUMBER = "it answers with what is no number (NaN or infinite)"

_Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """How a model takes images: the shape of one, its dtype, and how many at once: 0 for one without a batch."""

    shape: tuple[int, ...]
    dtype: str
    batch: int | None
    side: int
    channels: int
    is_channels_first: bool = False


@dataclass(frozen=True)
class Question:
    """How to ask a model: its layout, which output to take, what its numbers are, and how many images at once."""

    layout: Layout
    output: int
    n_classes: int
    kind: str
    at_once: int


@dataclass(frozen=True)
class Opened:
    """What was found out of a model file."""

    question: Question
    runtime: str
    inputs: str
    outputs: str
    n_parameters: int
    class_names: tuple[str, ...]
    digest: str


_KEPT: dict[str, Session] = {}


def opened(path: str, threads: int) -> Opened:
    """Open a model file and find out how to ask it."""
    session, file = _session(path, threads), Path(path)
    tried = _tried_images()
    reasons: list[str] = []
    layouts = layouts_of(session.input_dims, session.input_dtype)
    for layout in layouts:
        try:
            outputs = _ask(session, layout, tried)
        except _RefusedError as error:
            reasons.append(str(error))
            continue
        began = time.perf_counter()
        outputs = _ask(session, layout, tried)
        is_slow = time.perf_counter() - began > _SLOW_S
        output, rows = _classes_in(outputs, len(tried), file)
        if not np.isfinite(rows).all():
            raise unusable(file, f"{_NO_NUMBER}. Use another model.")
        question = Question(layout, output, rows.shape[1], _kind_of(rows), _TRIED if is_slow else MOST_AT_ONCE)
        told = session.runtime, session.inputs, session.outputs, session.n_parameters, session.class_names
        return Opened(question, *told, session.digest)
    if not layouts:
        raise unusable(
            file,
            f"it takes {session.inputs}; for images of digits it must take squares of grey or of three colors, or rows "
            "of as many pixels.",
        )
    raise unusable(file, f"it does not answer images: {reasons[0]}")


def answered(
    path: str, threads: int, question: Question, scale: tuple[float, float], images: NDArray[Any]
) -> Iterator[_Rows]:
    """Answer images, uint8 or float32 (n, 28, 28), some at a time: float32 (n, n_classes)."""
    session, name = _session(path, threads), Path(path).name
    for start in range(0, len(images), question.at_once):
        chunk = images[start : start + question.at_once]
        pixels = chunk.astype(np.float32) / np.float32(255) if chunk.dtype == np.uint8 else chunk
        try:
            outputs = _ask(session, question.layout, pixels, scale)
        except _RefusedError as error:
            raise NetworkError(f"{name} does not answer: {error}") from None
        rows = _rows_of(outputs[question.output], len(chunk)) if question.output < len(outputs) else None
        if rows is None or rows.shape != (len(chunk), question.n_classes):
            raise NetworkError(f"{name} does not answer every image with {question.n_classes} numbers.")
        if not np.isfinite(rows).all():
            raise NetworkError(f"{name}: {_NO_NUMBER}. Use another model.")
        yield _probabilities(rows, question.kind)


def _session(path: str, threads: int) -> Session:
    if path not in _KEPT:
        _KEPT.clear()
        file = Path(path)
        _KEPT[path] = open_onnx(file, threads) if file.suffix.lower() == ".onnx" else open_keras(file)
    return _KEPT[path]


# ---- what goes in ----


def layouts_of(dims: Dims | None, dtype: str) -> list[Layout]:
    """Return the ways in which an input of these dimensions may be meant, the likeliest first.

    Where there is one channel, images of any arrangement are the same numbers in the same order.

    >>> [layout.shape for layout in layouts_of((None, 1, 28, 28), "float32")]
    [(1, 28, 28)]
    """
    if dims is None:
        tried = ((1, 28, 28), (28, 28, 1), (784,), (28, 28))
        return [Layout(shape, dtype, None, _SIDE, 1) for shape in tried]
    found = [_layout(shape, dtype, dims[0]) for shape in _filled(dims[1:])] if dims else []
    # One at a time: each is asked for by itself, whether or not answers have that dimension.
    found = [one and (replace(one, shape=(1, *one.shape), batch=0) if one.batch == 1 else one) for one in found]
    if None not in dims:
        found.append(_layout(tuple(n for n in dims if n is not None), dtype, 0))
    return [layout for layout in found if layout is not None]


def _filled(dims: Dims) -> list[tuple[int, ...]]:
    """Return the shapes that dimensions may have, where those that are not given are of an image of 28 x 28."""
    n_unknown = list(dims).count(None)
    if n_unknown == 0:
        return [tuple(n for n in dims if n is not None)]
    if len(dims) == 1:
        return [(_SIDE * _SIDE,)]
    usual: tuple[tuple[int, ...], ...] = ()
    if len(dims) == 3:
        usual = ((1, _SIDE, _SIDE), (_SIDE, _SIDE, 1), (3, _SIDE, _SIDE), (_SIDE, _SIDE, 3))
    elif len(dims) == 2:
        usual = ((_SIDE, _SIDE),)
    return [shape for shape in usual if all(n in (None, given) for n, given in zip(dims, shape, strict=True))]


def _layout(shape: tuple[int, ...], dtype: str, batch: int | None) -> Layout | None:
    plain = tuple(n for n in shape if n != 1)
    total = math.prod(shape)
    for channels in (1, 3):
        side = math.isqrt(max(0, total) // channels)
        if side * side * channels != total or not _LEAST_SIDE <= side <= _MOST_SIDE:
            continue
        if channels == 1 and plain in ((total,), (side, side)):
            return Layout(shape, dtype, batch, side, 1)
        if channels == 3 and plain in ((3, side, side), (side, side, 3)):
            return Layout(shape, dtype, batch, side, 3, plain[0] == 3)
    return None


def _as_taken(layout: Layout, images: NDArray[np.float32], scale: tuple[float, float]) -> NDArray[Any]:
    """Return images, float32 (n, 28, 28), 0-1, as a model takes them: resized, scaled, in its shape and dtype."""
    sized = resized_digits(images, layout.side) * np.float32(scale[0]) + np.float32(scale[1])
    if layout.channels == 3:
        axis = 1 if layout.is_channels_first else 3
        sized = np.repeat(np.expand_dims(sized, axis), 3, axis)
    sized = sized.reshape(len(images), *layout.shape)
    dtype = np.dtype(layout.dtype)
    if dtype.kind in "iu":
        return np.asarray(np.clip(np.rint(sized * 255), 0, 255), dtype)
    return np.ascontiguousarray(sized, dtype)


def _tried_images() -> NDArray[np.float32]:
    """Return images that any model may be tried with: nothing, everything, strokes, and noise."""
    images = np.random.default_rng(0).random((_TRIED, _SIDE, _SIDE), np.float32)
    images[0], images[1] = 0, 1
    for k in range(2, 10):
        images[k] = 0
        images[k, 4:24, 3 * k - 3 : 3 * k] = 1
    return images


# ---- asking, and what comes out ----


class _RefusedError(Exception):
    """The runtime cannot answer; the message is a short reason."""


def _ask(
    session: Session, layout: Layout, images: NDArray[np.float32], scale: tuple[float, float] = (1.0, 0.0)
) -> list[Any]:
    """Return the outputs for images, each with as many first entries as there are images."""
    taken = _as_taken(layout, images, scale)
    n = len(taken)
    try:
        if layout.batch is None:
            size = n if not session.compiles else _TRIED if n <= _TRIED else MOST_AT_ONCE
            return [_first(output, n) for output in session.run(_padded(taken, size))]
        if layout.batch == 0:
            return _joined([session.run(one) for one in taken], 1)
        chunks = [taken[k : k + layout.batch] for k in range(0, n, layout.batch)]
        return _joined(
            [[_first(output, len(chunk)) for output in session.run(_padded(chunk, layout.batch))] for chunk in chunks],
            None,
        )
    except (MemoryError, RunError, NetworkError):
        raise
    except Exception as error:
        if any(word in str(error).lower() for word in ("bad_alloc", "failed to allocate", "out of memory")):
            raise MemoryError from None
        raise _RefusedError(f"{session.runtime.split()[0]} says {reason_of(error)}") from None


def _padded(images: NDArray[Any], n: int) -> NDArray[Any]:
    return np.concatenate([images, np.repeat(images[:1], n - len(images), 0)]) if len(images) < n else images


def _first(output: Any, n: int) -> Any:
    if isinstance(output, list):
        return output[:n]
    array = np.asarray(output)
    return array[:n] if array.ndim else array


def _joined(outputs: list[list[Any]], n_each: int | None) -> list[Any]:
    """Return outputs of several askings as if of one; ``n_each`` is 1 where they come without a batch."""
    joined: list[Any] = []
    for parts in zip(*outputs, strict=True):
        if isinstance(parts[0], list):
            joined.append([one for part in parts for one in part])
        else:
            arrays = [np.asarray(part)[None] if n_each else np.asarray(part) for part in parts]
            joined.append(np.concatenate(arrays) if arrays[0].ndim else np.stack(arrays))
    return joined


def _rows_of(output: Any, n: int) -> NDArray[np.float32] | None:
    """Return an output as float32 (n, numbers); None where it is something else."""
    if isinstance(output, list):  # scikit-learn's: a map from label to probability an image
        if len(output) != n or not all(isinstance(one, Mapping) for one in output):
            return None
        try:
            output = np.array([[one[label] for label in sorted(one)] for one in output])
        except (TypeError, ValueError, KeyError):
            return None
    array = np.asarray(output)
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        return None
    return array.astype(np.float32).reshape(n, -1) if array.size and array.size % n == 0 else None


def _classes_in(outputs: Sequence[Any], n: int, file: Path) -> tuple[int, NDArray[np.float32]]:
    """Return the place of the output with the classes, and it: that of the ten digits, or of most."""
    found = {place: _rows_of(output, n) for place, output in enumerate(outputs)}
    rows = {place: one for place, one in found.items() if one is not None and 2 <= one.shape[1] <= _MOST_CLASSES}
    if not rows:
        shapes = ", ".join(str(np.shape(output)) for output in outputs[:4])
        raise unusable(
            file,
            f"it answers {n} images with {shapes or 'nothing'}; a row of numbers for each is expected, one a class.",
        )
    place = min(rows, key=lambda place: (rows[place].shape[1] != 10, rows[place].shape[1] != 11, -place))
    return place, rows[place]


def _kind_of(rows: NDArray[np.float32]) -> str:
    """Tell what rows of numbers are: probabilities, their logarithms, one probability each, or logits."""
    if rows.min() >= -1e-6:
        if np.abs(rows.sum(1) - 1).max() < _SUM_TOLERANCE:
            return "probabilities"
        if rows.max() <= 1 + 1e-6:
            return "each"
    if rows.max() <= 1e-3 and np.abs(np.exp(rows.astype(np.float64)).sum(1) - 1).max() < _SUM_TOLERANCE:
        return "logarithms"
    return "logits"


def _probabilities(rows: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    wide = rows.astype(np.float64)
    if kind in ("logits", "logarithms"):
        wide = np.exp(wide - wide.max(1, keepdims=True))
    wide = np.maximum(wide, 0)
    sums = wide.sum(1, keepdims=True)
    # Where every class is said to be impossible, none is likelier than another.
    return np.asarray(np.where(sums > 0, wide / np.maximum(sums, 1e-300), 1 / wide.shape[1]), np.float32)
