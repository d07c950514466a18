"""Live kernel editing: notices changed source files and marks the kernels that come from them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from cudagraph.block import Block, source_folders
from cudagraph.context import Context
from cudagraph.debug import BlockState
from cudagraph.errors import CudaGraphError
from cudagraph.source import resolve_source
from cudagraph.work import Kernel

_INTERVAL = 0.2  # seconds between looks; a look is one stat() per file


class SourceWatch:
    """Polls the files of all running kernels, a few times a second, from within `update()`: no thread, no race."""

    def __init__(self) -> None:
        self._stamps: dict[Path, int] = {}
        self._users: dict[Path, list[tuple[Block, int]]] = {}
        self._next = 0.0

    def follow(self, context: Context) -> None:
        """Watch the files of every kernel of this context."""
        self._users = {}
        for block in context.walk():
            for index, work in enumerate(block.description.work):
                if isinstance(work, Kernel):
                    for file in block.source_of(index).files:
                        self._users.setdefault(file, []).append((block, index))
        self._stamps = {file: self._stamps.get(file) or _stamp(file) for file in self._users}

    def mark_changes(self, context: Context) -> None:
        """Give every kernel whose file changed its new source, for the tracker to pick up."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _INTERVAL
        for file, stamp in self._stamps.items():
            current = _stamp(file)
            if current not in (stamp, 0):  # 0: an editor is just replacing it
                self._stamps[file] = current
                for block, index in self._users[file]:
                    _reload(block, index)


def _reload(block: Block, index: int) -> None:
    source = block.source_of(index)
    try:
        block.set_source(index, resolve_source(source.files[0], folders=source_folders(type(block))))
    except CudaGraphError as error:
        block.debug.set_state(BlockState.ERROR, f"{source.origin} was edited: {error}. The old kernel keeps running")


def _stamp(file: Path) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0
