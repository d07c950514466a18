from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy.random.bit_generator
import pytest

from cudagraph.engine.cache import BinaryCache


@pytest.fixture
def cache(tmp_path):
    return BinaryCache(tmp_path / "cache")


def test_a_binary_comes_back_with_its_file(cache):
    path = cache.put("key", b"binary")
    assert cache.get("key") == (b"binary", path)
    assert path.read_bytes() == b"binary"
    assert cache.get("other") is None
    assert cache.warning is None


def test_any_text_is_a_key(cache):
    for key in ("../../escape", "a/b", "ü" * 400, "\n"):
        path = cache.put(key, key.encode())
        assert path.is_relative_to(cache.folder)
        assert cache.get(key) == (key.encode(), path)


def test_files_can_be_loaded_where_they_lie(cache):
    image = Path(numpy.random.bit_generator.__file__).read_bytes()
    assert ctypes.CDLL(str(cache.put("library", image)))["PyInit_bit_generator"]


@pytest.mark.parametrize("damage", [b"", b"bin", b"binarY", b"binary and more"])
def test_damaged_files_are_a_miss_and_go(cache, damage):
    path = cache.put("key", b"binary")
    path.write_bytes(damage)
    assert cache.get("key") is None
    assert not path.exists()
    cache.put("key", b"binary")
    assert cache.get("key") == (b"binary", path)


def test_an_interrupted_write_leaves_nothing_behind(cache, monkeypatch):
    def interrupted(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.put("key", b"binary")
    assert cache.get("key") is None
    assert [path for path in cache.folder.rglob("*") if path.is_file()] == []


def test_without_a_folder_or_a_key_nothing_is_kept(cache):
    nowhere = BinaryCache(None)
    assert nowhere.put("key", b"binary") is None
    assert nowhere.get("key") is None
    assert (nowhere.size(), nowhere.clear(), nowhere.warning) == (0, 0, None)
    assert cache.put("", b"binary") is None
    assert cache.get("") is None


def test_a_folder_that_cannot_be_written_warns_once(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    cache = BinaryCache(tmp_path / "file" / "cache")
    assert cache.put("key", b"binary") is None
    warning = cache.warning
    assert str(cache.folder) in warning
    assert "CUDAGRAPH_CACHE" in warning
    assert cache.put("other", b"binary") is None
    assert cache.warning is warning
    assert cache.get("key") is None
    assert cache.size() == 0


def test_a_folder_that_became_read_only_still_gives(cache, monkeypatch):
    cache.put("key", b"binary")

    def refuse(*arguments, **keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    monkeypatch.setattr(os, "utime", refuse)
    assert cache.put("other", b"other") is None
    assert "Permission denied" in cache.warning
    assert cache.get("key")[0] == b"binary"


def test_size_and_clear(cache):
    cache.put("a", bytes(100))
    cache.put("b", bytes(50))
    assert cache.size() == 150
    assert cache.clear() == 150
    assert cache.size() == 0
    assert cache.get("a") is None
    assert cache.put("a", b"again")


def test_the_least_recently_used_go_first(tmp_path):
    cache = BinaryCache(tmp_path, limit_bytes=1000)
    for age, key in enumerate("abcd"):
        os.utime(cache.put(key, key.encode() * 240), (time.time() - 100 + age,) * 2)
    assert cache.get("a")  # used just now
    cache.put("e", b"e" * 240)
    assert [key for key in "abcde" if cache.get(key)] == ["a", "d", "e"]
    assert cache.size() <= 900


def test_the_limit_counts_what_other_processes_wrote(tmp_path):
    for key in "abcd":
        BinaryCache(tmp_path).put(key, key.encode() * 240)
    cache = BinaryCache(tmp_path, limit_bytes=500)
    cache.put("e", b"e" * 240)
    assert cache.size() <= 500
    assert cache.get("e")


def test_a_binary_larger_than_the_limit_is_kept_for_now(tmp_path):
    cache = BinaryCache(tmp_path, limit_bytes=10)
    assert cache.put("a", bytes(100)).exists()


def test_what_dead_writers_left_is_removed_in_time(cache):
    path = cache.put("key", b"binary")
    fresh, stale = path.with_name("cudagraph-fresh.tmp"), path.with_name("cudagraph-stale.tmp")
    fresh.write_bytes(b"x")
    stale.write_bytes(b"x" * 10)
    os.utime(stale, (1, 1))
    assert cache.size() == len(b"binary") + 10
    cache.clear()
    assert fresh.exists()
    assert not stale.exists()


def test_other_files_in_the_folder_are_left_alone(cache):
    cache.put("key", b"binary")
    for name in ("notes.bin", "ab/notes.bin", "go/pkg/old.bin", f"ab/{'x' * 62}.old.bin"):
        (cache.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (cache.folder / name).write_bytes(b"mine")
        os.utime(cache.folder / name, (1, 1))
    assert cache.clear() == len(b"binary")
    assert sum(path.is_file() for path in cache.folder.rglob("*")) == 4


def test_threads_share_a_cache(cache):
    wrong = []

    def work(first):
        for step in range(60):
            key = str((first + step) % 7)
            found = cache.get(key)
            if found is None:
                cache.put(key, key.encode() * 5000)
            elif found[0] != key.encode() * 5000:
                wrong.append(key)
            if step % 20 == 19:
                cache.clear()

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.warning is None


_PROCESS = """
import sys
from pathlib import Path
from cudagraph.engine.cache import BinaryCache
cache = BinaryCache(Path(sys.argv[1]), limit_bytes=400_000)
for step in range(150):
    key = str(step % 9)
    found = cache.get(key)
    assert found is None or found[0] == key.encode() * 50_000, key
    assert found or cache.put(key, key.encode() * 50_000), cache.warning
"""


def test_processes_share_a_folder(tmp_path):
    root = Path(__file__).parents[2]
    processes = [subprocess.Popen([sys.executable, "-c", _PROCESS, str(tmp_path)], cwd=root) for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
