"""Where digits come from: the packaged MNIST, other people's sets in any usual form, and their batches."""

from digitlab.data.cache import cache_folder
from digitlab.data.idx import read_idx, write_idx
from digitlab.data.mnist import MnistData, Split, as_float, one_hot

__all__ = ["MnistData", "Split", "as_float", "cache_folder", "one_hot", "read_idx", "write_idx"]
