"""Compiling what a plan needs: from the cache where possible, in parallel otherwise."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cudagraph.errors import CompileError
from cudagraph.program import Program

from .cache import BinaryCache
from .devices.base import Compiler

_DISPLAY_AFTER = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Compiled:
    """A binary; `path` is its file in the cache, and `cached` says that it was there already."""

    binary: bytes
    path: Path | None
    cached: bool


class Progress(Protocol):
    """Told how far compilation is: first with `done` 0, then after each program. Called from one thread."""

    def __call__(self, done: int, total: int, name: str, /) -> None:
        """`done` of `total` programs are compiled; `name` is the entry of the latest."""
        ...


Results = dict[Program, Compiled | CompileError]


def compile_programs(
    programs: Iterable[Program],
    compiler: Compiler,
    cache: BinaryCache,
    *,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Results:
    """Binaries of all programs, each compiled once; a program that fails has its error instead and stops no other.

    `workers` threads compile (default: one per core). An interrupt cancels what has not begun and is raised again.
    """
    results: Results = dict.fromkeys(programs)  # type: ignore[assignment]  # every None is replaced below
    missing: list[Program] = []
    for program in results:
        found = cache.get(compiler.key(program))
        if found is None:
            missing.append(program)
        else:
            results[program] = Compiled(*found, cached=True)
    if missing:
        report = progress or _silent
        report(0, len(missing), missing[0].entry)
        for done, (program, result) in enumerate(_compile_missing(missing, compiler, cache, workers), 1):
            results[program] = result
            report(done, len(missing), program.entry)
    return results


def _compile_missing(
    programs: list[Program], compiler: Compiler, cache: BinaryCache, workers: int | None
) -> Iterator[tuple[Program, Compiled | CompileError]]:
    """Results as they come."""
    count = min(workers or os.cpu_count() or 1, len(programs))
    if count == 1:
        for program in programs:
            yield program, _compile(program, compiler, cache)
        return
    pool = ThreadPoolExecutor(count, thread_name_prefix="cudagraph-compile")
    try:
        pending = {pool.submit(_compile, program, compiler, cache): program for program in programs}
        for future in as_completed(pending):
            yield pending[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _compile(program: Program, compiler: Compiler, cache: BinaryCache) -> Compiled | CompileError:
    try:
        binary = compiler.compile(program)
    except CompileError as error:
        return error
    except Exception as error:  # one broken compiler run must not take the others down
        failure = CompileError(
            f"{program.origin}: the compiler failed without a message of its own: {type(error).__name__}: {error}",
            origin=program.origin,
        )
        failure.__cause__ = error
        return failure
    return Compiled(binary, cache.put(compiler.key(program), binary), cached=False)


def _silent(done: int, total: int, name: str, /) -> None:
    pass


@contextlib.contextmanager
def progress_display(*, after: float = _DISPLAY_AFTER) -> Iterator[Progress | None]:
    """A progress bar for `compile_programs`, shown after `after` seconds; None without a terminal."""
    if not _on_terminal():
        yield None
        return
    display = _Display(after)
    try:
        yield display
    finally:
        display.close()


def _on_terminal() -> bool:
    try:
        import rich  # noqa: F401
    except ImportError:
        return False
    return sys.stderr is not None and sys.stderr.isatty()


class _Display:
    """Draws a bar from a thread of its own once enough time has passed, so that a single long compilation shows too."""

    def __init__(self, after: float) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        name = TextColumn("{task.description}")
        columns = (TextColumn("compiling"), BarColumn(), MofNCompleteColumn(), name, TimeElapsedColumn())
        self._bars = Bars(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bars.add_task("")
        self._timer = threading.Timer(after, self._show)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._closed = False

    def __call__(self, done: int, total: int, name: str, /) -> None:
        self._bars.update(self._task, completed=done, total=total, description=name)
        if self._timer.ident is None:  # not started yet
            self._timer.start()

    def close(self) -> None:
        """Remove the bar."""
        self._timer.cancel()
        if self._timer.is_alive():
            self._timer.join()
        with self._lock:
            self._closed = True
            self._bars.stop()

    def _show(self) -> None:
        with self._lock:
            if not self._closed:
                self._bars.start()
