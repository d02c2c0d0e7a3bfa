"""What is learned: layers, architectures, the zoo and checkpoints."""

from digitlab.network.architecture import Architecture, SummaryRow
from digitlab.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from digitlab.network.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    LeakyReLU,
    MaxPooling2D,
    ZeroPadding2D,
)
from digitlab.network.zoo import ZOO, architecture

__all__ = [
    "ELU",
    "ZOO",
    "Activation",
    "Architecture",
    "AveragePooling2D",
    "Checkpoint",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "LeakyReLU",
    "MaxPooling2D",
    "SummaryRow",
    "ZeroPadding2D",
    "architecture",
    "load_checkpoint",
    "save_checkpoint",
]
