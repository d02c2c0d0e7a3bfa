"""The finder's loss once more, mark by mark as its definition reads, in NumPy or JAX; and crops to try it on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.crops import IGNORED, PRIOR_LOGIT, Crops
from digitlab.network import Architecture, Conv2D, MaxPooling2D


def _relu(filters: int, size: int | tuple[int, int], padding: str = "same", *, use_bias: bool = True) -> Conv2D:
    return Conv2D(filters, size, padding=padding, activation="relu", use_bias=use_bias)


#: Networks of 23 maps: what the finder has, and what a tiled engine can get wrong.
MAP_NETWORKS = {
    "like the finder": Architecture(
        [_relu(16, 5), MaxPooling2D(2), _relu(32, 3), MaxPooling2D(2), _relu(48, 3), _relu(20, 3), Conv2D(23, 1)],
        (None, None, 1),
    ),
    "odd kernels": Architecture(
        [_relu(5, (2, 3)), MaxPooling2D(2), _relu(40, 3, "valid", use_bias=False), _relu(23, (4, 2))], (None, None, 1)
    ),
    "pooled 3 x 3": Architecture(
        [Conv2D(17, 3, padding="same"), _relu(33, 3), MaxPooling2D(2), Conv2D(23, 3, padding="same")], (None, None, 1)
    ),
}


def weights_of(network: Architecture, seed: int = 1) -> list[NDArray[np.float32]]:
    """Weights of which none is zero, so that no sum stands exactly on the corner of a ReLU."""
    rng = np.random.default_rng(seed)
    scales = [0.1 if len(shape) == 1 else (2 / np.prod(shape[:-1])) ** 0.5 for shape in network.weight_shapes]
    return [
        rng.normal(0, scale, shape).astype(np.float32)
        for scale, shape in zip(scales, network.weight_shapes, strict=True)
    ]


def crops_of(n: int, height: int, width: int, seed: int = 0, stride: int = 4) -> Crops:
    """Crops of noise with marks of all kinds and sizes, some beyond the border, in an image of so many maps' cells."""
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(rng.integers(0, 7, n))]).astype(np.int64)
    m = int(starts[-1])
    x, y = rng.uniform(-6, width * 4 / stride + 6, m), rng.uniform(-6, height * 4 / stride + 6, m)
    h = rng.uniform(6, 34, m)
    w = h * rng.uniform(0.05, 1, m)
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1).astype(np.float32)
    images = rng.normal(size=(n, height, width, 1)).astype(np.float32)
    return Crops(images, boxes, rng.integers(IGNORED, 17, m), starts)


def finder_loss(maps: Any, crops: Crops, smoothing: float = 0.0, numpy: Any = np) -> tuple[Any, Any, Any]:
    """Return the losses of centres, classes and places on float64 maps (n, height, width, 23)."""
    n_marks, centers, classes, places = 0, 0.0, 0.0, 0.0
    height, width = maps.shape[1:3]
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width)[None] + 0.5

    def log_sigmoid(x: Any) -> Any:
        return -numpy.logaddexp(0.0, -x)

    for i in range(len(crops)):
        target, ignored, learned = np.zeros((2, height, width)), np.zeros((height, width)), []
        for k in range(crops.starts[i], crops.starts[i + 1]):
            left, top, right, bottom = crops.boxes[k].astype(float) / 4
            x, y, w, h, label = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top, crops.labels[k]
            if not (0 <= x < width and 0 <= y < height):
                continue
            sigma_x, sigma_y = max(0.6, 0.16 * max(w, 0.35 * h)), max(0.6, 0.16 * h)
            near = np.exp(-0.5 * ((columns - x) / sigma_x) ** 2 - 0.5 * ((rows - y) / sigma_y) ** 2)
            if label == IGNORED:
                ignored = np.maximum(ignored, near)
            else:
                kind = int(label >= 10)
                target[kind] = np.maximum(target[kind], near)
                learned.append((kind, int(y), int(x), int(label), x, y, w, h))
        for kind, row, column, *_ in learned:
            target[kind, row, column] = 1.0
        for kind in (0, 1):
            z = maps[i, :, :, kind] + PRIOR_LOGIT
            log_p, log_q = log_sigmoid(z), log_sigmoid(-z)
            p, q = numpy.exp(log_p), numpy.exp(log_q)
            there, else_where = -(q**2) * log_p, -((1 - target[kind]) ** 4) * p**2 * log_q
            cells = numpy.where(target[kind] == 1.0, there, else_where)
            centers += numpy.where((ignored > 0.3) & (target[kind] < 0.9), 0.0, cells).sum()
        for kind, row, column, label, x, y, w, h in learned:
            own = maps[i, row, column]
            logits, k = (own[2:12], label) if kind == 0 else (own[12:19], label - 10)
            logs = logits - logits.max()
            logs = logs - numpy.log(numpy.exp(logs).sum())
            truth = (1 - smoothing) * np.eye(len(logits))[k] + smoothing / len(logits)
            classes += -(truth * logs).sum()
            wanted = np.array([x - column - 0.5, y - row - 0.5, *np.log(np.maximum([4 * w, 4 * h], 1.0) / 16)])
            error = numpy.abs(own[19:23] - wanted)
            places += numpy.where(error < 0.2, 0.5 * error**2 / 0.2, error - 0.1).sum()
        n_marks += len(learned)
    return tuple(part / max(1, n_marks) for part in (centers, classes, places))
