"""A .safetensors file, mapped onto any block."""

from __future__ import annotations

from pathlib import Path

from cudagraph.block import Block
from cudagraph.state_dict import LoadReport

from .checkpoint import Checkpoint
from .key_table import KeyTable, Renamed


class SafetensorsModel:
    """The tensors of a .safetensors file (or a folder, or an index of several files) for any block.

    report = SafetensorsModel("model.safetensors", {"model.layers.*.fc.weight": "layers.*.weight"}).load(block)

    `keys` says how names in the file become names in the block; what it does not mention keeps its name. Values are
    rounded to the dtypes of the block's weights. Files are memory-mapped and read one tensor at a time.
    `DescriptionError` for a malformed file, or a table that contradicts itself.
    """

    def __init__(self, path: str | Path, keys: KeyTable | None = None) -> None:
        self.tensors = Checkpoint(path)
        self.renamed = Renamed(self.tensors, keys or {})

    def load(self, block: Block, *, strict: bool = True) -> LoadReport:
        """Fill a block's weights and states; hot when it is running.

        The report names what was loaded, is missing, unexpected, or has another shape. With `strict`, anything but a
        full match is a `DescriptionError` that holds the same report, and nothing is changed.
        """
        return block.load_state_dict(self.renamed, strict)
