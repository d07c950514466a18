"""Compiled kernels on disk, shared by every process of a user."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_OURS = re.compile(r"[0-9a-f]{62}\.[0-9a-f]{64}\.bin|cudagraph-\w+\.tmp")  # the folder may hold files of others
_STALE_SECONDS = 3600.0  # a temporary file this old was left by a process that died


class BinaryCache:
    """Binaries by key. A file holds exactly the binary, so that it can be loaded from where it lies.

    The file's name holds the digests of the key and of the contents: it appears whole or not at all, and whatever
    happened to it later is noticed when it is read. Any number of threads and processes may share a folder.
    `folder=None` keeps nothing, nor does the empty key. Beyond `limit_bytes` the least recently used binaries go.
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
        if self.folder is None or not key:
            return None
        part, name = _part_and_name(key)
        for path in _files(self.folder / part):
            if path.name.startswith(name) and path.suffix == ".bin":
                binary = _read(path)
                if binary is not None:
                    return binary, path
        return None

    def put(self, key: str, binary: bytes) -> Path | None:
        """Keep a binary; returns its file, or None where nothing can be kept."""
        if self.folder is None or not key:
            return None
        part, name = _part_and_name(key)
        path = self.folder / part / f"{name}.{_digest(binary)}.bin"
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

    def _entries(self) -> list[tuple[float, int, Path]]:
        """Time of last use, size and path of each file, also of those that dead writers left behind."""
        found: list[tuple[float, int, Path]] = []
        if self.folder is not None:
            for path in (path for number in range(256) for path in _files(self.folder / f"{number:02x}")):
                with contextlib.suppress(OSError):
                    facts = path.stat()
                    if path.suffix == ".bin" or time.time() - facts.st_mtime > _STALE_SECONDS:
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


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _part_and_name(key: str) -> tuple[str, str]:
    """The folder that a key's files are in, and what their names begin with."""
    digest = _digest(key.encode())
    return digest[:2], digest[2:]


def _files(folder: Path) -> Iterator[Path]:
    """Our files in a folder; none if there is no such folder."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return iter(())
    return (folder / name for name in names if _OURS.fullmatch(name))


def _read(path: Path) -> bytes | None:
    """The contents, if they are what the name says; else the file is removed."""
    try:
        binary = path.read_bytes()
    except OSError:
        return None
    if path.stem.endswith(_digest(binary)):
        with contextlib.suppress(OSError):
            os.utime(path)
        return binary
    _remove(path)
    return None


def _write(path: Path, binary: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file, temporary = tempfile.mkstemp(dir=path.parent, prefix="cudagraph-", suffix=".tmp")
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(binary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True
