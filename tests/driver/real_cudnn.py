"""Asks the real cuDNN for plans of every kind of graph that we make, for GPUs that are only described.

Run by an interpreter with NVIDIA's cuDNN: test_real_cudnn.py. The library builds plans for a described device since
9.8; its sub-libraries want a libcuda, which the emulated driver is. A plan whose kernel was compiled and could only not
be loaded counts as made.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from itertools import cycle, product
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

ROOT = Path(__file__).parents[2]
GPUS = {
    80: ("A100", 108, 163, 40),
    90: ("H100", 132, 227, 50),
    100: ("B200", 148, 227, 126),
    120: ("RTX 5090", 170, 99, 96),
}
TYPES = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)
SIGHTS: tuple[dict[str, Any], ...] = (
    {},
    {"causal": True},
    {"causal": True, "aligned": "last"},
    {"window": 9},
    {"window": 70, "aligned": "last"},
    {"window": 9, "causal": True, "aligned": "last"},
)
UNLOADED = 5001  # CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER


class Shape(NamedTuple):
    """An operand that lies nowhere."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def properties(capability: int) -> bytes:
    """A GPU as cuDNN writes it down."""
    name, processors, shared, cache = GPUS[capability]
    facts = {
        "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "regsPerBlock": 65536,
        "multiProcessorCount": processors, "smCountOrigin": 0, "warpSize": 32, "maxSharedMemoryPerBlock": 49152,
        "maxSharedMemoryPerBlockOptin": shared << 10, "oversizedSharedMemoryPerBlock": 0,
        "reservedSharedMemoryPerBlock": 1024, "maxRegistersPerSM": 65536, "maxCtasPerSM": 32,
        "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 1536 if capability == 120 else 2048,
        "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1, "totalGlobalMem": 80 << 30,
        "smClockRateKHz": 1755000, "memClockRateKHz": 2619000,
        "memoryBusWidth": 5120, "l2CacheSize": cache << 20, "cudaDeviceId": 0, "deviceVer": capability * 10,
        "driverVer": 13000, "deviceName": name,
    }  # fmt: skip
    return json.dumps(facts).encode() + b"\0"


