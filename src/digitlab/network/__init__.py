"""What is learned: layers, architectures, the zoo and checkpoints."""

from digitlab.network.architecture import Architecture, SummaryRow
from digitlab.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from digitlab.network.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from digitlab.network.zoo import ZOO, architecture

__all__ = [
    "ZOO",
    "Architecture",
    "Checkpoint",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "MaxPooling2D",
    "SummaryRow",
    "architecture",
    "load_checkpoint",
    "save_checkpoint",
]
