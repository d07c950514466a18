"""Finding compilers, cache keys, and what compilers say."""

import dataclasses
import os
import sys

import numpy as np
import pytest

from cudagraph.engine.cache import BinaryCache
from cudagraph.engine.devices.host import HostCompiler, HostDevice
from cudagraph.engine.devices.host import toolchain as toolchains
from cudagraph.engine.devices.host.library import HostKernel, runtime_path
from cudagraph.engine.devices.host.toolchain import Family, find_toolchain
from cudagraph.environment import Environment
from cudagraph.errors import CompileError, DeviceError
from cudagraph.program import Language, Program

ONE = Program('extern "C" __global__ void k(int* y) { y[threadIdx.x] = 1; }', "k", "one.cu")


def test_each_compiler_is_recognised(compiler):
    found = find_toolchain(compiler)
    family = {"g++": Family.GCC, "clang++": Family.CLANG}.get(compiler, Family.ZIG)
    assert found.family is family
    assert found.name.startswith(compiler if family is not Family.ZIG else "zig")
    assert found.name[-1].isdigit()


def test_no_compiler_at_all(monkeypatch, tmp_path):
    monkeypatch.setattr(toolchains.shutil, "which", lambda name: None)
    monkeypatch.setattr(toolchains.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CompileError, match=r"pip install 'cudagraph\[host\]' brings one"):
        find_toolchain()
    device = HostDevice(environment=Environment(cache=tmp_path))
    assert device.description.endswith("no C++ compiler")
    with pytest.raises(CompileError, match="none was found"):
        device.allocate(1)


@pytest.mark.parametrize("command", ["/no/such/compiler", "false"])
def test_a_command_that_is_no_compiler(command):
    with pytest.raises(CompileError, match=f"CUDAGRAPH_CXX is '{command}'"):
        find_toolchain(command)


def test_the_order_of_preference(monkeypatch):
    present = {"clang++", "c++"}
    monkeypatch.setattr(toolchains.shutil, "which", lambda name: name if name in present else None)
    monkeypatch.setattr(toolchains, "_probe", lambda command: command)
    assert find_toolchain() == ("clang++",)
    present.add("g++")
    assert find_toolchain() == ("g++",)
    present.clear()
    assert find_toolchain() == (sys.executable, "-m", "ziglang", "c++")


def test_keys_tell_apart_what_compiles_differently(monkeypatch):
    plain = HostCompiler()
    other_text = dataclasses.replace(ONE, text=str(ONE.text) + " ")
    keys = {
        plain.key(ONE),
        plain.key(other_text),
        HostCompiler(sanitize=True).key(ONE),
        HostCompiler(cxx="c++ -DX").key(ONE),
    }
    monkeypatch.setattr(toolchains, "cpu_features", lambda: "another CPU")
    keys.add(HostCompiler().key(ONE))
    monkeypatch.setattr(toolchains, "runtime_digest", lambda: "other headers")
    keys.add(HostCompiler().key(ONE))
    assert len(keys) == 6
    assert plain.key(ONE) == plain.key(dataclasses.replace(ONE))


def test_messages_are_about_the_users_file(compiler):
    source = (
        '#line 40 "lib/helper.cuh"\n__device__ float half_of(float x) { return x / 2 }\n'
        '#line 1 "main.cu"\nextern "C" __global__ void k(T* y) { y[0] = missing; }'
    )
    with pytest.raises(CompileError) as caught:
        HostCompiler(cxx=compiler).compile(Program(source, "k", "main.cu", define=(("T", "float"),)))
    message = str(caught.value)
    assert message.startswith("kernel k does not compile for the host\n")
    assert "lib/helper.cuh:40:" in message and "missing" in message and "main.cu:1:" in message
    assert caught.value.origin == "main.cu" and caught.value.log in message
    for ours in ("cudagraph-generated", "CG_MODULE", "cuda_host.h", os.fspath(toolchains.RUNTIME)):
        assert ours not in message


def test_messages_about_a_string_that_has_no_name(compiler):
    source = 'extern "C" __global__ void k(float* y) { y[0] = missing; }'
    with pytest.raises(CompileError, match=r"(?s)does not compile for the host\n.*<string>:1:.*missing"):
        HostCompiler(cxx=compiler).compile(Program(source, "k", "<string>"))


def test_a_wrong_call_of_an_intrinsic_names_the_line():
    source = 'extern "C" __global__ void k(short* y) {\n  atomicAdd(y, 1);\n}'
    with pytest.raises(CompileError, match=r"main\.cu:2:\d+: error: no matching function"):
        HostCompiler().compile(Program(source, "k", "main.cu"))


@pytest.mark.parametrize("language", [Language.PTX, Language.CUBIN])
def test_machine_code_is_refused(language):
    with pytest.raises(CompileError, match=r"k\.bin: kernel k is .*the host device runs CUDA C\+\+ source only"):
        HostCompiler().compile(Program("", "k", "k.bin", language))


def test_a_kernel_that_is_not_there():
    with pytest.raises(CompileError, match=r"main\.cu has no kernel other"):
        HostCompiler().compile(dataclasses.replace(ONE, entry="other", origin="main.cu"))


def test_kernels_are_loaded_from_their_cache_file(tmp_path):
    device = HostDevice(environment=Environment(cache=tmp_path))
    cache = BinaryCache(tmp_path)
    path = cache.put(device.compiler.key(ONE), device.compiler.compile(ONE))
    assert path is not None
    again = BinaryCache(tmp_path).get(HostCompiler().key(ONE))
    assert again is not None and again[1] == path
    kernel = device.load(ONE, *again)
    assert kernel.sizes == (8,) and not kernel.fibers and kernel.facts.max_threads == 1024


def test_damaged_binaries_do_not_load(lab):
    device = lab.device()
    with pytest.raises(DeviceError, match=r"one\.cu: the compiled kernel k cannot be loaded"):
        device.load(ONE, b"\x7fELF rubbish", None)
    other = lab.kernel(ONE).binary
    with pytest.raises(DeviceError, match="no kernel named 'x'"):
        HostKernel(device.runtime, dataclasses.replace(ONE, entry="x"), other, None)


def test_the_runtime_library_is_built_once(tmp_path, monkeypatch):
    toolchain = find_toolchain()
    first = runtime_path(toolchain, tmp_path)
    monkeypatch.setattr(type(toolchain), "run", lambda *_: pytest.fail("compiled again"))
    assert runtime_path(toolchain, tmp_path) == first


def test_without_a_cache_folder_the_runtime_library_is_temporary():
    path = runtime_path(find_toolchain(), None)
    assert path.exists() and path.name.startswith("cudagraph-")


def test_modules_need_no_cpp_library(lab):
    names = lab.kernel(ONE).binary
    assert b"libstdc++" not in names and b"GLIBCXX" not in names
    y = np.zeros(3, np.int32)
    lab.run(ONE, 1, 3, y)
    assert (y == 1).all()
