"""`cudnn.attention`: what it takes, on every device, and its computation on the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cudagraph.errors import DeviceError
from cudagraph.shape import show_shape

from .convolution import Shaped
from .gemm import widened

_TYPES = ("float16", "bfloat16")
_HEAD_STEP = 8  # elements that the length of a head is a multiple of


@dataclass(frozen=True)
class Place:
    """How [batch, head, token, element] lies in an operand: strides and first element, counted in elements."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    start: int

    @property
    def end(self) -> int:
        """One past its last element."""
        return self.start + 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))


@dataclass(frozen=True)
class AttentionShape:
    """Everything about an attention but its addresses. A query at place i + offset sees keys as said."""

    dtype: np.dtype[Any]
    q: Place
    k: Place
    v: Place
    y: Place
    causal: bool  # keys up to its own place
    window: int  # keys less than so many places away; 0: any
    offset: int  # the place of the first query
    mask: tuple[int, ...] | None


def attention_shape(operands: Mapping[str, Shaped], options: Mapping[str, Any]) -> AttentionShape:
    """The attention of these operands; `DeviceError` for what is none, or what cuDNN cannot do."""
    dtype = operands["y"].dtype
    if dtype.name not in _TYPES:
        raise _error(f"works on {' and '.join(_TYPES)}, not on {dtype.name}; leave library= out for the own kernel")
    for name in ("q", "k", "v", "mask"):
        if name in operands and operands[name].dtype != dtype:
            raise _error(f"{name} is {operands[name].dtype.name} and y is {dtype.name}; they have one type")
    q, k, v, y = (_place(operands[name], options, name) for name in "qkvy")
    _check_lengths(q, k, v, y)
    mask = tuple(operands["mask"].shape) if "mask" in operands else None
    batch, heads, queries, keys = *q.shape[:3], k.shape[2]
    if mask is not None and (
        len(mask) != 4 or mask[0] not in (1, batch) or mask[1] not in (1, heads) or mask[2:] != (queries, keys)
    ):
        raise _error(f"mask is {show_shape(mask)}, but [1 or {batch}, 1 or {heads}, {queries}, {keys}] is wanted")
    causal, window = bool(options.get("causal", False)), int(options.get("window", 0))
    offset = keys - queries if options.get("aligned", "first") == "last" else 0
    _check_sight(queries, keys, causal, window, offset)
    return AttentionShape(dtype, q, k, v, y, causal, window, offset, mask)


def _place(operand: Shaped, options: Mapping[str, Any], name: str) -> Place:
    given = options.get(f"{name}_shape")
    shape = tuple(operand.shape) if given is None else given
    if len(shape) != 4:
        raise _error(f"{name} is [batch, heads, tokens, length], not {show_shape(shape)}; say {name}_shape=")
    strides = options.get(f"{name}_strides")
    if strides is None:
        strides = (shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3])
    place = Place(shape, (*strides, 1), int(options.get(f"{name}_start", 0)))
    size = int(np.prod(operand.shape))
    if len(strides) != 3 or (min(shape) > 0 and place.end > size):
        raise _error(
            f"{name} as {place.shape} with strides {place.strides} from {place.start} leaves its {size} elements"
        )
    return place


def _check_lengths(q: Place, k: Place, v: Place, y: Place) -> None:
    batch, heads, queries, length = q.shape
    key_heads, keys = k.shape[1:3]
    expected = {"k": (batch, key_heads, keys, length), "v": (batch, key_heads, keys, v.shape[3])}
    expected["y"] = (batch, heads, queries, v.shape[3])
    for name, place in (("k", k), ("v", v), ("y", y)):
        if place.shape != expected[name]:
            raise _error(f"{name} is {show_shape(place.shape)}, but {show_shape(expected[name])} is wanted")
    if min(*q.shape, *v.shape) < 1 or heads % key_heads:
        raise _error(f"there is nothing to attend to, or {heads} query heads are no multiple of {key_heads}")
    if length % _HEAD_STEP or v.shape[3] % _HEAD_STEP:
        raise _error(f"heads of {length} and {v.shape[3]} elements: cuDNN wants multiples of {_HEAD_STEP}")


def _check_sight(queries: int, keys: int, causal: bool, window: int, offset: int) -> None:
    """Every query sees a key: cuDNN says nothing about the others."""
    first, last = offset, offset + queries - 1
    if (causal and first < 0) or (window and (last > keys - 2 + window or first < 1 - window)):
        raise _error(f"{queries} queries and {keys} keys: a query would see no key, for which cuDNN defines no result")


def _error(message: str) -> DeviceError:
    return DeviceError(f"cudnn.attention: {message}")


def attention(operands: dict[str, np.ndarray], options: dict[str, Any]) -> None:
    """y = softmax(scale * q k^T + mask) v in float32, one batch and head of keys at a time."""
    shape = attention_shape(operands, options)
    q, k, v, y = (_view(operands[name], getattr(shape, name)) for name in "qkvy")
    scale, group = float(operands["scale"].item()), q.shape[1] // k.shape[1]
    hidden = _hidden(shape)
    mask = None
    if shape.mask is not None:
        mask = np.broadcast_to(widened(operands["mask"]), (*q.shape[:3], k.shape[2]))
    for batch in range(q.shape[0]):
        for head in range(k.shape[1]):
            heads = slice(head * group, (head + 1) * group)
            scores = widened(q[batch, heads]) @ widened(k[batch, head]).T
            scores *= np.float32(scale)
            if mask is not None:
                scores += mask[batch, heads]
            if hidden is not None:
                scores[..., hidden] = -np.inf
            scores -= scores.max(axis=-1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=-1, keepdims=True)
            y[batch, heads] = scores @ widened(v[batch, head])


def _view(array: np.ndarray, place: Place) -> np.ndarray:
    strides = tuple(step * array.itemsize for step in place.strides)
    return np.lib.stride_tricks.as_strided(array.reshape(-1)[place.start :], place.shape, strides)


def _hidden(shape: AttentionShape) -> np.ndarray | None:
    """[queries, keys], True where a key is not seen; None where all are."""
    if not shape.causal and not shape.window:
        return None
    places = shape.offset + np.arange(shape.q.shape[2])
    away = places[:, None] - np.arange(shape.k.shape[2])[None, :]
    hidden = (away < 0) if shape.causal else np.zeros(away.shape, bool)
    return hidden | (np.abs(away) >= shape.window) if shape.window else hidden
