"""Every example runs on the host device, prints what it shows, and stays short."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# What each example has to print, as regular expressions.
SHOWS = {
    "append_and_count": [r"^4 peaks at \[", "lost {'peaks': ", "warning - append overflow"],
    "bring_your_own_arrays": [r"numpy: \[30\. 33\. 36\. 39\.\]", "^1 build$"],
    "captured_gemm": [r"a @ b +True", r"2 \(a @ b\) - c +True", "hot: .*alpha", r"\(1 build\)"],
    "composite": [
        "^parameters: .*first/left/factor",
        r"y = \[1\. 1\. 1\. 1\.\]",
        r"y = \[2\.5.*after 1 build",
        "Blend",
    ],
    "delay_feedback": [
        r"frame 0: \[1\. 2\. 4\.\]",
        r"frame 2: \[1\.75 3\.5 +7\. +\]",
        r"no memory: \[1\. 2\. 4\.\] after 1",
    ],
    "digits": ["450 test images", r"accuracy +0\.9\d+, scikit-learn 0\.9", r"differ by at most \d\.\de-0[6-9]"],
    "fan_out_fan_in": [r"c = \[-4\. -3\. -2\. -1\.\]", r"merge|vector_add"],
    "geo_digits": [
        "450 test images on host: 1 node, 1 build",
        r"^accuracy 0\.9689, psann 0\.9689$",
        r"differ by at most \d\.\de-0[4-7]",
    ],
    "geo_radius": [r"^radius #{8} rows away: 8", r"^radius # +rows away: 1", "^14 frames, 1 build$"],
    "gpt2": ["^Once upon a time", r"^100 tokens, \d+\.\d tokens/s on host; 2 builds in all"],
    "hello": [r"y = \[20\. 30\. 40\. 50\. 60\.\]", "on host with 1 build"],
    "hot_parameter": [
        "factor is now 100.0",
        "hot: ",
        "contents: ",
        "recapture: ",
        r"y = \[ *0\. +200\.\] after 1 build",
    ],
    "inspection": ["particles/emit|emitter", "trace of", "hot: .*gravity", "KernelNode"],
    "live_kernel_edit": [
        r"y = x \* x +\[ 0\. +1\. +4\.",
        "old kernel keeps running: error",
        "oops",
        r"\[100\. 101\..*ok",
        "builds: 1",
    ],
    "pipeline": ["softmax: ", "scaled: ", "structure: ", "batch of 500", r"0\.weight \(8, 4\)"],
}


def test_every_example_is_tested_and_short():
    files = sorted(EXAMPLES.glob("*.py"))
    assert [file.stem for file in files if not file.stem.startswith("train_")] == sorted(SHOWS)
    assert [file.name for file in files if len(file.read_text().splitlines()) > 60] == []


@pytest.mark.parametrize("name", SHOWS)
def test_the_example_runs(name, tmp_path):
    if name in ("digits", "geo_digits"):
        pytest.importorskip("sklearn")
    environment = os.environ | {"CUDAGRAPH_DEVICE": "host", "PYTHONPATH": str(EXAMPLES.parent)}
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for pattern in SHOWS[name]:
        assert re.search(pattern, done.stdout, re.MULTILINE), f"{pattern!r} is not in\n{done.stdout}"
