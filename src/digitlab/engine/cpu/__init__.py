"""The CPU engine: Numba kernels, a file a concept."""
