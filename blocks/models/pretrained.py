"""Models from Hugging Face folders."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from cudagraph.block import Block
from cudagraph.errors import DescriptionError

from .causal import CausalLM
from .config import Config
from .key_table import KeyTable
from .safetensors_model import SafetensorsModel

FAMILIES = {"bert": "bert", "gpt2": "gpt2", "llama": "llama", "mistral": "llama", "resnet": "resnet", "vit": "vit"}
"""The module that knows a `model_type`."""


def from_pretrained(
    path: str | Path, dtype: str = "float32", *, max_length: int | None = None, library: str | None = None
) -> Any:
    """The model in a folder that holds config.json and safetensors files, with its weights rounded to `dtype`.

    gpt2, llama and mistral give a `CausalLM` (`ids` -> `logits`, and `generate`), bert a block `ids`, `token_types`,
    `mask` -> `last_hidden_state`, vit and resnet `pixels` -> `last_hidden_state`. Causal models keep keys and values of
    `max_length` tokens: as many as the model allows, up to 4096, unless said. Nothing is downloaded or unpickled, and
    torch is not needed. `library` is for vit (its attention) and resnet (its convolutions), as `SelfAttention` and
    `Conv2d` take it. `DescriptionError` names the file, and what of it is not supported, missing, unexpected or of
    another shape.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DescriptionError(f"{folder} is no folder; a model folder holds config.json and model.safetensors")
    config = Config.read(folder)
    family: ModuleType = import_module(f".{config.choice('model_type', FAMILIES, '')}", __package__)
    if dtype not in ("float32", "float16", "bfloat16"):
        raise DescriptionError(f"a model computes in float32, float16 or bfloat16, not {dtype!r}")
    more: dict[str, Any] = {} if library is None else {"library": library}
    if more and family.__name__.rpartition(".")[2] not in ("resnet", "vit"):
        raise DescriptionError(f"library={library!r}: only vit and resnet take another one; leave library out")
    model: Block = family.from_config(config, dtype=dtype, max_length=max_length, **more)
    keys: KeyTable = family.KEYS
    if isinstance(model, CausalLM):
        model.stop_tokens = _stop_tokens(config)
        if model.tied:
            keys = {**keys, "lm_head.weight": None}
    SafetensorsModel(folder, with_prefix(family.PREFIX, keys)).load(model)
    return model


def with_prefix(prefix: str, keys: KeyTable) -> KeyTable:
    """The same for names with a prefix, as checkpoints of a model with a head have it, and without."""
    return {**keys, **{prefix + pattern: key for pattern, key in keys.items()}, prefix + "**": "**"}


def _stop_tokens(config: Config) -> tuple[int, ...]:
    value = config.values.get("eos_token_id")
    tokens = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(token) is int for token in tokens):
        raise config.error("eos_token_id", "a token, a list of them, or null")
    return tuple(tokens)
