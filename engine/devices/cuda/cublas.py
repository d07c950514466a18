"""`cublas.gemm` through cuBLASLt: own workspace, own stream, scalars in device memory, so captures are clean."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from cudagraph.errors import DeviceError

from .driver import INSTALL
from .gemm_shape import EPILOGUES, GemmShape, Matrix, gemm_shape
from .libraries import LibraryContext, Operands, Options

_WORKSPACE = (4 << 20, 32 << 20)  # bytes an algorithm may ask for: before and from sm_90 on, as NVIDIA advises
_TYPES = {"float32": "32F", "float64": "64F", "float16": "16F", "bfloat16": "16BF"}


class CublasLt:
    """The library handle of one device, and a zero for products that add nothing."""

    def __init__(self, context: LibraryContext) -> None:
        try:
            self.raw = importlib.import_module("nvmath.bindings.cublasLt")
            self.cublas = importlib.import_module("nvmath.bindings.cublas")
            self.types = importlib.import_module("nvmath").CudaDataType
        except ImportError as error:
            raise DeviceError(f"cublas.gemm needs nvmath-python ({error}); {INSTALL}") from error
        self.handle = self.call("cublasLtCreate", self.raw.create)
        self._memory = context.memory
        self.zero = context.memory.allocate(8)
        context.memory.fill(self.zero, 8, 0)

    def call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call into the library; its errors become `DeviceError`."""
        try:
            return function(*arguments)
        except Exception as error:
            raise DeviceError(f"cublas.gemm: {name} failed: {error}") from error

    def close(self) -> None:
        """Destroy the handle."""
        self.raw.destroy(self.handle)
        self._memory.free(self.zero)


class _Product:
    """Descriptors, algorithm and workspace of one shape."""

    def __init__(self, lt: CublasLt, context: LibraryContext, shape: GemmShape) -> None:
        self._lt = lt
        self._memory = context.memory
        self.shape = shape
        self._descriptions: list[tuple[Callable[[int], None], int]] = []
        self.workspace = 0
        self.workspace_bytes = 0
        try:
            self._describe(shape)
            self.algorithm = self._choose(_WORKSPACE[context.capability >= 90])
        except BaseException:
            self.close()
            raise
        self.workspace_bytes = int(self.algorithm.workspace_size)
        self.workspace = context.memory.allocate(self.workspace_bytes) if self.workspace_bytes else 0

    def _describe(self, shape: GemmShape) -> None:
        lt, raw = self._lt, self._lt.raw
        kind = "64F" if shape.dtype == np.float64 else "32F"
        compute = getattr(lt.cublas.ComputeType, f"COMPUTE_{kind}{'_FAST_TF32' if shape.tf32 else ''}")
        scale = getattr(lt.types, f"CUDA_R_{kind}")
        self.matmul = lt.call("cublasLtMatmulDescCreate", raw.matmul_desc_create, compute, scale)
        self._descriptions.append((raw.matmul_desc_destroy, self.matmul))
        names = raw.MatmulDescAttribute
        self._set(names.TRANSA, shape.transpose_first, np.int32)
        self._set(names.TRANSB, shape.transpose_second, np.int32)
        self._set(names.EPILOGUE, self._epilogue(), np.uint32)
        if shape.device_scalars:
            self._set(names.POINTER_MODE, raw.PointerMode.DEVICE, np.int32)
        self.first = self._layout(shape.first)
        self.second = self._layout(shape.second)
        self.result = self._layout(shape.result)

    def _epilogue(self) -> int:
        shape, kinds = self.shape, self._lt.raw.Epilogue
        name = "_".join(filter(None, (EPILOGUES[shape.epilogue], "BIAS" * shape.has_bias)))
        return int(getattr(kinds, name or "DEFAULT"))

    def _set(self, attribute: int, value: int, dtype: Any) -> None:
        data = np.array([value], dtype)
        set_attribute = self._lt.raw.matmul_desc_set_attribute
        self._lt.call(
            "cublasLtMatmulDescSetAttribute", set_attribute, self.matmul, attribute, data.ctypes.data, data.nbytes
        )

    def set_bias(self, address: int) -> None:
        """Where the bias lies is part of the description, not of the call."""
        self._set(self._lt.raw.MatmulDescAttribute.BIAS_POINTER, address, np.uint64)

    def _layout(self, matrix: Matrix) -> int:
        lt, raw = self._lt, self._lt.raw
        rows, columns, leading, stride = matrix
        dtype = getattr(lt.types, f"CUDA_R_{_TYPES[self.shape.dtype.name]}")
        layout = lt.call("cublasLtMatrixLayoutCreate", raw.matrix_layout_create, dtype, rows, columns, leading)
        self._descriptions.append((raw.matrix_layout_destroy, layout))
        if self.shape.batch > 1:
            names = raw.MatrixLayoutAttribute
            settings = ((names.BATCH_COUNT, np.int32(self.shape.batch)), (names.STRIDED_BATCH_OFFSET, np.int64(stride)))
            for name, value in settings:
                data = np.array([value])
                raw.matrix_layout_set_attribute(layout, name, data.ctypes.data, data.nbytes)
        return layout

    def _choose(self, limit: int) -> Any:
        lt, raw = self._lt, self._lt.raw
        preference = lt.call("cublasLtMatmulPreferenceCreate", raw.matmul_preference_create)
        try:
            size = np.array([limit], np.uint64)
            attribute = raw.MatmulPreferenceAttribute.MAX_WORKSPACE_BYTES
            raw.matmul_preference_set_attribute(preference, attribute, size.ctypes.data, size.nbytes)
            found, best = np.zeros(1, np.int32), raw.MatmulHeuristicResult(1)
            layouts = (self.first, self.second, self.result, self.result)
            arguments = (lt.handle, self.matmul, *layouts, preference, 1, int(best.ptr), found.ctypes.data)
            subject = f"no algorithm for {self.shape}: cublasLtMatmulAlgoGetHeuristic"
            lt.call(subject, raw.matmul_algo_get_heuristic, *arguments)
        finally:
            raw.matmul_preference_destroy(preference)
        if found[0] == 0:
            raise DeviceError(f"cublas.gemm: this GPU has no algorithm for {self.shape}")
        return best

    def run(self, stream: int, operands: Operands, target: int, scalars: tuple[int, int]) -> None:
        """Queue the product: one call, or several where the batches of a and b are too different to step through."""
        if self.shape.has_bias:
            self.set_bias(operands["bias"].address)
        addend = operands["c_in"].address if "c_in" in operands else target
        width = self.shape.dtype.itemsize
        for a, b, c in self.shape.calls:
            self._lt.call(
                "cublasLtMatmul", self._lt.raw.matmul, self._lt.handle, self.matmul,
                scalars[0], operands["b"].address + b * width, self.first,
                operands["a"].address + a * width, self.second,
                scalars[1], addend + c * width, self.result, target + c * width, self.result,
                int(self.algorithm.ptr), self.workspace, self.workspace_bytes, stream,
            )  # fmt: skip

    def close(self) -> None:
        """Destroy the descriptors and free the workspace."""
        for destroy, description in self._descriptions:
            destroy(description)
        self._descriptions = []
        if self.workspace:
            self._memory.free(self.workspace)
            self.workspace = 0


