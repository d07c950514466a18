"""Expressions become kernels that compute them; what is no expression is refused with the reason."""

from __future__ import annotations

import ctypes
import importlib.util
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

# Enough of CUDA to run one thread per element in a loop; half is a 2-byte class that converts through float.
PRELUDE = """
#include <math.h>
#define __global__
#define __device__
struct Dim { unsigned x; };
static Dim blockIdx, blockDim{1}, threadIdx;
struct __half {
    _Float16 bits;
    explicit __half(float x) : bits(x) {}
    operator float() const { return bits; }
};
struct __nv_bfloat16 { operator float() const; };
"""


def compile_and_run(folder, source, arrays, values=(), define=()):
    """Run the kernel on NumPy arrays (in place), one thread after the other."""
    for header in ("cuda_fp16.h", "cuda_bf16.h"):
        (folder / header).write_text("")
    signature = parse_signature(source.text)
    count = max(array.size for array in arrays)
    call = ", ".join(argument.name for argument in signature.arguments)
    arguments = ", ".join(map(str, signature.arguments))
    loop = f"for (blockIdx.x = 0; blockIdx.x < {count} + 3; blockIdx.x++) {signature.entry}({call});"
    text = f'{PRELUDE}{source.text}\nextern "C" void run({arguments}) {{ {loop} }}\n'
    library = folder / "kernel.so"
    command = ["c++", "-std=c++17", "-shared", "-fPIC", f"-I{folder}", "-x", "c++", "-", "-o", str(library)]
    subprocess.run([*command, *(f"-D{d}" for d in define)], input=text, text=True, check=True)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
    ctypes.CDLL(str(library)).run(*pointers, *values, ctypes.c_longlong(count))


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
    source = elementwise_source("y = 0.5 * a * x", {"a": "float", "x": "__half"}, {"y": "float"}, {})
    assert source.text == (
        "#include <cuda_fp16.h>\n\n"
        "static __device__ inline void elementwise(const float a, const float x, float& y)\n{\n"
        "    y = 0.5f * a * x;\n}\n\n"
        f'extern "C" __global__ void {source.entry}(const float* a, const __half* x, float* y, long long n)\n{{\n'
        "    const long long element = blockIdx.x * (long long)blockDim.x + threadIdx.x;\n"
        "    if (element < n) {\n"
        "        float y_result;\n"
        "        elementwise(a[element], static_cast<float>(x[element]), y_result);\n"
        "        y[element] = y_result;\n"
        "    }\n}\n"
    )


@needs_compiler
@pytest.mark.parametrize("names", [("x", "b", "y"), ("rows", "at_0_", "stride_1_3")])
def test_a_kernel_that_broadcasts_computes_what_numpy_does(tmp_path, names):
    """[2, 3, 4] and [3, 1]: two dimensions of rows, and a column that stays."""
    x, b, y = names
    source = elementwise_source(f"{y} = {x} + 2 * {b}", {x: "float", b: "float"}, {y: "float"}, {}, broadcast=True)
    arrays = [np.arange(24, dtype=np.float32), np.arange(3, dtype=np.float32), np.empty(24, np.float32)]
    signature = parse_signature(source.text)
    own = [argument.name.rstrip("_") for argument in signature.arguments[3:]]
    sizes = {"rows": 6, "columns": 4, "extent_0": 3, "stride_0_0": 4, "stride_0_1": 12, "stride_1_0": 1}
    end = "_" * (len(signature.arguments[3].name) - len(own[0]))
    macros = [f"{name}{end}={value}" for name, value in {"RANK": 2, "STEP_0": 1, "STEP_1": 0}.items()]
    text = source.text.replace("blockIdx.y", "(element_of_test / 4)").replace("blockIdx.x", "(element_of_test % 4)")
    text = (
        text.replace("blockIdx.z", "0").replace("gridDim.y", "1").replace("blockDim.y", "1").replace("threadIdx.y", "0")
    )
    text = f"static long long element_of_test;\n{text}"
    call = ", ".join([*(f"(float*)a{i}" for i in range(3)), *(str(sizes.get(name, 0)) for name in own)])
    loop = f"for (element_of_test = 0; element_of_test < 24; element_of_test++) {signature.entry}({call});"
    text = f'{PRELUDE}{text}\nextern "C" void run(void* a0, void* a1, void* a2) {{ {loop} }}\n'
    library = tmp_path / "kernel.so"
    command = ["c++", "-std=c++17", "-shared", "-fPIC", "-x", "c++", "-", "-o", str(library)]
    subprocess.run([*command, *(f"-D{macro}" for macro in macros)], input=text, text=True, check=True)
    ctypes.CDLL(str(library)).run(*(array.ctypes.data_as(ctypes.c_void_p) for array in arrays))
    expected = arrays[0].reshape(2, 3, 4) + 2 * arrays[1].reshape(3, 1)
    np.testing.assert_array_equal(arrays[2].reshape(2, 3, 4), expected)


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
    with pytest.raises(DescriptionError, match="element cannot be a name here"):
        elementwise_source("y = element", {"element": "float"}, {"y": "float"}, {})


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
    assert (source.text.count("{"), source.text.count("#")) == (3, 0)
    assert parse_signature(source.text).names() == "a, y, n"


@pytest.mark.skipif(importlib.util.find_spec("cuda") is None, reason="cuda.bindings is not installed")
@pytest.mark.parametrize("ctype", ["float", "double", "__half", "__nv_bfloat16", "signed char"])
def test_nvrtc_compiles_it(ctype):
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
    inputs = {"a": Operand("T", scalar=True), "x": "T", "c": ctype}
    source = elementwise_source("y = 0.5 * a * x + c", inputs, {"y": "T"}, {})
    headers = [f"-I{folder}" for folder in toolkit_headers()]
    # An alias, not a macro: NVRTC's own headers have templates over a T.
    text = f"#include <cuda_fp16.h>\n#include <cuda_bf16.h>\nusing T = {ctype};\n{source.text}"
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
