"""Kernels are found by name, path, string or object; unchanged files are read once, changed ones again."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest

from cudagraph.compiled import CompiledKernel
from cudagraph.errors import DescriptionError
from cudagraph.program import Language
from cudagraph.signature import KernelArgument
from cudagraph.source import KERNELS, CudaSource, resolve_source

KERNEL = 'extern "C" __global__ void scale(const float* x, float* y, float gain, long long n) {}\n'
PTX = """.version 8.0
.visible .entry scale(.param .u64 p0, .param .u64 p1, .param .f32 p2, .param .u64 p3)
.maxntid 128, 1, 1
{ ret; }
"""
ARGUMENTS = ["const float* x", "float* y", "float gain", "long long n"]


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_a_name_is_looked_up_in_the_folders_in_order(write, tmp_path):
    write("first/math/scale.cu", KERNEL.replace("scale", "first"))
    write("second/math/scale.cu", KERNEL.replace("scale", "second"))
    folders = (tmp_path / "empty", tmp_path / "first", tmp_path / "second")
    for name in ("math/scale", "math/scale.cu"):
        assert resolve_source(name, folders=folders).signature.entry == "first"
    assert resolve_source("math/scale", folders=folders[2:]).signature.entry == "second"


def test_a_path_stands_for_itself(write):
    path = write("scale.cu", KERNEL)
    for kernel in (path, str(path)):
        source = resolve_source(kernel)
        assert (source.origin, source.files, source.language) == (str(path), (path,), Language.CUDA)
        assert source.signature.names() == "x, y, gain, n"


def test_includes_come_from_the_folders_and_the_library(write, tmp_path):
    write("shared/half.cuh", "int half_of;\n")
    path = write("blocks/scale.cu", '#include "half.cuh"\n' + KERNEL)
    source = resolve_source("scale", folders=(tmp_path / "blocks", tmp_path / "shared"))
    assert source.files == (path, tmp_path / "shared" / "half.cuh")
    assert "int half_of;" in str(source.program().text)
    text = CudaSource('#include "half.cuh"\n' + KERNEL)
    assert "int half_of;" in str(resolve_source(text, folders=(tmp_path / "shared",)).text)


def test_unchanged_files_are_read_once(write, tmp_path, monkeypatch):
    write("half.cuh", "int half_of;\n")
    write("scale.cu", '#include "half.cuh"\n' + KERNEL)
    source = resolve_source("scale", folders=(tmp_path,))
    monkeypatch.setattr("cudagraph.source._read_file", None)
    assert resolve_source("scale", folders=(tmp_path,)) is source


@pytest.mark.parametrize("changed", ["scale.cu", "half.cuh"])
def test_changed_files_are_read_again(write, tmp_path, changed):
    write("half.cuh", "int half_of;\n")
    write("scale.cu", '#include "half.cuh"\n' + KERNEL)
    before = resolve_source("scale", folders=(tmp_path,))
    write(changed, f"// changed\n{(tmp_path / changed).read_text()}")
    os.utime(tmp_path / changed, ns=(1, 1))
    after = resolve_source("scale", folders=(tmp_path,))
    assert after is not before
    assert after.program().digest != before.program().digest


def test_a_new_file_in_an_earlier_folder_wins(write, tmp_path):
    folders = (tmp_path / "mine", tmp_path / "theirs")
    write("theirs/scale.cu", KERNEL)
    assert resolve_source("scale", folders=folders).signature.entry == "scale"
    write("mine/scale.cu", KERNEL.replace("scale", "mine"))
    assert resolve_source("scale", folders=folders).signature.entry == "mine"


def test_a_broken_file_is_read_again_after_it_is_mended(write):
    path = write("scale.cu", "__device__ int no_kernel;\n")
    with pytest.raises(DescriptionError, match=r"has no `extern"):
        resolve_source(path)
    write("scale.cu", KERNEL)
    assert resolve_source(path).signature.entry == "scale"


def test_unknown_names_suggest_the_nearest(write, tmp_path):
    write("math/vector_add.cu", KERNEL)
    write("math/scale.ptx", PTX)
    with pytest.raises(DescriptionError, match="did you mean 'math/vector_add'") as error:
        resolve_source("math/vectr_add", folders=(tmp_path,))
    assert str(tmp_path) in str(error.value)
    assert str(KERNELS) in str(error.value)
    with pytest.raises(DescriptionError, match=r"did you mean 'math/scale\.ptx'"):
        resolve_source("math/scales.ptx", folders=(tmp_path,))
    with pytest.raises(DescriptionError, match="there is no kernel file"):
        resolve_source(tmp_path / "none.cu")


@pytest.mark.parametrize("name", ["", "/", "..", "a\0b", "x" * 5000])
def test_odd_names(name):
    with pytest.raises(DescriptionError):
        resolve_source(name)


def test_programs_are_shared_by_macros(write):
    source = resolve_source(write("scale.cu", KERNEL))
    program = source.program((("T", "float"),))
    assert source.program((("T", "float"),)) is program
    assert (program.entry, program.define, program.files) == ("scale", (("T", "float"),), source.files)
    assert source.program() != program


def test_cuda_source():
    source = resolve_source(CudaSource(KERNEL + KERNEL.replace("scale", "other"), entry="other", name="two"))
    assert (source.signature.entry, source.origin, source.files) == ("other", "two", ())
    assert source.signature.line == 2


def test_strings_are_read_once_unless_they_include_files(write, tmp_path):
    assert resolve_source(CudaSource(KERNEL)) is resolve_source(CudaSource(KERNEL))
    write("half.cuh", "int before;\n")
    text = CudaSource('#include "half.cuh"\n' + KERNEL)
    resolve_source(text, folders=(tmp_path,))
    write("half.cuh", "int after;\n")
    assert "int after;" in str(resolve_source(text, folders=(tmp_path,)).text)


def test_cupy_raw_kernel():
    kernel = SimpleNamespace(
        code="__device__ float f() { return FACTOR; }\n" + KERNEL, name="scale", options=("-DFACTOR=2", "-I.")
    )
    source = resolve_source(kernel)
    assert source.signature.line == 2
    assert "#define FACTOR 2\n" in str(source.program().text)


def test_compiled_ptx():
    source = resolve_source(CompiledKernel(PTX, ARGUMENTS, threads=64, shared=256))
    assert [str(argument) for argument in source.signature.arguments] == ARGUMENTS
    assert (source.signature.entry, source.signature.max_threads) == ("scale", 128)
    assert (source.threads, source.shared, source.language) == ((64, 1, 1), 256, Language.PTX)
    assert resolve_source(CompiledKernel(PTX.encode(), ARGUMENTS)).text == PTX


def test_compiled_cubin():
    cubin = b"\x7fELF .text.scale"
    source = resolve_source(CompiledKernel(cubin, ARGUMENTS, entry="scale", threads=(8, 8)))
    assert (source.text, source.threads, source.language) == (cubin, (8, 8, 1), Language.CUBIN)
    with pytest.raises(DescriptionError, match=r"say which one with CompiledKernel\(..., entry=\)"):
        resolve_source(CompiledKernel(cubin, ARGUMENTS))
    with pytest.raises(DescriptionError, match="has no symbol 'other'"):
        resolve_source(CompiledKernel(cubin, ARGUMENTS, entry="other"))
    with pytest.raises(DescriptionError, match="compiled already, so macros cannot change it: drop T"):
        source.program((("T", "float"),))


@pytest.mark.parametrize(
    ("kernel", "complaint"),
    [
        (CompiledKernel(PTX, ARGUMENTS[:2]), r"2 parameters are described .* takes 4"),
        (CompiledKernel(PTX, [*ARGUMENTS[:2], "double gain", ARGUMENTS[3]]), "`double gain` has 8 bytes"),
        (CompiledKernel(PTX, ["float& x"]), "argument 1, `float& x`, is a reference"),
        (CompiledKernel(PTX, ARGUMENTS, entry="other"), "has no kernel 'other'; it has scale"),
        (CompiledKernel(b"\xff\xff", ARGUMENTS), "neither a cubin"),
        (CompiledKernel(object(), ARGUMENTS), "a object is no compiled kernel"),
        (3.5, "3.5 is no kernel; give a library name"),
    ],
)
def test_what_is_no_kernel_says_why(kernel, complaint):
    with pytest.raises(DescriptionError, match=complaint):
        resolve_source(kernel)


def triton_kernel(signature, ptx=PTX, scratch=0):
    metadata = SimpleNamespace(name="scale", num_warps=4, shared=2048, global_scratch_size=scratch)
    asm = {"cubin": b"\x7fELF .text.scale", "ptx": ptx}
    return SimpleNamespace(asm=asm, metadata=metadata, src=SimpleNamespace(signature=signature))


TRITON = {"x": "*kfp32", "y": "*fp32", "gain": "fp32", "n": "i64", "BLOCK": "constexpr"}


def test_triton_kernel_with_const_pointers_says_everything_itself():
    source = resolve_source(triton_kernel(TRITON))
    assert [str(argument) for argument in source.signature.arguments] == ARGUMENTS
    assert (source.threads, source.shared, source.language) == ((128, 1, 1), 2048, Language.CUBIN)


def test_triton_kernel_without_const_pointers_asks_for_arguments():
    kernel = triton_kernel(TRITON | {"x": "*fp32"})
    wrapped = r'CompiledKernel\(kernel, \["float\* x", "float\* y", "float gain", "long long n"\]\)'
    with pytest.raises(DescriptionError, match=wrapped):
        resolve_source(kernel)
    assert resolve_source(CompiledKernel(kernel, ARGUMENTS)).signature.entry == "scale"


def test_triton_pointers_that_the_compiler_appends_are_null():
    ptx = PTX.replace(".param .u64 p3", ".param .u64 p3, .param .u64 .ptr .global .align 1 p4, .param .u64 p5")
    arguments = resolve_source(triton_kernel(TRITON, ptx)).signature.arguments
    assert [(argument.name, argument.default) for argument in arguments[3:]] == [
        ("n", None),
        ("global_scratch", 0),
        ("profile_scratch", 0),
    ]
    with pytest.raises(DescriptionError, match="needs 64 bytes of scratch"):
        resolve_source(triton_kernel(TRITON, scratch=64))


def test_numba_kernel():
    kernel = SimpleNamespace(inspect_asm=lambda: {("sig",): PTX})
    assert resolve_source(CompiledKernel(kernel, ARGUMENTS)).text == PTX
    with pytest.raises(DescriptionError, match="does not say which pointers"):
        resolve_source(kernel)
    kernel = SimpleNamespace(inspect_asm=lambda: {1: PTX, 2: PTX})
    with pytest.raises(DescriptionError, match="compiled for 2 signatures"):
        resolve_source(CompiledKernel(kernel, ARGUMENTS))


def test_a_changed_sidecar_is_read_again(write, tmp_path):
    write("scale.ptx", PTX)
    names = ["x", "y", "gain", "n"]
    types = ["float*", "float*", "float", "int64_t"]
    fields = [{"name": name, "type": ctype, "direction": "in"} for name, ctype in zip(names, types, strict=True)]
    write("scale.json", json.dumps({"entryPoint": "scale", "blockSize": 32, "parameters": fields}))
    assert resolve_source("scale.ptx", folders=(tmp_path,)).threads == (32, 1, 1)
    write("scale.json", json.dumps({"entryPoint": "scale", "blockSize": 128, "parameters": fields}))
    source = resolve_source("scale.ptx", folders=(tmp_path,))
    assert source.threads == (128, 1, 1)
    assert isinstance(source.signature.argument("n"), KernelArgument)
