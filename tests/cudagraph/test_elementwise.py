"""Expressions become kernels that compute them; what is no expression is refused with the reason."""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cudagraph.elementwise import Operand, count_name, elementwise_source, names_in
from cudagraph.errors import DescriptionError
from cudagraph.signature import parse_signature
from cudagraph.source import resolve_source

# Enough of CUDA to run the threads of a GPU one after the other; half is a 2-byte class that converts through float.
PRELUDE = """
#include <math.h>
#define __global__
#define __device__
struct Dim { unsigned x, y, z; };
static Dim blockIdx, gridDim{1, 1, 1}, blockDim{1, 1, 1}, threadIdx;
struct __half {
    _Float16 bits;
    __half() = default;
    explicit __half(float x) : bits(x) {}
    operator float() const { return bits; }
};
struct __nv_bfloat16 { operator float() const; };
"""


def compile_kernel(folder, source, define=()):
    """A function that runs the kernel on NumPy arrays, by so many threads for each row."""
    for header in ("cuda_fp16.h", "cuda_bf16.h"):
        (folder / header).write_text("")
    signature = parse_signature(source.text)
    call = ", ".join(argument.name for argument in signature.arguments)
    arguments = ", ".join(map(str, signature.arguments))
    loops = "for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)\n"
    loops += f"for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) {signature.entry}({call});"
    run = f'extern "C" void run(int x_, int y_, {arguments}) {{ gridDim.x = x_; gridDim.y = y_; {loops} }}\n'
    library = folder / "kernel.so"
    command = ["c++", "-std=c++17", "-shared", "-fPIC", "-fsanitize=alignment", f"-I{folder}", "-x", "c++", "-"]
    text = f"{PRELUDE}{resolve_source(source).program().text}\n{run}"
    subprocess.run([*command, *(f"-D{d}" for d in define), "-o", str(library)], input=text, text=True, check=True)
    loaded = ctypes.CDLL(str(library)).run

    def launch(arrays, *values, threads=3, rows=1):
        loaded(threads, rows, *(array.ctypes.data_as(ctypes.c_void_p) for array in arrays), *values)

    return launch


def compile_and_run(folder, source, arrays, values=(), define=()):
    count = ctypes.c_longlong(max(array.size for array in arrays))
    compile_kernel(folder, source, define)(arrays, *values, count)


needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")


@needs_compiler
def test_computes_several_outputs_with_locals_scalars_and_values(tmp_path):
    expression = "float t = a * x\ny = t*t + fmaxf(x, 0.5); z = y > n ? y\n  : -y"
    inputs = {"a": Operand("float", scalar=True), "x": Operand("float")}
    outputs = {"y": Operand("float"), "z": Operand("__half")}
    source = elementwise_source(expression, inputs, outputs, {"n": "int"})
    x = np.linspace(-2, 2, 37, dtype=np.float32)
    y, z = np.empty_like(x), np.empty(37, np.float16)
    compile_and_run(tmp_path, source, [np.array([1.5], np.float32), x, y, z], [ctypes.c_int(2)])
    expected = (np.float32(1.5) * x) ** 2 + np.maximum(x, np.float32(0.5))
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    np.testing.assert_allclose(z, np.where(y > 2, y, -y).astype(np.float16), rtol=1e-3)


@needs_compiler
@pytest.mark.parametrize(
    ("ctype", "dtype"), [("float", np.float32), ("double", np.float64), ("__half", np.float16), ("int", np.int32)]
)
def test_an_open_type_computes_in_its_own_precision(tmp_path, ctype, dtype):
    source = elementwise_source("y = 0.1 * x * x + T(1)", {"x": "T"}, {"y": "T"}, {})
    x = np.arange(1, 60).astype(dtype)
    y = np.empty_like(x)
    compile_and_run(tmp_path, source, [x, y], define=[f"T={ctype}"])
    wide = np.float64 if dtype in (np.float64, np.int32) else np.float32
    expected = (wide(0.1) * x.astype(wide) * x.astype(wide) + wide(1)).astype(dtype)
    np.testing.assert_array_equal(y, expected)


def test_reads_like_a_kernel_somebody_wrote():
    inputs = {"a": Operand("float", scalar=True), "x": "__half"}
    source = elementwise_source("y = 0.5 * a * x; z = x", inputs, {"y": "float", "z": "__half"}, {})
    assert source.text == (
        '#include "vectors.cuh"\n#include <cuda_fp16.h>\n\n'
        "static __device__ inline void elementwise(const float a, const float x, float& y, float& z)\n{\n"
        "    y = 0.5f * a * x;\n    z = x;\n}\n\n"
        f'extern "C" __global__ void {source.entry}'
        "(const float* a, const __half* x, float* y, __half* z, long long n)\n{\n"
        "    for_each_element(n, [=](const float a, const __half x, float& y, __half& z) {\n"
        "        float z_result;\n"
        "        elementwise(a, static_cast<float>(x), y, z_result);\n"
        "        z = static_cast<__half>(z_result);\n"
        "    }, same(a[0]), x, y, z);\n}\n"
    )


TYPES = {"float": np.float32, "double": np.float64, "__half": np.float16, "signed char": np.int8}


