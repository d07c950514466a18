"""`cudagraph bench geo-sparse`: forward passes of geo-sparse layers and networks, next to psann and dense ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from cudagraph.blocks import DenseMLP, GeoConnectivity, GeoSparseLinear, GeoSparseNet, GeoSparseResidualBlock
from cudagraph.blocks.sparse.parameters import count_params, match_dense_width
from cudagraph.dtypes import parse_dtype
from cudagraph.engine import CudaEngine
from cudagraph.errors import DescriptionError

from ...output import print_json, show, table
from .measure import Cell, Entrant, Ratio, Report, block_entrant, fill_cell
from .plots import label, write_plots

KINDS = ("compare", "micro", "sweep")
TOLERANCES = {"float64": 1e-10, "float32": 1e-5, "float16": 2e-2, "bfloat16": 1e-1}
_SWEPT = {"shape": ("8x8", "16x16"), "depth": ("4", "8"), "k": ("4", "8", "16"), "activation": ("relu", "psann")}
_PLAIN = {"shape": ("12x12",), "depth": ("6",), "k": ("8",), "activation": ("psann",)}
_ALPHA = 0.5  # not 0, with which every block is the identity


@dataclass(frozen=True)
class Options:
    """What to measure: every combination of the lists, where an empty one is the default of the kind."""

    kind: str = "compare"
    shape: Sequence[str] = ()
    depth: Sequence[str] = ()
    k: Sequence[str] = ()
    activation: Sequence[str] = ()
    dtype: Sequence[str] = ("float32",)
    batch: Sequence[str] = ("256",)
    device: str | None = None
    samples: int = 21
    warmup: int = 3
    compiled: bool = False  # torch.compile as one more peer
    out: Path = field(default_factory=lambda: Path("reports"))
    resume: Path | None = None
    plots: bool = True

    def settings(self) -> Iterator[dict[str, Any]]:
        """Each combination."""
        if self.kind not in KINDS:
            raise DescriptionError(f"geo-sparse measures {', '.join(KINDS)}, not {self.kind!r}")
        default = _SWEPT if self.kind == "sweep" else _PLAIN
        lists = [getattr(self, name) or default[name] for name in default]
        for shape, depth, k, activation, dtype, batch in product(*lists, self.dtype, self.batch):
            if dtype not in TOLERANCES:
                raise DescriptionError(f"--dtype is one of {', '.join(TOLERANCES)}, not {dtype!r}")
            yield {
                "what": self.kind,
                "shape": list(_shape(shape)),
                "depth": 1 if self.kind == "micro" else _number("depth", depth),
                "k": _number("k", k),
                "activation": activation,
                "dtype": dtype,
                "batch": _number("batch", batch),
                "device": self.device or "auto",
            }


def run(options: Options, *, as_json: bool = False) -> int:
    """Measure, write the report, print the ratios. The exit code is 1 when something computes a wrong result."""
    wanted = list({str(settings): settings for settings in options.settings()}.values())
    arguments = {name: str(value) for name, value in vars(options).items()}
    report = Report("geo_sparse", options.out, arguments, resume=options.resume)
    for number, settings in enumerate(wanted, 1):
        if report.has(settings):
            continue
        cell = measured(settings, options)
        report.add(cell)
        if not as_json:
            _print(cell, f"{number} of {len(wanted)}: {label(settings)}")
    plots = write_plots(report.records, report.folder, ("k", "depth", "batch")) if options.plots else []
    if as_json:
        print_json({"folder": str(report.folder), "cells": report.records})
    else:
        drawn = f" and {len(plots)} plots" if plots else "; plots need matplotlib" if options.plots else ""
        show(f"{report.folder}: manifest.json, results.json, summary.csv{drawn}")
    return int(any(not result["correct"] for record in report.records for result in record["results"]))


def measured(settings: dict[str, Any], options: Options) -> Cell:
    """One combination: the blocks, their peers and, for networks, dense ones with as many parameters."""
    cell = Cell(settings)
    x = _input(settings)
    with ExitStack() as engines, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of neighbours that repeat: k is what is swept
        entrants: list[tuple[Entrant, np.ndarray]] = []
        for name, block in _blocks(settings).items():
            engine = engines.enter_context(CudaEngine(options.device))
            entrants += _of_block(engine, name, block, x, options.compiled, cell)
        tolerance = TOLERANCES[settings["dtype"]]
        return fill_cell(cell, entrants, tolerance=tolerance, samples=options.samples, warmup=options.warmup)


def _blocks(settings: dict[str, Any]) -> dict[str, Any]:
    rule = partial(GeoConnectivity, settings["shape"], settings["k"])
    dtype, activation, features = settings["dtype"], settings["activation"], int(np.prod(settings["shape"]))
    if settings["what"] == "micro":
        more: dict[str, Any] = {"activation": activation, "residual_alpha_init": _ALPHA}
        return {
            "linear": GeoSparseLinear(rule(), dtype=dtype, seed=0),
            "block": GeoSparseResidualBlock(rule(), dtype=dtype, seed=0, **more),
        }
    net = GeoSparseNet(
        features,
        1,
        shape=settings["shape"],
        depth=settings["depth"],
        k=settings["k"],
        activation_type=activation,
        residual_alpha_init=_ALPHA,
        seed=0,
        dtype=dtype,
    )
    if settings["what"] == "sweep":
        return {"net": net}
    depth = settings["depth"]
    width, _ = match_dense_width(target_params=count_params(net), input_dim=features, output_dim=1, depth=depth)
    return {"net": net, "dense": DenseMLP(features, 1, width, depth, dtype=dtype, seed=0)}


def _of_block(
    engine: CudaEngine, name: str, block: Any, x: np.ndarray, compiled: bool, cell: Cell
) -> list[tuple[Entrant, np.ndarray]]:
    """The block, and torch's version of it where that can be had."""
    theirs = f"{name} (torch)" if name == "dense" else f"{name} (psann)"
    params = count_params(block)
    expected = _reference(block, x)
    ours = block_entrant(engine, name, block, x, params=params, peer=theirs)
    entrants = [ours]
    cuda = engine.device.name.startswith("cuda")
    for label_, compile_ in ((theirs, False), (f"{theirs}, compiled", True)):
        if compile_ and not compiled:
            continue
        try:
            from .peers import exact, module_of, torch_entrant

            module = module_of(block)
            expected = exact(module, x)
            entrants.append(torch_entrant(label_, module, x, cell.settings["dtype"], cuda, compile_, params=params))
        except ImportError as error:
            cell.absent[label_] = str(error)
        except Exception as error:  # whatever another package may raise: it is written down, and the rest goes on
            cell.failed[label_] = f"{type(error).__name__}: {error}".splitlines()[0]
    return [(entrant, expected) for entrant in entrants]


