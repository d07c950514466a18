from __future__ import annotations

import io
import sys
import threading
import time

import pytest

from cudagraph.engine.cache import BinaryCache
from cudagraph.engine.compile import Compiled, compile_programs, progress_display
from cudagraph.errors import CompileError
from cudagraph.program import Program


def make_programs(count):
    return [Program(f"// {i}", f"kernel_{i}", f"kernel_{i}.cu") for i in range(count)]


class Compiler:
    """Counts; fails for the entries in `broken`, and raises `bug` for `kernel_1`."""

    def __init__(self, broken=(), bug=None, seconds=0.0):
        self.broken, self.bug, self.seconds = broken, bug, seconds
        self.compiled = []
        self.threads = set()

    def key(self, program):
        return program.digest

    def compile(self, program):
        self.compiled.append(program.entry)
        self.threads.add(threading.current_thread())
        time.sleep(self.seconds)
        if program.entry in self.broken:
            raise CompileError("does not compile", origin=program.origin, log="line 1: error")
        if self.bug and program.entry == "kernel_1":
            raise self.bug
        return b"binary of " + program.entry.encode()


@pytest.fixture
def cache(tmp_path):
    return BinaryCache(tmp_path)


@pytest.mark.parametrize("workers", [1, 3])
def test_each_distinct_program_is_compiled_once(cache, workers):
    compiler = Compiler()
    programs = make_programs(4)
    results = compile_programs([*programs, *make_programs(4)], compiler, cache, workers=workers)
    assert list(results) == programs
    assert sorted(compiler.compiled) == [program.entry for program in programs]
    for program in programs:
        binary = b"binary of " + program.entry.encode()
        assert results[program] == Compiled(binary, cache.get(program.digest)[1], cached=False)


def test_what_the_cache_has_is_not_compiled(cache):
    programs = make_programs(3)
    compile_programs(programs[:2], Compiler(), cache)
    compiler = Compiler()
    seen = []
    results = compile_programs(programs, compiler, cache, progress=lambda *step: seen.append(step))
    assert compiler.compiled == ["kernel_2"]
    assert [results[program].cached for program in programs] == [True, True, False]
    assert seen == [(0, 1, "kernel_2"), (1, 1, "kernel_2")]


def test_without_a_cache_there_are_no_files():
    (result,) = compile_programs(make_programs(1), Compiler(), BinaryCache(None)).values()
    assert result == Compiled(b"binary of kernel_0", None, cached=False)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_stops_no_other(cache, workers):
    programs = make_programs(5)
    results = compile_programs(programs, Compiler(broken=("kernel_0", "kernel_3")), cache, workers=workers)
    failed = {program.entry: result for program, result in results.items() if isinstance(result, CompileError)}
    assert failed.keys() == {"kernel_0", "kernel_3"}
    assert failed["kernel_3"].log == "line 1: error"
    assert cache.get(programs[3].digest) is None
    assert sum(isinstance(result, Compiled) for result in results.values()) == 3


def test_a_broken_compiler_run_is_a_compile_error_too(cache):
    results = list(compile_programs(make_programs(3), Compiler(bug=OSError("no space")), cache).values())
    assert isinstance(results[1], CompileError)
    assert "kernel_1.cu" in str(results[1])
    assert "no space" in str(results[1])
    assert isinstance(results[1].__cause__, OSError)
    assert isinstance(results[2], Compiled)


def test_compilers_run_side_by_side(cache):
    compiler = Compiler(seconds=0.05)
    compile_programs(make_programs(4), compiler, cache, workers=2)
    assert len(compiler.threads) == 2


def test_progress_counts_up_in_the_calling_thread(cache):
    seen = []
    threads = set()

    def progress(done, total, name):
        seen.append((done, total))
        threads.add(threading.current_thread())

    compile_programs(make_programs(5), Compiler(), cache, progress=progress, workers=2)
    assert seen == [(done, 5) for done in range(6)]
    assert threads == {threading.current_thread()}


def test_an_interrupt_cancels_what_has_not_begun(cache):
    compiler = Compiler(seconds=0.02)

    def interrupt(done, total, name):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compile_programs(make_programs(40), compiler, cache, progress=interrupt, workers=2)
    begun = len(compiler.compiled)
    assert begun < 40
    assert not any(thread.name.startswith("cudagraph-compile") for thread in threading.enumerate())
    time.sleep(0.05)
    assert len(compiler.compiled) == begun


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_no_display_without_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_display() as progress:
        assert progress is None
    monkeypatch.setattr(sys, "stderr", None)
    with progress_display() as progress:
        assert progress is None


def test_a_bar_appears_when_it_takes_long(monkeypatch, cache):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_display(after=0.01) as progress:
        compile_programs(make_programs(3), Compiler(seconds=0.15), cache, progress=progress, workers=1)
    assert "compiling" in terminal.getvalue()
    assert "kernel_" in terminal.getvalue()


def test_nothing_appears_when_it_is_quick(monkeypatch, cache):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_display(after=30.0) as progress:
        compile_programs(make_programs(3), Compiler(), cache, progress=progress)
    assert "compiling" not in terminal.getvalue()
    assert not any(isinstance(thread, threading.Timer) for thread in threading.enumerate() if thread.is_alive())
