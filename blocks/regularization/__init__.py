"""What training adds noise with, and the numbers it begins with: counter-based, seeded, switched live."""

from __future__ import annotations

from .drop_block import DropBlock as DropBlock
from .drop_connect import DropConnect as DropConnect
from .dropout import Dropout as Dropout
from .dropout import DropPath as DropPath
from .fill import ConstantInit as ConstantInit
from .fill import KaimingNormal as KaimingNormal
from .fill import NormalInit as NormalInit
from .fill import XavierUniform as XavierUniform
from .spec_augment import SpecAugment as SpecAugment

__all__ = [
    "ConstantInit",
    "DropBlock",
    "DropConnect",
    "DropPath",
    "Dropout",
    "KaimingNormal",
    "NormalInit",
    "SpecAugment",
    "XavierUniform",
]
