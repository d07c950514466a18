"""Single key presses from a terminal."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def interactive() -> bool:
    """Whether a person sits at a terminal that can give single key presses."""
    try:
        import termios  # noqa: F401  (not on Windows)
    except ImportError:
        return False
    return sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def single_keys() -> Iterator[None]:
    """Keys arrive one by one and are not shown; the terminal is as it was afterwards. Ctrl-C still interrupts."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def pressed() -> str:
    """The keys pressed since the last call, without waiting. A closed terminal presses "q"."""
    keys = ""
    descriptor = sys.stdin.fileno()
    while select.select([descriptor], [], [], 0)[0]:
        chunk = os.read(descriptor, 64)
        if not chunk:
            return keys + "q"
        keys += chunk.decode(errors="ignore")
    return keys
