"""Attention in NumPy, one matrix of scores at a time: what the kernels are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.port import Port


def attention_reference(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *extra: np.ndarray,
    scale: float = 0.0,
    prefix: int = 0,
    causal: bool = False,
    window: int | None = None,
    offset: int = 0,
    softcap: float | None = None,
    alibi: bool = False,
    mask: str | None = None,
) -> np.ndarray:
    """softmax(scale * q k^T + bias) v of [B, H, T, D] queries; `extra`: masks, then slopes if `alibi`, all optional.

    With mask="bool" the first of the masks says what is seen, whatever its type.
    """
    masks, slopes = (extra[:-1], extra[-1]) if alibi else (extra, None)
    group = q.shape[1] // k.shape[1]
    keys, values = (np.repeat(x, group, axis=1) for x in (k, v))
    scores = (scale or q.shape[-1] ** -0.5) * (q @ keys.swapaxes(-1, -2))
    if softcap is not None:
        scores = softcap * np.tanh(scores / softcap)
    distance = offset + np.arange(q.shape[2])[:, None] - np.arange(k.shape[2])[None, :]
    if slopes is not None:
        scores = scores - slopes[:, None, None] * np.abs(distance)
    seen = np.ones(distance.shape, bool)
    if causal:
        seen &= distance >= 0
    if window is not None:
        seen &= np.abs(distance) < window
    seen |= np.arange(k.shape[2])[None, :] < prefix
    for number, given in enumerate(masks):
        boolean = given.dtype == np.bool_ or (number == 0 and mask == "bool")
        scores = np.where(given.astype(bool), scores, -np.inf) if boolean else scores + given
    return weights_of(np.where(seen, scores, -np.inf)) @ values


def weights_of(scores: np.ndarray) -> np.ndarray:
    """softmax over the last dimension; rows of -inf give zeros."""
    most = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    raised = np.exp(scores - np.where(np.isneginf(most), 0, most))
    total = raised.sum(axis=-1, keepdims=True)
    return raised / np.where(total == 0, 1, total)


def as_type_of(port: Port, mask: np.ndarray) -> np.ndarray:
    """A mask as booleans, where its port has booleans."""
    return mask.astype(bool) if port.dtype == np.bool_ else mask


def heads_of(x: np.ndarray, length: int) -> np.ndarray:
    """[B, T, h * length] as [B, h, T, length]."""
    return x.reshape(*x.shape[:2], -1, length).swapaxes(1, 2)


def joined(x: np.ndarray) -> np.ndarray:
    """[B, h, T, d] as [B, T, h * d]."""
    return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)


def linear(x: np.ndarray, weights: dict[str, Any], name: str) -> np.ndarray:
    """x times the weight of the layer `name`, plus its bias."""
    return x @ weights[f"{name}/weight"].T + weights.get(f"{name}/bias", 0)


def normalised(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    """x divided by the root of its mean square, times the weight."""
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * weight


def rotated(x: np.ndarray, table: np.ndarray, interleaved: bool) -> np.ndarray:
    """Pairs of the last dimension turned by the rows of a rotary table, the first token by the first row."""
    half, y = table.shape[1], x.copy()
    cosine, sine = np.moveaxis(table[: x.shape[2]].astype(x.dtype), -1, 0)
    first, second = (np.s_[..., : 2 * half : 2], np.s_[..., 1 : 2 * half : 2])
    if not interleaved:
        first, second = np.s_[..., :half], np.s_[..., half : 2 * half]
    y[first] = x[first] * cosine - x[second] * sine
    y[second] = x[second] * cosine + x[first] * sine
    return y
