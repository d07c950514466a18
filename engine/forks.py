"""Engines in a process that forks: no engine is in the middle of something when its copy begins to live."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

_PATIENCE = 5.0  # seconds that a fork waits for the threads that use engines


class Forked(Protocol):
    """What other threads may be changing when the process forks."""

    def hold(self, seconds: float) -> bool:
        """Keep other threads out; False when that took too long."""
        ...

    def let_go(self) -> None:
        """The process forked, or the other one did: go on."""
        ...

    def abandon(self) -> None:
        """This is the child, and a thread that it does not have was changing this: it must not be used here."""
        ...


_forking = threading.Lock()
_known: weakref.WeakSet[Forked] = weakref.WeakSet()  # one per process, as forks are
_inner: list[threading.Lock] = []
_held: list[Forked] = []
_missed: list[Forked] = []


def follow_forks(one: Forked) -> None:
    """Hold it while the process forks."""
    _known.add(one)


def hold_in_forks(lock: threading.Lock) -> threading.Lock:
    """A lock under which no engine is asked for anything, taken while the process forks: free in the child."""
    _inner.append(lock)
    return lock


def _before() -> None:
    _forking.acquire()
    for one in list(_known):
        (_held if one.hold(_PATIENCE) else _missed).append(one)
    for lock in _inner:
        lock.acquire()


def _after() -> None:
    for lock in _inner:
        lock.release()
    for one in _held:
        one.let_go()
    _held.clear()
    _missed.clear()
    _forking.release()


def _after_in_child() -> None:
    for one in _missed:
        one.abandon()
    _after()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
