"""Philox4x32-10 in NumPy: the random numbers of `kernels/philox.cuh`."""

from __future__ import annotations

import numpy as np

_LOW = np.uint64(0xFFFFFFFF)


def philox(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Four random words for each counter. counter, result: uint32[n, 4]."""
    x0, x1, x2, x3 = counter.astype(np.uint64).T
    k0, k1 = (np.uint64(word) for word in key)
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * x0, np.uint64(0xCD9E8D57) * x2
        x0, x1, x2, x3 = (b >> np.uint64(32)) ^ x1 ^ k0, b & _LOW, (a >> np.uint64(32)) ^ x3 ^ k1, a & _LOW
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & _LOW, (k1 + np.uint64(0xBB67AE85)) & _LOW
    return np.stack([x0, x1, x2, x3], axis=1).astype(np.uint32)


def uniform(words: np.ndarray) -> np.ndarray:
    """Random words as float64 numbers in [0, 1): their 24 upper bits."""
    return (words >> 8) / 2.0**24
