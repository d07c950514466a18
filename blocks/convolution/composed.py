"""References of blocks that are made of blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..composition.sequential import Sequential


def computed(block: Any, *inputs: np.ndarray) -> np.ndarray:
    """What a block gives for its present weights, states, parameters and options, in NumPy, in the inputs' type."""
    if isinstance(block, Sequential):
        for child in block:
            inputs = (computed(child, *inputs),)
        return inputs[0]
    dtype = inputs[0].dtype
    values: dict[str, Any] = {name: array.astype(dtype) for name, array in block.state_dict().items()}
    for name, parameter in block.parameters.items():
        values[name] = np.asarray(parameter.value, parameter.dtype).item()  # rounded as the device sees it
    values |= {name: option.value for name, option in block.options.items()}
    return block.reference(*inputs, **values)
