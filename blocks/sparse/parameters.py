"""How many parameters networks have, and which dense width has as many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.errors import DescriptionError

from ..activation.settings import activation_name, as_settings, mix_of, mix_settings

PER_FEATURE = {"psann": 3, "phase_psann": 4, "relu_sigmoid_psann": 4}
"""Parameters of an activation for each feature; 0 for the others."""
NORM_PER_FEATURE = {"none": 0, "rms": 1, "layer": 2}


def count_params(block: Block) -> int:
    """The parameters that a block has, by its state dict: floating-point weights, no tables and no states."""
    states = {name.replace("/", ".") for name in block.states}
    arrays = block.state_dict()
    return sum(a.size for name, a in arrays.items() if a.dtype.kind not in "iub" and name not in states)


def sparse_linear_params(out_features: int, k: int, *, bias: bool = True) -> int:
    """Of a `GeoSparseLinear`."""
    _positive(out_features=out_features, k=k)
    return out_features * (k + bias)


def dense_linear_params(in_features: int, out_features: int, *, bias: bool = True) -> int:
    """Of a `Linear`."""
    _positive(in_features=in_features, out_features=out_features)
    return out_features * (in_features + bias)


def geo_sparse_block_params(
    features: int,
    k: int,
    *,
    bias: bool = True,
    norm: str = "rms",
    activation_type: str = "psann",
    activation_config: Any = None,
    exact: bool = True,
) -> int:
    """Of a `GeoSparseResidualBlock`; with exact=False as psann counts, without norm and activation."""
    total = 2 * sparse_linear_params(features, k, bias=bias) + 1
    if not exact:
        return total
    if norm not in NORM_PER_FEATURE:
        raise DescriptionError(f"the norm is one of {', '.join(NORM_PER_FEATURE)}, not {norm!r}")
    return total + NORM_PER_FEATURE[norm] * features + activation_params(activation_type, features, activation_config)


def activation_params(activation_type: str, features: int, activation_config: Any = None) -> int:
    """Of an `ActivationAdapter`."""
    kind = activation_name(activation_type)
    if kind != "mixed":
        return PER_FEATURE.get(kind, 0) * features
    said = mix_settings(as_settings("activation_params", activation_config))
    mix = mix_of(features, said.get("types", ()), said.get("ratios"), ratio_sum_tol=said.get("ratio_sum_tol", 1e-3))
    return sum(PER_FEATURE.get(name, 0) * len(of) for name, of in mix.items())


def geo_sparse_net_params(
    *,
    shape: tuple[int, int],
    depth: int,
    k: int,
    output_dim: int,
    bias: bool = True,
    include_head_bias: bool = True,
    norm: str = "rms",
    activation_type: str = "psann",
    activation_config: Any = None,
    exact: bool = True,
) -> int:
    """Of a `GeoSparseNet`; with exact=False as psann counts, without norms and activations."""
    _positive(depth=depth)
    features = shape[0] * shape[1]
    block = geo_sparse_block_params(
        features,
        k,
        bias=bias,
        norm=norm,
        activation_type=activation_type,
        activation_config=activation_config,
        exact=exact,
    )
    return depth * block + dense_linear_params(features, output_dim, bias=include_head_bias)


def dense_mlp_params(*, input_dim: int, output_dim: int, hidden_dim: int, depth: int, bias: bool = True) -> int:
    """Of a `DenseMLP`."""
    _positive(depth=depth)
    ends = dense_linear_params(input_dim, hidden_dim, bias=bias) + dense_linear_params(
        hidden_dim, output_dim, bias=bias
    )
    return ends + (depth - 1) * dense_linear_params(hidden_dim, hidden_dim, bias=bias)


def dense_resnet_params(
    *,
    input_dim: int,
    output_dim: int,
    hidden_dim: int,
    depth: int,
    bias: bool = True,
    norm: str = "rms",
    activation_type: str = "relu",
) -> int:
    """Of a `DenseResNet`."""
    _positive(depth=depth)
    ends = dense_linear_params(input_dim, hidden_dim) + dense_linear_params(hidden_dim, output_dim)
    block = 2 * dense_linear_params(hidden_dim, hidden_dim, bias=bias) + 1 + NORM_PER_FEATURE[norm] * hidden_dim
    return ends + depth * (block + activation_params(activation_type, hidden_dim))


def match_dense_width(
    *,
    target_params: int,
    input_dim: int,
    output_dim: int,
    depth: int,
    bias: bool = True,
    width_candidates: Iterable[int] | None = None,
    max_width: int = 8192,
) -> tuple[int, int]:
    """The width of the `DenseMLP` whose parameters come nearest (the smaller of two), and by how many it misses."""

    def count(width: int) -> int:
        return dense_mlp_params(input_dim=input_dim, output_dim=output_dim, hidden_dim=width, depth=depth, bias=bias)

    return match_width(count, target_params, width_candidates, max_width)


def match_width(
    count: Callable[[int], int],
    target_params: int,
    width_candidates: Iterable[int] | None = None,
    max_width: int = 8192,
) -> tuple[int, int]:
    """The same for any count that grows with the width."""
    _positive(target_params=target_params, max_width=max_width)
    if width_candidates is None:
        low, high = 1, max_width  # the first width that reaches the target, or the widest
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if count(middle) >= target_params else (middle + 1, high)
        width_candidates = (max(1, low - 1), low)
    misses = [
        (abs(count(int(width)) - target_params), place, int(width)) for place, width in enumerate(width_candidates)
    ]
    if not misses:
        raise DescriptionError("there are no widths to choose from: width_candidates is empty")
    miss, _, width = min(misses)
    return width, miss


def _positive(**values: int) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise DescriptionError(f"{name} is an int of at least 1, not {value!r}")
