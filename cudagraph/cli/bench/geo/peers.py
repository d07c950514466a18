"""The same networks by psann and torch, where they are installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cudagraph.blocks import DenseMLP, GeoSparseLinear, GeoSparseNet, GeoSparseResidualBlock

from .measure import Entrant

Builder = Callable[[Any], Any]  # from a block to a torch module without parameters of its own yet


def module_of(block: Any) -> Any:
    """The torch module that computes what the block does, in float64, with the block's weights."""
    import torch

    module = next(build for kind, build in _BUILDERS.items() if isinstance(block, kind))(block)
    state = {name: torch.from_numpy(np.array(value, _plain(value))) for name, value in block.state_dict().items()}
    module.double().load_state_dict(state)
    return module.eval()


def torch_entrant(
    name: str, module: Any, x: np.ndarray, dtype: str, cuda: bool, compiled: bool, **more: Any
) -> Entrant:
    """The module on torch, on the device that the engine has."""
    import torch

    kind = getattr(torch, dtype)
    place = "cuda" if cuda else "cpu"
    own = module.to(place, kind)
    given = torch.from_numpy(x.astype(np.float64)).to(place, kind)
    function = torch.compile(own) if compiled else own
    last: list[Any] = []

    def run() -> None:
        with torch.inference_mode():
            last[:] = [function(given)]

    run()
    wait = torch.cuda.synchronize if cuda else (lambda: None)
    return Entrant(name, run, lambda: last[0].double().cpu().numpy(), wait, **more)


def exact(module: Any, x: np.ndarray) -> np.ndarray:
    """What a float64 module computes from x as it is rounded."""
    import torch

    with torch.inference_mode():
        return module(torch.from_numpy(x.astype(np.float64))).numpy()


def _plain(value: np.ndarray) -> Any:
    return value.dtype if value.dtype.kind in "iu" else np.float64


def _table(block: Any, name: str = "in_index_per_out") -> Any:
    import torch

    return torch.from_numpy(np.asarray(block.state_dict()[name], np.int64))


def _linear(block: GeoSparseLinear) -> Any:
    from psann.layers.geo_sparse import GeoSparseLinear as Theirs

    return Theirs(block.in_features, block.out_features, _table(block), bias=block.bias is not None)


def _residual(block: GeoSparseResidualBlock) -> Any:
    from psann.nn_geo_sparse import GeoSparseResidualBlock as Theirs

    table = _table(block, "fc1.in_index_per_out")
    return Theirs(block.features, table, activation_type=block.act.name, norm=block.norm)


def _net(block: GeoSparseNet) -> Any:
    from psann.nn_geo_sparse import GeoSparseNet as Theirs

    config = block.config
    same = ("shape", "depth", "k", "pattern", "radius", "wrap_mode", "activation_type", "norm", "seed")
    settings: Mapping[str, Any] = {name: getattr(config, name) for name in same}
    return Theirs(config.features, config.output_dim, **settings)


def _mlp(block: DenseMLP) -> Any:
    from torch import nn

    layers: list[Any] = []
    for layer in block.layers:
        outputs, inputs = layer.weight.value.shape
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


_BUILDERS: dict[type, Builder] = {
    GeoSparseNet: _net,
    GeoSparseResidualBlock: _residual,
    GeoSparseLinear: _linear,
    DenseMLP: _mlp,
}