@needs_compiler
@pytest.mark.parametrize(
    "types", [("float", "float"), ("__half", "__half"), ("double", "signed char"), ("__half", "float")]
)
def test_vectors_tails_and_arrays_that_begin_anywhere(tmp_path, types, capfd):
    """What a GPU does: vectors and single elements, on arrays amid guards, by fewer and more threads than needed."""
    read, written = types
    run = compile_kernel(tmp_path, elementwise_source("y = x + x; z = x", {"x": read}, {"y": written, "z": read}, {}))
    for size, offset, threads in itertools.product((0, 1, 7, 16, 65, 200), (0, 1, 4), (1, 3, 64)):
        (x, _), (y, y_room), (z, z_room) = (guarded(size, offset, TYPES[ctype]) for ctype in (read, written, read))
        x[:] = np.arange(size) % 60
        run([x, y, z], ctypes.c_longlong(size), threads=threads)
        np.testing.assert_array_equal(y, (x + x).astype(y.dtype))
        np.testing.assert_array_equal(z, x)
        y[:], z[:] = 77, 77
        assert (y_room == 77).all() and (z_room == 77).all(), "something beside the array was written"
    assert "misaligned" not in capfd.readouterr().err


@needs_compiler
def test_an_array_may_be_read_and_written_at_once(tmp_path):
    run = compile_kernel(tmp_path, elementwise_source("y = x + 1", {"x": "float"}, {"y": "float"}, {}))
    x, _ = guarded(1000, 0, np.float32)
    x[:] = np.arange(1000)
    run([x, x], ctypes.c_longlong(1000), threads=7)
    np.testing.assert_array_equal(x, np.arange(1000) + 1)


def guarded(size, offset, dtype):
    """An array `offset` elements behind a multiple of 64 bytes, and the memory around it, full of 77."""
    room = np.full(size + offset + 160, 77, dtype)
    start = -room.ctypes.data % 64 // room.itemsize + 64 + offset
    return room[start : start + size], room


@needs_compiler
@pytest.mark.parametrize("names", [("x", "b", "y"), ("rows", "at_0_", "stride_1_3")])
@pytest.mark.parametrize("columns", [4, 37])
def test_a_kernel_that_broadcasts_computes_what_numpy_does(tmp_path, names, columns):
    """[2, 3, columns] and [3, 1]: two dimensions of rows, and a column that stays."""
    x, b, y = names
    source = elementwise_source(f"{y} = {x} + 2 * {b}", {x: "float", b: "float"}, {y: "float"}, {}, broadcast=True)
    arrays = [
        np.arange(6 * columns, dtype=np.float32),
        np.arange(3, dtype=np.float32),
        np.empty(6 * columns, np.float32),
    ]
    own = [argument.name for argument in parse_signature(source.text).arguments[3:]]
    end = own[0].removeprefix("rows")
    sizes = {
        "rows": 6,
        "columns": columns,
        "extent_0": 3,
        "stride_0_0": columns,
        "stride_0_1": 3 * columns,
        "stride_1_0": 1,
    }
    counts = [
        (ctypes.c_uint if name.startswith(("rows", "extent")) else ctypes.c_longlong)(
            sizes.get(name.removesuffix(end), 0)
        )
        for name in own
    ]
    macros = [f"{name}{end}={value}" for name, value in {"RANK": 2, "STEP_0": 1, "STEP_1": 0}.items()]
    compile_kernel(tmp_path, source, macros)(arrays, *counts, threads=2, rows=7)
    expected = arrays[0].reshape(2, 3, columns) + 2 * arrays[1].reshape(3, 1)
    np.testing.assert_array_equal(arrays[2].reshape(2, 3, columns), expected)


def test_the_same_expression_is_the_same_kernel():
    one = elementwise_source("y = a", {"a": "float"}, {"y": "float"}, {})
    assert one == elementwise_source("y = a", {"a": "float"}, {"y": "float"}, {})
    assert one.entry != elementwise_source("y = a", {"a": "int"}, {"y": "float"}, {}).entry


@pytest.mark.parametrize(
    ("types", "written"),
    [
        (["float"], "0.5f"),
        (["float", "double"], "0.5"),
        (["int"], "0.5"),
        (["__nv_bfloat16"], "0.5f"),
        (["float4"], "0.5f"),
    ],
)
def test_literals_take_the_precision_of_the_operands(types, written):
    inputs = {f"x{i}": ctype for i, ctype in enumerate(types)}
    source = elementwise_source(f"y = 0.5 * {' + '.join(inputs)}", inputs, {"y": types[0]}, {})
    assert f"y = {written} * x0" in source.text
    assert "y = 2 + 1e3f * 0x1E + 2.5f" in elementwise_source("y = 2 + 1e3 * 0x1E + 2.5f", {}, {"y": "float"}, {}).text


def test_the_count_makes_way_for_an_operand_called_n():
    assert count_name(["x", "y"]) == "n"
    source = elementwise_source("h = z * n", {"z": "float", "n": "float"}, {"h": "float"}, {})
    assert parse_signature(source.text).names() == "z, n, h, element_count"


