"""Blocks whose kernels take the branches that they have for a GPU, on the CPU: threads are fibers, warps shuffle."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import cudagraph as cg
from cudagraph.builder import BlockBuilder
from cudagraph.source import KERNELS

AS_ON_A_GPU = "#define CUDAGRAPH_FIBERS\n#define __CUDA_ARCH__ 900\n#undef CUDAGRAPH_HOST\n"


def take_gpu_branches(monkeypatch: pytest.MonkeyPatch, edit: Callable[[str], str] = lambda text: text) -> None:
    """Blocks made from now on do; `edit` may change the text of their kernels first."""
    launch = BlockBuilder._launch

    def other(builder: BlockBuilder, kernel: Any, *arguments: Any, **named: Any) -> None:
        if isinstance(kernel, cg.CudaSource):
            kernel = replace(kernel, text=AS_ON_A_GPU + edit(kernel.text))
        else:
            kernel = cg.CudaSource(AS_ON_A_GPU + edit(text_of(kernel)))
        launch(builder, kernel, *arguments, **named)

    monkeypatch.setattr(BlockBuilder, "_launch", other)


def text_of(kernel: str) -> str:
    """A kernel of the library as a string: what it includes from beside itself is found from the folder above."""
    path = KERNELS / f"{kernel}.cu"
    beside = "|".join(re.escape(each.name) for each in path.parent.glob("*.cuh")) or "nothing"
    return re.sub(rf'#include "(?={beside})', f'#include "{path.parent.name}/', path.read_text())