class Gemm:
    """`c = epilogue(alpha * op(a) @ op(b) + beta * c_in + bias)`, row-major, with batches as NumPy's.

    float32 (tf32 on request), float64, float16 and bfloat16; the 16-bit types accumulate in float32. `alpha` and `beta`
    are scalars in device memory, read at each frame. Without `c_in` nothing is added.
    """

    def __init__(self, context: LibraryContext) -> None:
        self._context = context
        if "cublasLt" not in context.shared:
            context.shared["cublasLt"] = CublasLt(context)
        self._lt = cast(CublasLt, context.shared["cublasLt"])
        self._products: dict[GemmShape, _Product] = {}
        self._host_scalars = {name: np.array([1, 0], name) for name in ("float32", "float64")}

    def prepare(self, operands: Operands, options: Options) -> None:
        """Choose the algorithm of a new shape and run it once, into memory of its own, so that its kernel is loaded."""
        shape = gemm_shape(operands, options)
        if shape in self._products:
            return
        product = _Product(self._lt, self._context, shape)
        scratch = self._context.memory.allocate(operands["c"].dtype.itemsize * int(np.prod(operands["c"].shape)))
        try:
            product.run(int(self._context.stream), operands, scratch, self._scalars(shape, operands))
            self._context.driver.cuStreamSynchronize(self._context.stream)
        except BaseException:
            product.close()
            raise
        finally:
            self._context.memory.free(scratch)
        self._products[shape] = product

    def capture(self, stream: int, operands: Operands, options: Options) -> None:
        """Queue the product on a captured stream."""
        shape = gemm_shape(operands, options)
        self._products[shape].run(stream, operands, operands["c"].address, self._scalars(shape, operands))

    def _scalars(self, shape: GemmShape, operands: Operands) -> tuple[int, int]:
        """Addresses of alpha and beta: on the device where an operand is, else constants of the host."""
        host = self._host_scalars[shape.scalar_dtype.name].ctypes.data
        if not shape.device_scalars:
            return host, host + shape.scalar_dtype.itemsize
        if "alpha" not in operands or ("c_in" in operands and "beta" not in operands):
            raise DeviceError("cublas.gemm: c_in needs both scalars, alpha and beta, in device memory")
        beta = operands["beta"].address if "c_in" in operands else self._lt.zero
        return operands["alpha"].address, beta

    def close(self) -> None:
        """Give back descriptors and workspaces."""
        for product in self._products.values():
            product.close()
        self._products.clear()
