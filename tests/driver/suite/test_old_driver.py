"""A driver that is older than the wheels, in processes of their own: the version is fixed at the first call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("emulated_driver", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)
module.load(cache_dir=sys.argv[2] or None)
from cuda.bindings import driver
assert driver.cuInit(0)[0] == 0
print(driver.cuDriverGetVersion()[1])
try:
    print(driver.{call}[0].name)
except Exception as error:
    print(type(error).__name__, error)
"""


def run(version: int, call: str) -> list[str]:
    """The lines that a process on such a driver prints."""
    emulated = Path(__file__).parents[1] / "emulated.py"
    cache = os.environ.get("CUDAGRAPH_TEST_CACHE", "")
    command = [sys.executable, "-c", PROGRAM.replace("{call}", call), str(emulated), cache]
    environment = os.environ | {"CUDAGRAPH_DRIVER_VERSION": str(version)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize(("version", "found"), [(12020, False), (12080, True)])
def test_functions_newer_than_the_driver_are_missing(version: int, found: bool) -> None:
    reported, answer = run(version, "cuFuncGetParamInfo(driver.CUfunction(0), 0)")  # since 12.4
    assert int(reported) == version
    assert ("not found" not in answer.lower()) == found, answer
