"""The emulated cuBLASLt through nvmath's bindings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

TYPES = {"float32": ("32F", "32F"), "float64": ("64F", "64F"), "float16": ("16F", "32F"), "bfloat16": ("16BF", "32F")}


class Gemm:
    """One product `epilogue(alpha * op(a) @ op(b) + beta * c + bias)` of column-major matrices."""

    def __init__(self, bench: Any, dtype: str = "float32") -> None:
        import nvmath
        from nvmath.bindings import cublas, cublasLt

        self.lt, self.bench = cublasLt, bench
        self.dtype = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
        storage, scale = TYPES[dtype]
        self.type = getattr(nvmath.CudaDataType, f"CUDA_R_{storage}")
        self.scalar = np.float64 if scale == "64F" else np.float32
        compute = getattr(cublas.ComputeType, f"COMPUTE_{scale}")
        self.handle = cublasLt.create()
        self.desc = cublasLt.matmul_desc_create(compute, getattr(nvmath.CudaDataType, f"CUDA_R_{scale}"))
        self.algorithm: Any = None
        self.workspace = (0, 0)

    def set(self, name: str, value: Any, dtype: Any = np.int32) -> None:
        """An attribute of the product."""
        data = np.array([value], dtype)
        attribute = self.lt.MatmulDescAttribute[name]
        self.lt.matmul_desc_set_attribute(self.desc, attribute, data.ctypes.data, data.nbytes)

    def layout(self, rows: int, cols: int, leading: int, batch: tuple[int, int] = (1, 0)) -> int:
        """A matrix."""
        made = self.lt.matrix_layout_create(self.type, rows, cols, leading)
        for name, value in (("BATCH_COUNT", np.int32(batch[0])), ("STRIDED_BATCH_OFFSET", np.int64(batch[1]))):
            data = np.array([value])
            self.lt.matrix_layout_set_attribute(
                made, self.lt.MatrixLayoutAttribute[name], data.ctypes.data, data.nbytes
            )
        return made

    def choose(self, layouts: tuple[int, int, int], limit: int) -> int:
        """Ask for an algorithm; gives the workspace it wants."""
        preference = self.lt.matmul_preference_create()
        size, found = np.array([limit], np.uint64), np.zeros(1, np.int32)
        key = self.lt.MatmulPreferenceAttribute.MAX_WORKSPACE_BYTES
        self.lt.matmul_preference_set_attribute(preference, key, size.ctypes.data, size.nbytes)
        self.algorithm = self.lt.MatmulHeuristicResult(1)
        arguments = (*layouts, layouts[2], preference, 1, int(self.algorithm.ptr), found.ctypes.data)
        self.lt.matmul_algo_get_heuristic(self.handle, self.desc, *arguments)
        assert found[0] == 1
        return int(self.algorithm.workspace_size)

    def run(self, scalars: tuple[int, int], addresses: tuple[int, int, int], layouts: tuple[int, int, int]) -> None:
        """Queue the product on the bench's stream."""
        (a, b, c), (la, lb, lc), (alpha, beta) = addresses, layouts, scalars
        algorithm = int(self.algorithm.ptr) if self.algorithm is not None else 0
        self.lt.matmul(
            self.handle, self.desc, alpha, a, la, b, lb, beta, c, lc, c, lc,
            algorithm, *self.workspace, int(self.bench.stream),
        )  # fmt: skip


@pytest.fixture
def gemm(bench: Any) -> Callable[..., Gemm]:
    """Makes products."""
    pytest.importorskip("nvmath")
    return lambda dtype="float32": Gemm(bench, dtype)


