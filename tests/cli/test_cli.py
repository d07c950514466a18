"""The command line, as a program sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import cudagraph as cg
from cudagraph.engine.cache import BinaryCache

ROOT = Path(__file__).parents[2]


def cudagraph(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m cudagraph` in the repository."""
    command = [sys.executable, "-m", "cudagraph", *arguments]
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def test_version():
    assert cudagraph("--version").stdout == f"cudagraph {cg.__version__}\n"


def test_help_lists_the_commands():
    printed = cudagraph("--help").stdout
    assert all(command in printed for command in ("demo", "doctor", "blocks", "kernels", "cache"))


def test_demo_prints_one_json_object():
    done = cudagraph("demo", "--particles", "2000", "--frames", "80", "--device", "host", "--json")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {"device", "frames", "rebuilds", "hot_updates", "fps", "update_overhead_us", "blocks"}
    assert (result["device"], result["frames"], result["rebuilds"]) == ("host", 80, 1)
    assert result["hot_updates"] > 0
    assert result["fps"] > 1
    assert 0 <= result["update_overhead_us"] < 1e5
    blocks = result["blocks"]
    assert set(blocks) >= {
        "particles",
        "particles/emitter",
        "particles/gravity",
        "particles/integrate",
        "particles/splat",
    }
    assert all(block["time_ms"] > 0 for block in blocks.values())
    assert 0 < blocks["particles/emitter"]["append_counts"]["particles"] <= 2000
    assert blocks["particles/drag"]["append_counts"] == {}


@pytest.mark.parametrize("frames", ["1", "3"])
def test_demo_runs_any_number_of_frames(frames):
    done = cudagraph("demo", "--particles", "100", "--frames", frames, "--device", "host", "--json")
    assert json.loads(done.stdout)["frames"] == int(frames), done.stderr


def test_demo_without_a_terminal_prints_a_plain_report():
    done = cudagraph("demo", "--particles", "500", "--frames", "8", "--device", "host")
    assert done.returncode == 0, done.stderr
    assert "emitter" in done.stdout and "8 frames on " in done.stdout
    assert "\x1b" not in done.stdout


def test_demo_writes_an_image(tmp_path):
    image = tmp_path / "out.png"
    done = cudagraph(
        "demo", "--particles", "5000", "--frames", "40", "--device", "host", "--headless", "--image", str(image)
    )
    assert done.returncode == 0, done.stderr
    pixels = decode_png(image.read_bytes())
    assert len(pixels) == 640 * 360 * 3
    assert max(pixels) > 50 and pixels.count(0) > len(pixels) // 2


def decode_png(data: bytes) -> bytes:
    """Pixels of a PNG without filters and interlacing, after checking its frame."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR"
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    position, packed = 8, b""
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        assert zlib.crc32(kind + body) == int.from_bytes(data[position + 8 + length : position + 12 + length], "big")
        packed += body if kind == b"IDAT" else b""
        position += 12 + length
    rows = zlib.decompress(packed)
    stride = 1 + 3 * width
    assert len(rows) == height * stride and all(rows[at] == 0 for at in range(0, len(rows), stride))
    return b"".join(rows[at + 1 : at + stride] for at in range(0, len(rows), stride))


def test_png_is_read_by_others(tmp_path):
    image = pytest.importorskip("PIL.Image")
    import numpy as np

    from cudagraph.cli.png import write_png

    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    write_png(tmp_path / "a.png", pixels)
    with image.open(tmp_path / "a.png") as opened:
        np.testing.assert_array_equal(np.asarray(opened), pixels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("demo", "--device", "abacus"), "there is no device 'abacus'; choose auto"),
        (("demo", "--device", "host", "--image", "/nowhere/out.png"), "there is no folder /nowhere"),
    ],
)
def test_an_error_is_one_clear_message(arguments, message):
    done = cudagraph(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_an_error_comes_with_its_traceback_where_that_is_wanted():
    done = cudagraph("demo", "--device", "abacus", CUDAGRAPH_DEBUG="1")
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_kernels_lists_the_library():
    done = cudagraph("kernels")
    assert "math/vector_add" in done.stdout and "c = a + b * gain" in done.stdout
    listed = json.loads(cudagraph("kernels", "--json").stdout)
    assert listed["math/scale"]["entry"] == "scale"
    assert "float factor" in listed["math/scale"]["arguments"]
    assert listed["math/scale"]["formula"] == "y = x * factor"


def test_blocks_lists_the_catalogue():
    listed = {entry["name"]: entry for entry in json.loads(cudagraph("blocks", "--json").stdout)}
    assert len(listed) == 297
    assert listed["Linear"]["blocks"] == ["Linear"]
    assert 0 < listed["Linear"]["errors"]["float32"] < 1e-5
    assert "torch:nn.Linear" in listed["Linear"]["oracles"]
    built = json.loads(cudagraph("blocks", "--built", "--family", "activation", "--json").stdout)
    assert {entry["family"] for entry in built} == {"activation"}
    assert all(entry["blocks"] for entry in built)


def test_blocks_of_an_unknown_family_are_none():
    done = cudagraph("blocks", "--family", "alchemy")
    assert (done.returncode, "0 of 0 are built" in done.stdout) == (1, True)


def test_kernels_that_cannot_be_compiled_are_reported():
    done = cudagraph("kernels", "--arch", "sm_1")
    assert done.returncode == 1
    assert "0 of " in done.stdout


def test_cache(tmp_path):
    BinaryCache(tmp_path).put("a kernel", b"1234567")
    folder = str(tmp_path)
    assert cudagraph("cache", "path", CUDAGRAPH_CACHE=folder).stdout == f"{folder}\n"
    assert json.loads(cudagraph("cache", "--json", CUDAGRAPH_CACHE=folder).stdout) == {"path": folder, "bytes": 7}
    assert cudagraph("cache", "size", CUDAGRAPH_CACHE=folder).stdout == "7\n"
    assert cudagraph("cache", "clear", CUDAGRAPH_CACHE=folder).stdout == "7 bytes freed\n"
    assert json.loads(cudagraph("cache", "size", "--json", CUDAGRAPH_CACHE=folder).stdout) == {"bytes": 0}


def test_no_cache():
    assert "none (CUDAGRAPH_CACHE=0)" in cudagraph("cache", CUDAGRAPH_CACHE="0").stdout
    assert cudagraph("cache", "path", CUDAGRAPH_CACHE="0").stdout == "none\n"
