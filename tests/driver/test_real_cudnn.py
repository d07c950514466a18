"""NVIDIA's own cuDNN accepts every graph that we make, for four generations of GPUs, where it is installed.

CUDAGRAPH_TEST_CUDNN names an interpreter with `nvidia-cudnn` and the CUDA wheels: a gigabyte that CI does without.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

INTERPRETER = os.environ.get("CUDAGRAPH_TEST_CUDNN")


@pytest.mark.skipif(not INTERPRETER, reason="CUDAGRAPH_TEST_CUDNN names no interpreter with cuDNN")
def test_the_real_cudnn_has_a_plan_for_every_graph() -> None:
    script = Path(__file__).with_name("real_cudnn.py")
    done = subprocess.run([str(INTERPRETER), str(script)], capture_output=True, text=True, timeout=550)
    assert done.returncode == 0 and done.stdout.count(" plans, ") == 4, done.stdout[-4000:] + done.stderr[-2000:]