def matrix(rows: int, cols: int, dtype: Any, seed: int) -> np.ndarray:
    """Small integers, which every type holds exactly."""
    return np.random.default_rng(seed).integers(-3, 4, (rows, cols)).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("transposed", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_products_of_all_types_and_transposes(bench: Any, gemm: Any, dtype: str, transposed: tuple[int, int]) -> None:
    product = gemm(dtype)
    m, n, k = 5, 3, 7
    a, b = matrix(m, k, product.dtype, 1), matrix(k, n, product.dtype, 2)
    c = matrix(m, n, product.dtype, 3)
    product.set("TRANSA", transposed[0])
    product.set("TRANSB", transposed[1])
    stored_a, stored_b = (a.T if transposed[0] else a), (b.T if transposed[1] else b)
    addresses = tuple(bench.device(x.flatten("F"), product.dtype) for x in (stored_a, stored_b, c))
    layouts = tuple(product.layout(*x.shape, x.shape[0]) for x in (stored_a, stored_b, c))
    scalars = np.array([2, 3], product.scalar)
    product.run((scalars.ctypes.data, scalars.ctypes.data + scalars.itemsize), addresses, layouts)
    bench.finish()
    got = bench.read(addresses[2], m * n, product.dtype).reshape(m, n, order="F")
    wanted = 2 * a.astype(np.float64) @ b.astype(np.float64) + 3 * c.astype(np.float64)
    np.testing.assert_array_equal(got, wanted.astype(product.dtype))


def test_batches_and_leading_dimensions(bench: Any, gemm: Any) -> None:
    product = gemm()
    a, b = (np.random.default_rng(i).random((4, 6, 6), np.float32) for i in (1, 2))
    addresses = (bench.device(a), bench.device(b), bench.device(np.zeros((4, 6, 6))))
    layouts = tuple(product.layout(3, 3, 6, (4, 36)) for _ in range(3))
    scalars = np.array([1, 0], np.float32)
    product.run((scalars.ctypes.data, scalars.ctypes.data + 4), addresses, layouts)
    bench.finish()
    got = bench.read(addresses[2], 144).reshape(4, 6, 6)
    wanted = np.zeros((4, 6, 6))
    wanted[:, :3, :3] = b[:, :3, :3] @ a[:, :3, :3]  # row-major memory is the transposed product
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.parametrize("epilogue", ["RELU", "GELU", "BIAS", "RELU_BIAS", "GELU_BIAS"])
def test_epilogues(bench: Any, gemm: Any, epilogue: str) -> None:
    product = gemm()
    a, b, bias = (np.random.default_rng(i).standard_normal((4, 4)).astype(np.float32) for i in (1, 2, 3))
    product.set("EPILOGUE", product.lt.Epilogue[epilogue], np.uint32)
    if "BIAS" in epilogue:
        product.set("BIAS_POINTER", bench.device(bias[0]), np.uint64)
    addresses = (bench.device(a.flatten("F")), bench.device(b.flatten("F")), bench.device(np.zeros(16)))
    layouts = tuple(product.layout(4, 4, 4) for _ in range(3))
    scalars = np.array([1, 0], np.float32)
    product.run((scalars.ctypes.data, scalars.ctypes.data + 4), addresses, layouts)
    bench.finish()
    x = a.astype(np.float64) @ b + (bias[0][:, None] if "BIAS" in epilogue else 0)
    if "RELU" in epilogue:
        x = np.maximum(x, 0)
    if "GELU" in epilogue:
        x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(bench.read(addresses[2], 16).reshape(4, 4, order="F"), x, rtol=1e-5, atol=1e-6)


def test_device_scalars_are_read_at_each_replay(bench: Any, cu: Any, gemm: Any) -> None:
    product = gemm()
    product.set("POINTER_MODE", product.lt.PointerMode.DEVICE)
    addresses = (bench.device([2.0]), bench.device([5.0]), bench.device([1.0]))
    layouts = tuple(product.layout(1, 1, 1) for _ in range(3))
    scalars = bench.device([1.0, 0.0])
    cu.cuStreamBeginCapture(bench.stream, cu.raw.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
    product.run((scalars, scalars + 4), addresses, layouts)
    graph = cu.cuStreamEndCapture(bench.stream)
    node = cu.cuGraphGetNodes(graph, 1)[0][0]
    assert cu.cuGraphNodeGetType(node) == cu.raw.CUgraphNodeType.CU_GRAPH_NODE_TYPE_KERNEL
    executable = bench.instantiate(graph)
    for alpha in (1.0, 4.0):
        cu.cuMemcpyHtoD(scalars, np.array([alpha], np.float32).ctypes.data, 4)
        cu.cuGraphLaunch(executable, bench.stream)
        bench.finish()
        assert bench.read(addresses[2], 1)[0] == alpha * 10
    cu.cuGraphDestroy(graph)


def test_the_workspace_must_be_as_large_as_the_algorithm_says_and_is_overwritten(bench: Any, gemm: Any) -> None:
    product = gemm()
    addresses = (bench.device([2.0]), bench.device([5.0]), bench.device([1.0]))
    layouts = tuple(product.layout(1, 1, 1) for _ in range(3))
    scalars = np.array([1, 0], np.float32)
    where = (scalars.ctypes.data, scalars.ctypes.data + 4)
    assert product.choose(layouts, 0) == 0
    wanted = product.choose(layouts, 1 << 20)
    workspace = bench.device(np.zeros(wanted), np.uint8)
    product.workspace = (workspace, wanted - 1)
    with pytest.raises(Exception, match="INVALID_VALUE"):
        product.run(where, addresses, layouts)
    product.workspace = (workspace, wanted)
    product.run(where, addresses, layouts)
    bench.finish()
    assert bench.read(addresses[2], 1)[0] == 10
    assert (bench.read(workspace, wanted, np.uint8) == 0xEE).all()


def test_shapes_and_types_that_do_not_fit_are_refused(bench: Any, gemm: Any) -> None:
    product = gemm()
    square, other = product.layout(4, 4, 4), product.layout(5, 4, 5)
    with pytest.raises(Exception, match="INVALID_VALUE"):
        product.choose((square, other, square), 0)
    with pytest.raises(Exception, match="INVALID_VALUE"):
        product.choose((square, product.layout(4, 4, 3), square), 0)
    double = gemm("float64")
    with pytest.raises(Exception, match="NOT_SUPPORTED"):
        product.choose((square, double.layout(4, 4, 4), square), 0)


def test_operands_outside_of_any_allocation_are_illegal(bench: Any, gemm: Any, emulation: Any) -> None:
    product = gemm()
    addresses = (bench.device([2.0]), bench.device([5.0]), bench.device([1.0]))
    layouts = tuple(product.layout(2, 2, 2) for _ in range(3))  # four times what is there
    scalars = np.array([1, 0], np.float32)
    product.run((scalars.ctypes.data, scalars.ctypes.data + 4), addresses, layouts)
    with pytest.raises(RuntimeError, match="ILLEGAL_ADDRESS"):
        bench.finish()
    assert "cublasLtMatmul: A" in emulation.message
