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
from cudagraph.dtypes import parse_dtype

from .harness import Case, Maker, Options
from .peers import Call, Calls, on_gpu, torch_calls, torch_module, torch_place, torch_tensor, tried
from .roofline import bandwidth
from .single import one_block

_ALPHA = 0.5  # not 0, with which every block is the identity
_K = 8
_BOUNDS = {"float32": 1e-5, "bfloat16": 3e-2}
_DENSE = 4096  # cells of the largest grid that a matrix with zeros is tried for
# Grids, neighbours, rows and types on a GPU: the most telling first, should the time run out.
_CELLS = (
    *(((side, side), 8, batch, "float32") for batch in (64, 1, 256) for side in (256, 12, 64, 1024)),
    *(((side, side), 8, 64, "bfloat16") for side in (256, 12, 64, 1024)),
    *(((side, side), 32, 64, dtype) for dtype in ("float32", "bfloat16") for side in (256, 64, 1024)),
)


def cases(options: Options) -> dict[str, Maker]:
    """A layer, a block, and networks of two sizes; one row, as in control, and many; and a grid of 65,536 cells.

    On a GPU a layer and a block of grids of every size, too.
    """
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
    cells = (((5, 7), 8, 9, "bfloat16"),) if options.quick else _CELLS if on_gpu(options.device) else ()
    for shape, k, batch, dtype in cells:
        cell = f"{shape[0]}x{shape[1]}, k {k}, batch {batch}, {dtype}"
        found[f"linear, {cell}"] = partial(_case, options, partial(_linear, shape, k, dtype), batch)
        found[f"residual block, {cell}"] = partial(_case, options, partial(_block, shape, k, dtype), batch)
    return found


@contextmanager
def _case(options: Options, make: Callable[[], Any], batch: int) -> Iterator[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of neighbours that repeat at the border
        block = make()
        features, dtype = block.x.shape[-1], parse_dtype(block.x.dtype)
        x = np.random.default_rng(0).standard_normal((batch, features), np.float32).astype(dtype)
        rows = [0, batch // 2, batch - 1]  # what is right is computed in double precision, which takes its time
        wanted, peers, skipped = _psann(options, block, x, x[rows])
    if isinstance(block, GeoSparseLinear) and on_gpu(options.device):
        others, absent = _as_matrix(options, block, x)
        peers, skipped = peers | others, skipped | absent
    with one_block(
        options.device,
        block,
        {"x": x},
        lambda: wanted,
        rows,
        bound=_BOUNDS[dtype.name],
        peers=peers,
        skipped=skipped,
        moved=_moved(block, batch),
        bandwidth=bandwidth(options),
        amount=float(batch),
        unit="rows",
    ) as case:
        yield case


def _psann(
    options: Options, block: Any, x: np.ndarray, few: np.ndarray
) -> tuple[np.ndarray, dict[str, Call], dict[str, str]]:
    """What is right for a few rows, in double precision; and psann's module with the same weights."""
    from .geo.suite import _reference as reference

    try:
        import psann  # noqa: F401

        from .geo.peers import exact, module_of

        module = module_of(block)
    except ImportError as error:
        return reference(block, few), {}, {"psann": f"{error.name} is not installed"}
    wanted = exact(module, few)
    place = torch_place(options.device)

    def calls(torch: Any) -> Call:
        own, there = module.to(place, getattr(torch, x.dtype.name)), torch_tensor(torch, x, place)
        return lambda: own(there)

    peers, skipped = torch_calls(calls, options.device, compiled=options.compiled)
    return wanted, {_named(name): call for name, call in peers.items()}, {_named(n): why for n, why in skipped.items()}


def _as_matrix(options: Options, block: GeoSparseLinear, x: np.ndarray) -> Calls:
    """The layer as a gather of torch's own, as a sparse matrix (cuSPARSE), and as a dense one for small grids."""
    torch, place = torch_module(), torch_place(options.device)
    if torch is None:
        return {}, {"torch": "not installed"}
    table, weight, bias = block.table.value.astype(np.int64), block.weight.value, block.bias
    offset = 0 if bias is None else torch_tensor(torch, bias.value, place)

    def gather(torch: Any) -> Call:
        index, factor = torch.from_numpy(table).to(place), torch_tensor(torch, weight, place)
        there = torch_tensor(torch, x, place)
        return lambda: (there[:, index] * factor).sum(-1) + offset

    def matrix() -> Any:
        rows = torch.arange(block.out_features).repeat_interleave(block.k)
        indices = torch.stack([rows, torch.from_numpy(table.reshape(-1))])
        values = torch_tensor(torch, weight.reshape(-1), "cpu")
        shape = (block.out_features, block.in_features)
        return torch.sparse_coo_tensor(indices, values, shape).coalesce().to(place)

    def sparse() -> Call:
        csr, columns = matrix().to_sparse_csr(), torch_tensor(torch, np.ascontiguousarray(x.T), place)
        return lambda: csr @ columns  # without the bias, and with the rows side by side, as cuSPARSE likes them

    def dense() -> Call:
        full, there = matrix().to_dense(), torch_tensor(torch, x, place)
        return lambda: torch.nn.functional.linear(there, full, offset if bias is not None else None)

    peers, skipped = torch_calls(gather, options.device, compiled=options.compiled)
    peers = {name.replace("torch", "gather"): call for name, call in peers.items()}
    skipped = {name.replace("torch", "gather"): why for name, why in skipped.items()}
    tried(peers, skipped, "cuSPARSE", sparse)
    if block.in_features <= _DENSE:
        tried(peers, skipped, "dense", dense)
    return peers, skipped


def _moved(block: Any, batch: int) -> float:
    """Bytes that have to move: inputs and outputs once, and all weights and tables."""
    numbers = batch * (block.x.shape[-1] + block.y.shape[-1]) * parse_dtype(block.x.dtype).itemsize
    return float(numbers + sum(weight.value.nbytes for weight in block.weights.values()))


def _named(form: str) -> str:
    return form.replace("torch", "psann").replace(" eager", "")


def _linear(shape: tuple[int, int], k: int = _K, dtype: str = "float32") -> cg.Block:
    return GeoSparseLinear(GeoConnectivity(shape, k), dtype=dtype, seed=0)


def _block(shape: tuple[int, int], k: int = _K, dtype: str = "float32") -> cg.Block:
    rule = GeoConnectivity(shape, k)
    return GeoSparseResidualBlock(rule, activation="psann", residual_alpha_init=_ALPHA, dtype=dtype, seed=0)


def _net(shape: tuple[int, int]) -> cg.Block:
    features = int(np.prod(shape))
    return GeoSparseNet(features, 1, shape=shape, depth=6, k=_K, residual_alpha_init=_ALPHA, seed=0)