def convolutions() -> Iterator[tuple[Mapping[str, Shape], dict[str, Any]]]:
    """Every type, rank, grouping and epilogue; and layers of real networks."""
    epilogues = ((), ("bias",), ("residual",), ("bias", "residual"))
    for dtype, rank, groups, more, activation in product(TYPES, (1, 2, 3), (1, 2), epilogues, ("none", "relu")):
        spaces = (9, 10, 11)[:rank]
        yield operands(dtype, (2, 6, *spaces), (8, 6 // groups, *(3,) * rank), (2, 8, *spaces), more), {
            "before": 1, "after": 1, "activation": activation,
        }  # fmt: skip
    layers = (
        (8, 64, 64, 1, 56, 3, 1),
        (32, 3, 64, 1, 224, 7, 2),
        (8, 256, 512, 1, 14, 1, 1),
        (4, 96, 96, 96, 56, 7, 1),
    )
    for dtype, (count, inner, outer, groups, side, kernel, stride), more in product(TYPES, layers, epilogues[::3]):
        after = (side + kernel // 2 * 2 - kernel) // stride + 1
        result = (count, outer, after, after)
        weight = (outer, inner // groups, kernel, kernel)
        yield operands(dtype, (count, inner, side, side), weight, result, more), {
            "before": kernel // 2, "after": kernel // 2, "stride": stride, "activation": "relu" if more else "none",
        }  # fmt: skip


def operands(dtype: Any, x: Any, weight: Any, y: Any, more: tuple[str, ...]) -> dict[str, Shape]:
    """Those of a convolution."""
    shapes = {"x": x, "weight": weight, "y": y} | {name: {"bias": (weight[0],), "residual": y}[name] for name in more}
    return {name: Shape(shape, np.dtype(dtype)) for name, shape in shapes.items()}


def attentions() -> Iterator[tuple[Mapping[str, Shape], dict[str, Any]]]:
    """Every sight, with and without a mask, at even and at odd sizes."""
    sizes = ((8, 2, 64, 128, 64, 64), (4, 4, 77, 91, 40, 128), (6, 1, 1, 9, 256, 256))
    cases = product(TYPES[:2], SIGHTS, (False, True))
    for (dtype, sight, masked), size in zip(cases, cycle(sizes), strict=False):
        heads, key_heads, queries, keys, length, width = size
        shapes = {"q": (2, heads, queries, length), "k": (2, key_heads, keys, length), "v": (2, key_heads, keys, width)}
        shapes["y"] = (2, heads, queries, width)
        if masked:
            shapes["mask"] = (1, heads, queries, keys)
        found = {name: Shape(shape, np.dtype(dtype)) for name, shape in shapes.items()}
        yield found | {"scale": Shape((), np.dtype(np.float32))}, sight


class Count(NamedTuple):
    """What came of the graphs for one GPU."""

    plans: int
    exact: int
    compiled: int
    refused: list[str]


def count(library: Any, capability: int) -> Count:
    """Ask for a plan of every graph."""
    from cudagraph.engine.devices.cuda.cudnn_graph import Target
    from cudagraph.engine.devices.cuda.cudnn_library import CudnnError, Descriptor
    from cudagraph.engine.devices.cuda.cudnn_plan import choose
    from cudagraph.errors import DeviceError

    text = properties(capability)
    device = Descriptor(library, "DEVICEPROP")
    device.set("DEVICEPROP_JSON_REPRESENTATION", *(text[i : i + 1] for i in range(len(text)))).finalize()
    plans = exact = compiled = 0
    refused = []
    for subject, described in graphs(library):
        try:
            choose(library, described.graph, Target(properties=device), subject=subject, exact=described.exact).close()
            exact += described.exact
        except DeviceError as error:
            if not isinstance(error, CudnnError) or error.status != UNLOADED:
                refused.append(f"{subject}: {error}")
                continue
            compiled += 1
        finally:
            described.graph.close()
        plans += 1
    device.close()
    return Count(plans, exact, compiled, refused)


def graphs(library: Any) -> Iterator[tuple[str, Any]]:
    """What we make of every case, with its name."""
    from cudagraph.engine.devices.cuda.cudnn_attention import attention_graph
    from cudagraph.engine.devices.cuda.cudnn_convolution import convolution_graph, has_epilogue
    from cudagraph.engine.devices.cuda.cudnn_graph import ALIGNMENT
    from cudagraph.engine.libraries.attention import attention_shape
    from cudagraph.engine.libraries.convolution import convolution_shape

    for given, options in convolutions():
        shape = convolution_shape(given, options)
        names = dict.fromkeys([*given, *["bias"] * has_epilogue(shape)], ALIGNMENT)
        yield str(shape), convolution_graph(library, shape, names)
    for given, options in attentions():
        attention = attention_shape(given, options)
        yield str(attention), attention_graph(library, attention, dict.fromkeys(given, ALIGNMENT))


def main() -> int:
    """Print what was made for each GPU, and everything that was not."""
    sys.path.insert(0, str(ROOT))
    load_driver()
    from cudagraph.engine.devices.cuda.cudnn_library import find

    library = find()
    print(f"cuDNN {library.version_text}")
    failed = False
    for capability in GPUS:
        plans, exact, compiled, refused = count(library, capability)
        print(f"sm_{capability}: {plans} plans, {exact} of them of exact float32, {compiled} compiled")
        print("".join(f"  refused: {line}\n" for line in refused), end="")
        failed = failed or bool(refused)
    return int(failed)


def load_driver() -> None:
    """The emulated libcuda, without the emulated libraries."""
    spec = importlib.util.spec_from_file_location("emulated_driver", Path(__file__).with_name("emulated.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.load(libraries=False)


if __name__ == "__main__":
    sys.exit(main())
