"""Geo-sparse layers and networks beside psann's, with the same weights; `cudagraph bench geo-sparse` measures more."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph.blocks import GeoConnectivity, GeoSparseLinear, GeoSparseNet, GeoSparseResidualBlock

from .harness import Case, Maker, Options
from .peers import Call, torch_calls, torch_place
from .single import one_block

_ALPHA = 0.5  # not 0, with which every block is the identity
_K = 8


def cases(options: Options) -> dict[str, Maker]:
    """A layer, a block, and networks of two sizes; one row, as in control, and many; and a grid of 65,536 cells."""
    small, large = ((4, 4), (6, 6)) if options.quick else ((12, 12), (32, 32))
    rows = 3 if options.quick else 256
    huge, few = ((5, 7), 9) if options.quick else ((256, 256), 64)
    found: dict[str, Maker] = {}
    for shape, batch in ((small, 1), (small, rows), (large, rows)):
        grid = f"{shape[0]}x{shape[1]}, batch {batch}"
        found[f"linear, {grid}"] = partial(_case, options, partial(_linear, shape), batch)
        found[f"residual block, {grid}"] = partial(_case, options, partial(_block, shape), batch)
        found[f"network of 6 blocks, {grid}"] = partial(_case, options, partial(_net, shape), batch)
    grid = f"{huge[0]}x{huge[1]}, batch {few}"
    far = partial(GeoConnectivity, huge, _K, "hash", max(huge) - 1, wrap_mode="wrap")
    found[f"linear, {grid}"] = partial(_case, options, partial(_linear, huge), few)
    found[f"linear over the whole grid, {grid}"] = partial(_case, options, lambda: GeoSparseLinear(far(), seed=0), few)
    found[f"residual block, {grid}"] = partial(_case, options, partial(_block, huge), few)
    return found


@contextmanager
def _case(options: Options, make: Callable[[], Any], batch: int) -> Iterator[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of neighbours that repeat at the border
        block = make()
        x = np.random.default_rng(0).standard_normal((batch, block.x.shape[-1]), np.float32)
        wanted, peers, skipped = _psann(options, block, x)
    with one_block(
        options.device,
        block,
        {"x": x},
        lambda: wanted,
        peers=peers,
        skipped=skipped,
        amount=float(batch),
        unit="rows",
    ) as case:
        yield case


def _psann(options: Options, block: Any, x: np.ndarray) -> tuple[np.ndarray, dict[str, Call], dict[str, str]]:
    """The right result in double precision, and psann's module with the same weights, where it is installed."""
    from .geo.suite import _reference as reference

    try:
        import psann  # noqa: F401

        from .geo.peers import exact, module_of

        module = module_of(block)
    except ImportError as error:
        return reference(block, x), {}, {"psann": f"{error.name} is not installed"}
    wanted = exact(module, x)
    place = torch_place(options.device)

    def calls(torch: Any) -> Call:
        own, there = module.to(place, torch.float32), torch.from_numpy(x).to(place)
        return lambda: own(there)

    peers, skipped = torch_calls(calls, options.device, compiled=options.compiled)
    return wanted, {_named(name): call for name, call in peers.items()}, {_named(n): why for n, why in skipped.items()}


def _named(form: str) -> str:
    return form.replace("torch", "psann").replace(" eager", "")


def _linear(shape: tuple[int, int]) -> cg.Block:
    return GeoSparseLinear(GeoConnectivity(shape, _K), seed=0)


def _block(shape: tuple[int, int]) -> cg.Block:
    return GeoSparseResidualBlock(GeoConnectivity(shape, _K), activation="psann", residual_alpha_init=_ALPHA, seed=0)


def _net(shape: tuple[int, int]) -> cg.Block:
    features = int(np.prod(shape))
    return GeoSparseNet(features, 1, shape=shape, depth=6, k=_K, residual_alpha_init=_ALPHA, seed=0)
