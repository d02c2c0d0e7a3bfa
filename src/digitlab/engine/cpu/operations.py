"""Operations: what one row of a program says to the kernels."""

from __future__ import annotations

import numpy as np

__all__ = ["CONV", "CONV_POOL", "DENSE", "DROPOUT", "LAYOUT", "OP", "POOL"]

#: What an operation does: convolution, convolution with 2 x 2 max-pooling, max-pooling, dense layer, dropout.
CONV, CONV_POOL, POOL, DENSE, DROPOUT = range(5)

#: One row of the table. Positions count float32 numbers in the worker's memory (``x`` ... ``dz``, ``tape``), in the
#: flat parameters (``weights``, ``bias``), or in the lane-wise gradients (``d_weights``, ``d_bias``); -1 for none.
OP = np.dtype(
    [
        (name, np.int64)
        for name in (
            "kind",
            "x",  # first pixel that the operation reads (a same convolution's begins in the border)
            "x_row",  # from one row of it to the next
            "in_height",
            "in_width",
            "channels",
            "y",  # first pixel written
            "y_row",
            "height",  # of the operation's own map, before fused pooling
            "width",
            "filters",
            "dy",  # gradient of what was written, without border
            "dz",  # gradient of the convolution's map, before fused pooling
            "dx",  # gradient of what was read, without border; -1 for the first layer
            "border_top",
            "border_left",
            "kernel_height",
            "kernel_width",
            "pool_height",
            "pool_width",
            "stride_height",
            "stride_width",
            "out_height",  # of the map written
            "out_width",
            "relu",
            "winners",  # first of the pooling winners
            "weights",
            "bias",
            "n_weights",
            "flipped",  # the kernel with its last two axes exchanged, for the input gradient
            "d_weights",
            "d_bias",
            "tape_x",  # a dense layer's inputs and output gradients, kept for all blocks of a batch
            "tape_d",
            "padded_filters",
            "drop_below",  # dropout: hashes below this number are dropped
            "salt",
        )
    ]
)


#: Where a block's images, sums and gradients stand, for the kernels; the names are those of ``Program``.
LAYOUT = np.dtype(
    [
        (name, np.int64)
        for name in (
            "image",
            "image_row",
            "image_height",
            "image_width",
            "image_channels",
            "logits",
            "d_logits",
            "n_classes",
            "tape",
        )
    ]
)
