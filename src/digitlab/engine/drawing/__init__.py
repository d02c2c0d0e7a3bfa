"""Practice pages: what a finder learns from, drawn by kernels from streams of random numbers."""
