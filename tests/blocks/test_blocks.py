"""Every block of the library, by the same tests. What differs from block to block is data, in `cases/`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from block_case import Case, Misuse, compare_values, largest_error, load_cases
from devices_under_test import EMULATED

import cudagraph as cg
from cudagraph import blocks as library
from cudagraph.dtypes import parse_dtype
from cudagraph.source import KERNELS
from cudagraph.work import Kernel

CASES = load_cases(Path(__file__).with_name("cases"))
DTYPES = 1 if EMULATED else None  # the emulated driver runs the host's kernels: it shows the launches, not the types
EACH_DTYPE = [pytest.param(case, dtype, id=f"{case}-{dtype}") for case in CASES for dtype in case.dtypes[:DTYPES]]
EACH_MISUSE = [
    pytest.param(misuse, id=f"{case}-{number}") for case in CASES for number, misuse in enumerate(case.misuses)
]
# Their references are in tests of their own, because one frame does not show what they do.
STATEFUL_OR_COMPOSED = {
    "ActivationAdapter",
    "Adapter",
    "AdaptiveLayerNorm",
    "BottleneckBlock",
    "Delay",
    "DenseConnection",
    "DenseResBlock",
    "DenseResNet",
    "HiddenBlock",
    "LoRA",
    "LoRAAttention",
    "LoRAUNetBlock",
    "OutputBlock",
    "Parallel",
    "ParticleSystem",
    "PostNormResidual",
    "PreNormResidual",
    "ResNeXtBlock",
    "ResNetBlock",
    "ResnetBlock2D",
    "Residual",
    "ResidualPSANNBlock",
    "ResidualWiring",
    "SEBlock",
    "SeparableConv",
    "Sequential",
    "SequentialWiring",
    "TransformerBlock",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
    "TransformerStack",
    "ViTBlock",
    "Wiring",
}


def run(engine: cg.CudaEngine, block: Any, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        engine.bind(block.ports[name], array)
    engine.update(sync=True)


def outputs_of(case: Case, engine: cg.CudaEngine, block: cg.Block) -> tuple[np.ndarray, ...]:
    names = case.outputs or [port.name for port in block.outputs]
    return tuple(engine.read(block.ports[name]) for name in names)


def expected_of(case: Case, block: Any, arrays: dict[str, np.ndarray]) -> tuple[Any, ...]:
    """The reference on float64 copies, with parameters rounded as the device sees them."""
    parameters = {name: parameter_value(parameter) for name, parameter in block.parameters.items()}
    weights = {name: widened(weight.value) for name, weight in block.weights.items()}
    options = {name: option.value for name, option in block.options.items()}
    inputs = [widened(arrays[port.name]) for port in block.inputs]
    result = block.reference(*inputs, **parameters, **weights, **options, **case.extra)
    return result if isinstance(result, tuple) else (result,)


def widened(array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    return array if array.dtype.names or array.dtype.kind in "iu" else array.astype(np.float64)


def parameter_value(parameter: cg.Parameter[Any]) -> Any:
    value = np.asarray(parameter.value, parameter.dtype)
    return value.item() if value.ndim == 0 else value.astype(np.float64)


def set_hot(case: Case, block: cg.Block) -> None:
    named = {**block.parameters, **block.options}
    for name, value in case.hot.items():
        named[name].value = value


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_describes_itself(case):
    block = case.make(case.dtypes[0])
    assert type(block).__doc__ and "=" in type(block).__doc__
    assert all(port.name in repr(block) for port in block.inputs)
    assert all(type(one).__name__ in cg.render(block) for one in block.children.values() or [block])
    assert {port.name for port in block.inputs} == set(case.inputs(np.random.default_rng(0), 3, np.dtype("f4")))
    assert set(case.hot) <= {*block.parameters, *block.options}


@pytest.mark.parametrize(("case", "dtype"), EACH_DTYPE)
def test_it_equals_the_reference_at_odd_sizes(case, dtype, engine, record_error):
    random = np.random.default_rng(0)
    tolerance = case.tolerances.get(dtype, 0)
    for size in case.sizes[-1:] if EMULATED else case.sizes:
        block = engine.add(case.make(dtype))
        arrays = case.inputs(random, size, parse_dtype(dtype))
        run(engine, block, arrays)
        given, expected = outputs_of(case, engine, block), expected_of(case, block, arrays)
        case.compare(block, given, expected, tolerance)
        if case.compare is compare_values:
            record_error(case.kind.__name__, dtype, largest_error(given, expected))
        engine.remove(block)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_access_is_out_of_bounds(case):
    environment = replace(cg.Environment.from_environ(), sanitize=True)
    dtype = case.dtypes[0]
    with cg.CudaEngine("host", environment=environment) as engine:
        for size in (3, 130):
            block = engine.add(case.make(dtype))
            run(engine, block, case.inputs(np.random.default_rng(3), size, parse_dtype(dtype)))
            engine.remove(block)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_validation_agrees(case):
    environment = replace(cg.Environment.from_environ(), validate=True, memory_planner=False)
    dtype = case.dtypes[0]
    with cg.CudaEngine("host", environment=environment) as engine:
        block = engine.add(case.make(dtype))
        run(engine, block, case.inputs(np.random.default_rng(2), 63, parse_dtype(dtype)))
        assert block.debug.state in ("ok", "warning"), block.debug.message


@pytest.mark.parametrize("case", [case for case in CASES if case.hot], ids=str)
def test_a_hot_change_equals_a_fresh_build(case, make_engine):
    dtype = case.dtypes[0]
    engine, other = make_engine(), make_engine()
    block, fresh = engine.add(case.make(dtype)), other.add(case.make(dtype))
    set_hot(case, fresh)
    for frame in range(3):
        if frame == 2:
            set_hot(case, block)
        arrays = case.inputs(np.random.default_rng(frame), case.sizes[-1], parse_dtype(dtype))
        run(engine, block, arrays)
        run(other, fresh, arrays)
        assert same(case, outputs_of(case, engine, block), outputs_of(case, other, fresh)) == (frame == 2)
    assert engine.rebuilds == 1


def same(case: Case, first: tuple[np.ndarray, ...], second: tuple[np.ndarray, ...]) -> bool:
    """Bit by bit; where the order of appends or additions is not defined, what is left of them."""
    if not case.any_order:
        return all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))
    return all(
        sorted(row.tobytes() for row in a) == sorted(row.tobytes() for row in b)
        if a.dtype.names
        else np.allclose(a, b, rtol=1e-5, atol=1e-5)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("misuse", EACH_MISUSE)
def test_misuse_is_explained(misuse: Misuse):
    with cg.CudaEngine("host") as engine, pytest.raises(misuse.error, match=misuse.message):
        misuse.attempt(engine)


def exported() -> dict[str, type[cg.Block]]:
    return {name: item for name, item in vars(library).items() if isinstance(item, type) and issubclass(item, cg.Block)}


def test_every_block_has_a_case_and_a_reference():
    tested = {case.kind.__name__ for case in CASES}
    assert set(exported()) - STATEFUL_OR_COMPOSED <= tested
    assert all(callable(getattr(kind, "reference", None)) for name, kind in exported().items() if name in tested)
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    assert all(f"{name}(" in tests for name in STATEFUL_OR_COMPOSED)


def test_every_kernel_is_used_by_a_block():
    used = {
        work.source.files[0].resolve()
        for case in CASES
        for _, block in case.make(case.dtypes[0]).walk()
        for work in block.description.work
        if isinstance(work, Kernel) and work.source.files and work.source.files[0].suffix == ".cu"
    }
    assert used == set(KERNELS.resolve().rglob("*.cu"))
