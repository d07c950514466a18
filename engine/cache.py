"""Compiled kernels on disk, shared by every process of a user."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_SUFFIX = ".bin"
_STALE_SECONDS = 3600.0  # a temporary file this old was left by a process that died


class BinaryCache:
    """Binaries by key. A file holds exactly the binary, so that it can be loaded from where it lies.

    The file's name is the digest of its contents: it appears whole, under its final name, or not at all, and whatever
    happened to it later is noticed when it is read. Any number of threads and processes may share a folder.
    `folder=None` keeps nothing, and neither does the empty key. Beyond `limit_bytes` the least recently used binaries go.
    `warning` says why nothing can be written, once that was tried in vain.
    """

    def __init__(self, folder: Path | None, *, limit_bytes: int = 4 << 30) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.warning: str | None = None
        self._lock = threading.Lock()
        self._size: int | None = None  # about; other processes write too

    def get(self, key: str) -> tuple[bytes, Path] | None:
        """The binary and its file; None if there is none or it is damaged (then it is removed)."""
        entry = self._entry(key)
        if entry is None:
            return None
        for path in (path for path in _files(entry) if path.suffix == _SUFFIX):
            try:
                binary = path.read_bytes()
            except OSError:
                continue
            if path.stem == _digest(binary):
                with contextlib.suppress(OSError):
                    os.utime(path)
                return binary, path
            _remove(path)
        return None

    def put(self, key: str, binary: bytes) -> Path | None:
        """Keep a binary; returns its file, or None where nothing can be kept."""
        entry = self._entry(key)
        if entry is None:
            return None
        path = entry / f"{_digest(binary)}{_SUFFIX}"
        try:
            _write(path, binary)
        except OSError as error:
            self._warn(error)
            return None
        self._bound(len(binary), path)
        return path

    def size(self) -> int:
        """Bytes in use."""
        return sum(size for _, size, _ in self._entries())

    def clear(self) -> int:
        """Remove everything; returns how many bytes that freed."""
        freed = 0
        for _, size, path in self._entries():
            freed += size if _remove(path) else 0
        self._size = None
        return freed

    def _entry(self, key: str) -> Path | None:
        if self.folder is None or not key:
            return None
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / name[:2] / name[2:]

    def _entries(self) -> list[tuple[float, int, Path]]:
        """Time of last use, size and path of each file, also of those that writers left behind."""
        found: list[tuple[float, int, Path]] = []
        if self.folder is not None:
            for path in (file for part in _ours(self.folder, 2) for entry in _ours(part, 62) for file in _files(entry)):
                with contextlib.suppress(OSError):
                    facts = path.stat()
                    if path.suffix == _SUFFIX or time.time() - facts.st_mtime > _STALE_SECONDS:
                        found.append((facts.st_mtime, facts.st_size, path))
        return found

    def _bound(self, added: int, newest: Path) -> None:
        with self._lock:
            self._size = self.size() if self._size is None else self._size + added
            if self._size <= self.limit_bytes:
                return
            entries = sorted(self._entries())
            self._size = sum(size for _, size, _ in entries)
            for _, size, path in entries:
                if self._size <= self.limit_bytes * 9 // 10:
                    break
                if path != newest and _remove(path):
                    self._size -= size

    def _warn(self, error: OSError) -> None:
        if self.warning is None:
            self.warning = (
                f"the kernel cache {self.folder} cannot be written ({error.strerror or error}): every process compiles "
                "its kernels anew; set CUDAGRAPH_CACHE to a folder that you can write, or to 0 for no cache"
            )


def _digest(binary: bytes) -> str:
    return hashlib.sha256(binary).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """What is in a folder; nothing if it is gone: other processes remove what is empty."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return iter(())
    return (folder / name for name in names)


def _ours(folder: Path, length: int) -> Iterator[Path]:
    """What is named by as many hexadecimal digits: a folder may hold other things that are none of our business."""
    return (path for path in _files(folder) if len(path.name) == length and not path.name.strip("0123456789abcdef"))


def _write(path: Path, binary: bytes) -> None:
    try:
        file, temporary = _temporary_file(path.parent)
    except FileNotFoundError:  # another process removed the empty folder just after it was made
        file, temporary = _temporary_file(path.parent)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(binary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _temporary_file(folder: Path) -> tuple[int, str]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tempfile.mkstemp(dir=folder, suffix=".tmp")


def _remove(path: Path) -> bool:
    """Remove a file, and its folders when they are empty."""
    try:
        path.unlink()
    except OSError:
        return False
    with contextlib.suppress(OSError):
        path.parent.rmdir()
        path.parent.parent.rmdir()
    return True
