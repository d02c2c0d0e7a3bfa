"""Hashing: from where a number stands to one that looks drawn, the same whoever asks, and whenever."""

from __future__ import annotations

import numpy as np

from digitlab.engine.cpu.compiled import inlined

__all__ = ["mixed"]


@inlined
def mixed(bits):
    """Mix 32 bits so that every input bit changes every output bit with probability one half.

    The multiply-xorshift finaliser "lowbias32" found by C. Wellons (2018).
    """
    bits = np.uint32(bits ^ (bits >> np.uint32(16)))
    bits = np.uint32(bits * np.uint32(0x7FEB352D))
    bits = np.uint32(bits ^ (bits >> np.uint32(15)))
    bits = np.uint32(bits * np.uint32(0x846CA68B))
    return np.uint32(bits ^ (bits >> np.uint32(16)))