@pytest.mark.parametrize(
    ("expression", "assigned", "used"),
    [
        ("y = a * x + c", {"y"}, {"a", "x", "c"}),
        ("y = expf(x) + ns::f(a) + p.mass", {"y"}, {"x", "a", "p"}),
        ("float t = a; t += x; y = t", {"y"}, {"a", "x"}),
        ("const unsigned int k = a; y = k", {"y"}, {"a"}),
        ("p.x = a; p.y = b", {"p"}, {"a", "b"}),
        ("y = static_cast<int>(x) + INFINITY", {"y"}, {"x"}),
        ("y = x\n  + a  // a remark\n  * (b -\n c)\nz = y", {"y", "z"}, {"x", "a", "b", "c"}),
        ("y = z; z = y", {"y", "z"}, {"z"}),
    ],
)
def test_names(expression, assigned, used):
    assert names_in(expression) == (assigned, used)


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("y = a * q + r", "q, r is not bound to anything .bound are a, y"),
        ("y = 2", "a is bound, but the expression does not use it"),
        ("t = a", "y is an output, but nothing is assigned"),
        ("a = 2; y = a", "a is assigned, but only outputs can be"),
        ("y += a", "y is used before it is assigned"),
        ("float y = a", "y is an output, but nothing is assigned"),
        ("", "nothing is assigned"),
        ("y", "`y` assigns nothing"),
        ("y =", "nothing to the right"),
        ("y = a +", r"ends with \+"),
        ("y = a ** 2", r"C\+\+ has no \*\*; write x \* x"),
        ("3 = a", "does not assign a name"),
        ("y = b = a", "assigns more than once"),
        ("y = a, 3", "comma outside of a call"),
        ("y = (a", r"lacks a \)"),
        ("y = a)", r"has a \) too many"),
        ("y = [a)", r"has a \) too many"),
        ("y = a++", "changes a value"),
        ("y = a; } void f() {", "'}' cannot be used"),
        ('y = a + "x"', "cannot be used"),
        ("y = 'x'", "cannot be used"),
        ("y = a + asm(1)", "'asm' cannot be used"),
        ("#define x\ny = a", "'#define x' cannot be used"),
        ("y = a\n#include <x>", "cannot be used"),
        ("if (a) y = 1", "'if' cannot be used"),
        ("return a", "'return' cannot be used"),
        ("y = a @ 2", "'@' cannot be used"),
        ('y = a R"(', "cannot be used"),
    ],
)
def test_what_is_refused(expression, complaint):
    with pytest.raises(DescriptionError, match=complaint):
        elementwise_source(expression, {"a": "float"}, {"y": "float"}, {})


def test_names_that_the_kernel_needs_itself():
    with pytest.raises(DescriptionError, match="same cannot be a name here"):
        elementwise_source("y = same", {"same": "float"}, {"y": "float"}, {})


def test_outputs_of_one_and_of_many_elements_do_not_mix():
    outputs = {"y": Operand("float", scalar=True), "z": Operand("float")}
    with pytest.raises(DescriptionError, match="some outputs have one element"):
        elementwise_source("y = a; z = a", {"a": "float"}, outputs, {})


@given(st.text(alphabet=st.sampled_from("ayt =+*/()[]{};,.?:<>\n\\\"'#012ef&|"), max_size=60))
def test_whatever_is_accepted_stays_inside_its_function(noise):
    try:
        source = elementwise_source(f"y = a {noise}", {"a": "float"}, {"y": "float"}, {})
    except DescriptionError:
        return
    assert (source.text.count("{"), source.text.count("#")) == (3, 1)
    assert parse_signature(source.text).names() == "a, y, n"


@pytest.mark.skipif(importlib.util.find_spec("cuda") is None, reason="cuda.bindings is not installed")
@pytest.mark.parametrize("ctype", ["float", "double", "__half", "__nv_bfloat16", "signed char"])
def test_nvrtc_compiles_it(ctype):
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
    inputs = {"a": Operand("T", scalar=True), "x": "T", "c": ctype}
    source = elementwise_source("y = 0.5 * a * x + c", inputs, {"y": "T"}, {})
    headers = [f"-I{folder}" for folder in toolkit_headers()]
    # An alias, not a macro: NVRTC's own headers have templates over a T.
    text = (
        f"#include <cuda_fp16.h>\n#include <cuda_bf16.h>\nusing T = {ctype};\n{resolve_source(source).program().text}"
    )
    _, program = nvrtc.nvrtcCreateProgram(text.encode(), b"elementwise.cu", 0, [], [])
    options = [option.encode() for option in ("-arch=sm_90", *headers)]
    (result,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    log = b" " * nvrtc.nvrtcGetProgramLogSize(program)[1]
    nvrtc.nvrtcGetProgramLog(program, log)
    assert result == nvrtc.nvrtcResult.NVRTC_SUCCESS, log.decode()


def toolkit_headers():
    nvidia = importlib.util.find_spec("nvidia")
    roots = nvidia.submodule_search_locations if nvidia and nvidia.submodule_search_locations else []
    return [header.parent for root in roots for header in Path(root).rglob("cuda_fp16.h")]
