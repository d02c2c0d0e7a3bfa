"""Chance: a stream of random numbers inside kernels, from two numbers that name it and nothing else.

SplitMix64 (Steele, Lea and Flood 2014): a counter, mixed. A stream is an array of one uint64; whoever draws moves it
on. Where a number must be the same whoever asks for it, and whenever, it is a hash of its place instead: ``mixed``.
"""

from __future__ import annotations

import math

import numpy as np

from digitlab.engine.cpu.compiled import kernel

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _40 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(40)
_TO_ONE = 1.0 / 2**24


@kernel
def bits(stream):
    """Return the next 64 bits."""
    stream[0] += _GOLDEN
    mixed = stream[0]
    mixed = (mixed ^ (mixed >> _30)) * _FIRST
    mixed = (mixed ^ (mixed >> _27)) * _SECOND
    return mixed ^ (mixed >> _31)


@kernel
def begin_stream(stream, seed, index):
    """Begin the stream of one thing of many; streams of neighbors have nothing to do with each other."""
    stream[0] = np.uint64(seed)
    first = bits(stream)
    stream[0] = first ^ (np.uint64(index) * _FIRST)
    stream[0] = bits(stream)


@kernel
def draw(stream):
    """Return a number in [0, 1)."""
    return float(np.int64(bits(stream) >> _40)) * _TO_ONE


@kernel
def between(stream, least, most):
    """Return a number in [least, most), all alike."""
    return least + (most - least) * draw(stream)


@kernel
def even(stream, least, most):
    """Return a number in [least, most) whose logarithm is as likely everywhere."""
    return math.exp(between(stream, math.log(least), math.log(most)))


@kernel
def normal(stream):
    """Return about a normal number: four even ones, so never beyond 3.5."""
    value = bits(stream)
    mask = np.uint64(0xFFFF)
    total = (
        np.int64(value & mask)
        + np.int64((value >> np.uint64(16)) & mask)
        + np.int64((value >> np.uint64(32)) & mask)
        + np.int64(value >> np.uint64(48))
    )
    return (float(total) / 65535.0 - 2.0) * 1.7320508


@kernel
def chance(stream, probability):
    """Tell whether something happens."""
    return draw(stream) < probability


@kernel
def one_of(stream, n):
    """Return a whole number in [0, n)."""
    return min(int(draw(stream) * n), n - 1)


@kernel
def mixed(bits):
    """Mix 32 bits so that every input bit changes every output bit with probability one half.

    The multiply-xorshift finaliser "lowbias32" found by C. Wellons (2018).
    """
    bits = np.uint32(bits ^ (bits >> np.uint32(16)))
    bits = np.uint32(bits * np.uint32(0x7FEB352D))
    bits = np.uint32(bits ^ (bits >> np.uint32(15)))
    bits = np.uint32(bits * np.uint32(0x846CA68B))
    return np.uint32(bits ^ (bits >> np.uint32(16)))
