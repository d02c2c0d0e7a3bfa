"""The borders of ONNX' convolutions and poolings, which count pixels, as ``valid`` and ``same``."""

from __future__ import annotations

from collections.abc import Sequence

from digitlab.errors import NetworkError
from digitlab.network.formats.onnx_graph import Node

__all__ = ["padding_of", "same_border"]


def same_border(size: int, window: int, stride: int) -> tuple[int, int]:
    """Return the pixels that ``same`` adds before and behind, as Keras defines it: the larger half behind.

    Examples
    --------
    >>> same_border(28, 4, 1), same_border(13, 3, 2)
    ((1, 2), (1, 1))
    """
    total = max(0, (-(-size // stride) - 1) * stride + window - size)
    return total // 2, total - total // 2


def padding_of(node: Node, sizes: Sequence[int], window: Sequence[int], strides: Sequence[int]) -> str:
    """Return ``valid`` or ``same`` for a node whose window goes over an image of ``sizes``.

    Raises
    ------
    NetworkError
        If its border is another one.
    """
    same = [same_border(n, k, s) for n, k, s in zip(sizes, window, strides, strict=True)]
    automatic = node.text("auto_pad", "NOTSET")
    if automatic == "VALID":
        return "valid"
    if automatic == "SAME_UPPER" or (automatic == "SAME_LOWER" and all(a == b for a, b in same)):
        return "same"
    pads = node.wholes("pads") or (0, 0, 0, 0)
    if automatic != "NOTSET" or len(pads) != 4:
        raise NetworkError("its border is one that digitlab does not have; use valid or same.")
    border = [(pads[0], pads[2]), (pads[1], pads[3])]
    if node.whole("ceil_mode", 0):
        # What a last, cut-off window reads beyond the image is a border behind.
        border = [(a, b + -(n + a + b - k) % s) for (a, b), n, k, s in zip(border, sizes, window, strides, strict=True)]
    if border == [(0, 0), (0, 0)]:
        return "valid"
    # A border that no window reaches is none.
    reached = [
        (a, max(0, ((n + a + b - k) // s) * s + k - n - a))
        for (a, b), n, k, s in zip(border, sizes, window, strides, strict=True)
    ]
    if reached == [(0, 0), (0, 0)]:
        return "valid"
    if reached == same:
        return "same"
    raise NetworkError(f"its border of {pads} pixels is one that digitlab does not have; use valid or same.")
