"""Every environment variable that this package reads, in one typed place."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import DescriptionError

_PREFIX = "CUDAGRAPH_"
_OF_THE_TESTS = (f"{_PREFIX}TEST_", f"{_PREFIX}DRIVER_")  # read by this package's tests, not by the package
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Variable:
    """One line of the table of variables. `values` is what may be assigned, as people read it."""

    name: str
    values: str
    default: str
    meaning: str


VARIABLES: tuple[Variable, ...] = (
    Variable("DEBUG", "0 to 4", "0", "Debug level of new engines: off, frame, block, kernel, deep."),
    Variable("VALIDATE", "0 or 1", "0", "Compare every block with its reference after each frame."),
    Variable("POISON", "0 or 1", "0", "Fill outputs and scratch with 0xFF (NaN) first, so that unwritten data shows."),
    Variable("CHECK", "nan", "", "After each frame, name the first block that made a NaN."),
    Variable("MEMORY_PLANNER", "0 or 1", "1", "With 0, every tensor has its own memory: nothing is reused."),
    Variable("CACHE", "a folder, or 0", "the user's cache folder", "Where compiled kernels are kept; 0 keeps none."),
    Variable("DEVICE", "auto, cuda, host or recording", "auto", "Device of new engines; auto is a GPU where one is."),
    Variable("DOT", "a file", "", "Write the graph as DOT to this file at every rebuild."),
    Variable("SCHEDULE", "forward, reverse or random", "forward", "Order of threads and blocks on the host device."),
    Variable("SANITIZE", "0 or 1", "0", "Host kernels are built with bounds and undefined behaviour checks."),
    Variable("THREADS", "a number from 1", "all cores", "Threads of the host device and of the compiler."),
    Variable("CXX", "a command", "the best one found", "C++ compiler of the host device."),
    Variable("WATCH", "0 or 1", "0", "Swap kernels whose source file changes on disk while the engine runs."),
)
"""All variables, without their prefix `CUDAGRAPH_`."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The settings that the environment gives; an engine's own arguments go before them."""

    debug: int = 0
    validate: bool = False
    poison: bool = False
    check: str | None = None  # "nan"
    memory_planner: bool = True
    cache: Path | None = None  # None: nothing is kept on disk
    device: str = "auto"
    dot: Path | None = None
    schedule: str = "forward"
    sanitize: bool = False
    threads: int | None = None  # None: as many as the machine has
    cxx: str | None = None
    watch: bool = False
    unknown: tuple[str, ...] = ()  # variables that look like ours and are not, each with the one that may be meant

    @staticmethod
    def from_environ(environ: Mapping[str, str] = os.environ) -> Environment:
        """Read all variables. `DescriptionError` names the variable, what was given and the choices."""
        return Environment(
            debug=_number(environ, "DEBUG", 0, 4) or 0,
            validate=_switch(environ, "VALIDATE", False),
            poison=_switch(environ, "POISON", False),
            check=_choice(environ, "CHECK", ("nan",)),
            memory_planner=_switch(environ, "MEMORY_PLANNER", True),
            cache=_cache(environ),
            device=_choice(environ, "DEVICE", ("auto", "cuda", "host", "recording")) or "auto",
            dot=_path(environ, "DOT"),
            schedule=_choice(environ, "SCHEDULE", ("forward", "reverse", "random")) or "forward",
            sanitize=_switch(environ, "SANITIZE", False),
            threads=_number(environ, "THREADS", 1, 4096),
            cxx=_text(environ, "CXX") or None,
            watch=_switch(environ, "WATCH", False),
            unknown=_unknown(environ),
        )


def default_cache_folder(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path | None:
    """The user's own cache folder; None for a user without a home.

    Compiled kernels are loaded into the process, so they never go to a shared place such as the temporary folder.
    """
    if platform == "win32":
        folder = environ.get("LOCALAPPDATA", "")
        return Path(folder, "cudagraph", "cache") if folder else None
    folder = environ.get("XDG_CACHE_HOME", "")
    if platform != "darwin" and os.path.isabs(folder):
        return Path(folder, "cudagraph")
    home = environ.get("HOME", "") or os.path.expanduser("~")
    if not os.path.isabs(home):
        return None
    return Path(home, *(("Library", "Caches") if platform == "darwin" else (".cache",)), "cudagraph")


def variables_table() -> str:
    """All variables as a Markdown table, for the documentation."""
    rows = [("Variable", "Values", "Default", "Meaning"), ("---",) * 4]
    rows += [(f"`{_PREFIX}{each.name}`", each.values, each.default or "not set", each.meaning) for each in VARIABLES]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _text(environ: Mapping[str, str], name: str) -> str:
    return environ.get(_PREFIX + name, "").strip()


def _switch(environ: Mapping[str, str], name: str, default: bool) -> bool:
    text = _text(environ, name)
    if not text:
        return default
    if text.lower() not in _TRUE + _FALSE:
        raise _wrong(name, text)
    return text.lower() in _TRUE


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    text = _text(environ, name)
    if text and text.lower() not in choices:
        raise _wrong(name, text)
    return text.lower() or None


def _number(environ: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = _text(environ, name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise _wrong(name, text)
    return int(text)


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    text = _text(environ, name)
    if not text:
        return None
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise _wrong(name, text) from None


def _cache(environ: Mapping[str, str]) -> Path | None:
    text = _text(environ, "CACHE").lower()
    if text in _FALSE:
        return None
    if text in _TRUE:
        return default_cache_folder(environ)
    return _path(environ, "CACHE") or default_cache_folder(environ)


def _wrong(name: str, given: str) -> DescriptionError:
    values = next(variable.values for variable in VARIABLES if variable.name == name)
    return DescriptionError(f"the environment variable {_PREFIX}{name} is {given!r}; it takes {values}")


def _unknown(environ: Mapping[str, str]) -> tuple[str, ...]:
    names = [variable.name for variable in VARIABLES]
    found: list[str] = []
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in names:
            close = difflib.get_close_matches(name.removeprefix(_PREFIX), names, 1)
            found.append(f"{name} (did you mean {_PREFIX}{close[0]}?)" if close else name)
    return tuple(found)