def _reference(block: Any, x: np.ndarray) -> np.ndarray:
    """The block's own reference in float64, for where no other package is there to ask."""
    weights = {name: _wide(weight.value) for name, weight in block.weights.items()}
    values = {name: hot.value for name, hot in {**block.parameters, **block.options}.items()}
    return block.reference(x.astype(np.float64), **weights, **values)


def _wide(value: np.ndarray) -> np.ndarray:
    return value if value.dtype.kind in "iu" else value.astype(np.float64)


def _input(settings: dict[str, Any]) -> np.ndarray:
    size = (settings["batch"], int(np.prod(settings["shape"])))
    return np.random.default_rng(0).standard_normal(size).astype(parse_dtype(settings["dtype"]))


def _print(cell: Cell, title: str) -> None:
    rows = []
    for result in cell.results:
        timing = result.timing
        assert timing is not None
        spread = f"{timing.low_ms:.4f} to {timing.high_ms:.4f}"
        state = "correct" if result.correct else "WRONG"
        rows.append((result.name, result.params, f"{timing.median_ms:.4f}", spread, f"{result.error:.1e}", state))
    columns = ("", "parameters", "ms", "10th to 90th percentile", "error", "result")
    show(title, table(columns, rows, right=("parameters", "ms", "error")))
    for name, why in (cell.failed | cell.absent).items():
        show(f"{name}: not measured: {why}")
    for name, ratio in headline(cell).items():
        show(f"{name}: {'no figure, because a result is wrong' if ratio is None else _times(ratio)}")
    show("")


def headline(cell: Cell) -> dict[str, Ratio | None]:
    """The ratios of a cell, and that of a sparse and a dense network with as many parameters."""
    sparse = {"net / dense": cell.ratio("net", "dense")} if cell.knows("net", "dense") else {}
    return cell.ratios() | sparse


def _times(ratio: Ratio) -> str:
    return f"{ratio.median:.2f} times as fast ({ratio.low:.2f} to {ratio.high:.2f})"


def _shape(text: str) -> tuple[int, int]:
    parts = text.lower().replace(",", "x").split("x")
    if len(parts) != 2:
        raise DescriptionError(f"--shape is rows x columns, such as 12x12, not {text!r}")
    rows, columns = (_number("shape", part) for part in parts)
    return rows, columns


def _number(name: str, text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise DescriptionError(f"--{name} takes numbers of at least 1, not {text!r}")
    return int(text)
