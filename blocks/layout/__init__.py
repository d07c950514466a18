"""Shape, order and type of tensors: a view where memory order allows, else one kernel."""

from __future__ import annotations

from .adapters import BatchAdapter as BatchAdapter
from .adapters import DimensionAdapter as DimensionAdapter
from .adapters import SequenceLengthAdapter as SequenceLengthAdapter
from .casting import Cast as Cast
from .casting import Clone as Clone
from .casting import DTypeAdapter as DTypeAdapter
from .joining import Concatenate as Concatenate
from .joining import Stack as Stack
from .moving import Expand as Expand
from .moving import Flip as Flip
from .moving import Gather as Gather
from .moving import Repeat as Repeat
from .moving import Roll as Roll
from .padding import Crop as Crop
from .padding import Pad as Pad
from .patches import ImageToPatches as ImageToPatches
from .patches import PatchesToImage as PatchesToImage
from .permuting import Permute as Permute
from .permuting import Transpose as Transpose
from .slicing import Chunk as Chunk
from .slicing import Slice as Slice
from .slicing import Split as Split
from .views import Flatten as Flatten
from .views import Identity as Identity
from .views import Reshape as Reshape
from .views import Squeeze as Squeeze
from .views import Unsqueeze as Unsqueeze

__all__ = [
    "BatchAdapter",
    "Cast",
    "Chunk",
    "Clone",
    "Concatenate",
    "Crop",
    "DTypeAdapter",
    "DimensionAdapter",
    "Expand",
    "Flatten",
    "Flip",
    "Gather",
    "Identity",
    "ImageToPatches",
    "Pad",
    "PatchesToImage",
    "Permute",
    "Repeat",
    "Reshape",
    "Roll",
    "SequenceLengthAdapter",
    "Slice",
    "Split",
    "Squeeze",
    "Stack",
    "Transpose",
    "Unsqueeze",
]
