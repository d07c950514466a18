"""What the machine code of kernels must look like (for sm_90) so that they can reach their floor.

`loads`, `stores`: at least so many of 16 bytes. `narrow`: at most so many loads of one or two bytes; in kernels with
`vectors.cuh` those are for arrays that begin anywhere and for the last elements. `branches`: at most so many.
`divisions`: at most so many with the slow path of exact rounding. `why`: the reason where less than 16 bytes, or more
than one division, are allowed. Kernels that are not listed are limited by something else than memory, or small.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_WIDE = r"E(\.\w+)*\.128\b"
_NARROW = r"E(\.\w+)*\.[US](8|16)\b"
_SLOW_DIVISION = "FCHK"


@dataclass(frozen=True)
class Limits:
    """What is allowed; see above."""

    loads: int
    stores: int
    narrow: int
    branches: int
    divisions: int = 1
    why: str = ""


LIMITS = {
    # Elementwise: two vectors of a half precision per array in flight, four of float.
    "scale": Limits(2, 2, 4, 12),
    "vector_add": Limits(4, 2, 8, 12),
    "binary": Limits(4, 2, 8, 12),
    "binary_broadcast": Limits(2, 0, 5, 160, 20, "quotients and powers are exact; comparisons store bytes"),
    "clamp": Limits(2, 2, 4, 40),
    "temperature": Limits(2, 2, 4, 20),
    "normalizer": Limits(2, 2, 6, 16),
    "unary": Limits(2, 2, 4, 60, 20, "roots and inverses are exact"),
    "sine_wave": Limits(2, 2, 4, 100, why="a branch and a call where x is far from 0"),
    "activation": Limits(2, 2, 4, 16),
    "tuned": Limits(2, 2, 4, 16),
    "gated": Limits(4, 2, 8, 16),
    "highway": Limits(6, 2, 6, 16),
    "prelu": Limits(6, 4, 13, 26),
    "sine": Limits(8, 2, 6, 32),
    "mixed": Limits(2, 2, 5, 250, why="six activations in one kernel; halves beside floats move 8 bytes"),
    "cast": Limits(0, 0, 4, 60, why="the narrower side moves less than 16 bytes where the wider one moves 16"),
    "dropout": Limits(2, 2, 4, 30),
    "drop_connect": Limits(2, 2, 4, 30),
    "drop_path": Limits(2, 2, 4, 22),
    "drop_block": Limits(2, 2, 8, 36),
    "fill": Limits(0, 1, 0, 24),
    "tone_map": Limits(4, 0, 0, 60, why="bytes are stored four at a time"),
    "bias_activation": Limits(0, 0, 3, 8, why="four columns to a thread, which are 8 bytes of a half"),
    "elementwise_": Limits(
        0, 2, 12, 60, 20, "divisions are the expression's own; one that reads numbers only loads nothing"
    ),
    # Copies.
    "copy_box": Limits(2, 2, 4, 8),
    "gather": Limits(2, 3, 4, 20),
    "fit_rows": Limits(2, 3, 4, 16),
    "roll": Limits(4, 4, 8, 12),
    "resample": Limits(0, 0, 31, 40, why="means read strided columns, one element each"),
    "embedding": Limits(2, 3, 4, 20),
    "add_positions": Limits(4, 0, 10, 18, why="halves beside floats move 8 bytes"),
    "class_token": Limits(0, 0, 10, 16, why="four columns to a thread in models, which are 8 bytes of a half"),
    "rotary": Limits(4, 3, 18, 28),
    "alibi": Limits(2, 2, 4, 20),
    # Rows.
    "softmax": Limits(4, 2, 8, 44),
    "row_norm": Limits(0, 0, 96, 50, why="rows that are no multiple of 16 bytes move single elements"),
    "conditional_norm": Limits(3, 1, 18, 18),
    "modulated_norm": Limits(3, 1, 16, 24),
    "group_norm": Limits(6, 2, 14, 70),
    "moments": Limits(4, 0, 4, 66),
    "normalize_planes": Limits(4, 2, 5, 48, 3, "once per thread"),
    "reduce_rows": Limits(2, 0, 5, 110),
    "gemv": Limits(6, 0, 64, 80),
    # Particles: two vectors each.
    "integrate": Limits(2, 2, 0, 4),
    "splat": Limits(1, 0, 0, 22, 2, "two divisions for each particle, beside three atomic additions"),
    # Fewer than 16 bytes for each thread; a warp still moves whole sectors of 32 bytes.
    "reduce_columns": Limits(0, 0, 28, 52, 6, "a thread owns four neighbouring columns, 8 bytes of a half; exact mean"),
    "scan_rows": Limits(0, 0, 4, 40, why="four elements to a thread between two sums across the block"),
    "scan_columns": Limits(0, 0, 1, 22, why="a thread owns a column and walks down"),
    "normalize_columns": Limits(0, 0, 9, 48, 3, "a thread owns a column and walks down"),
    "moments_columns": Limits(0, 0, 10, 36, why="a thread owns a column and walks down"),
    "softmax_strided": Limits(0, 0, 10, 28, why="a thread follows a line; neighbouring lines are neighbouring threads"),
    "permute_tile": Limits(0, 0, 7, 24, why="both sides are read and written along their rows, by a warp at once"),
    "pad": Limits(0, 0, 7, 14, why="rows of y begin at other alignments than those of x"),
    "relative_bias": Limits(0, 0, 5, 6, why="each element is looked up in a table"),
    "conditional_position": Limits(0, 0, 20, 4, why="eight of nine reads come from the cache"),
}


def problem_of(entry: str, instructions: Mapping[str, int]) -> str:
    """Which limit a kernel's machine code breaks, in words; "" for none."""
    limits = LIMITS.get("elementwise_" if entry.startswith("elementwise_") else entry)
    if limits is None:
        return ""
    counts = {
        "loads of 16 bytes": (_count(instructions, rf"LDG\.{_WIDE}"), limits.loads, 1 << 30),
        "stores of 16 bytes": (_count(instructions, rf"STG\.{_WIDE}"), limits.stores, 1 << 30),
        "loads of one or two bytes": (_count(instructions, rf"LDG\.{_NARROW}"), 0, limits.narrow),
        "branches": (_count(instructions, r"BRA\b"), 0, limits.branches),
        "slow divisions": (_count(instructions, _SLOW_DIVISION), 0, limits.divisions),
    }
    return ", ".join(
        f"{count} {what} where {f'at least {least}' if count < least else f'at most {most}'} are wanted"
        for what, (count, least, most) in counts.items()
        if not least <= count <= most
    )


def _count(instructions: Mapping[str, int], pattern: str) -> int:
    return sum(count for name, count in instructions.items() if re.match(pattern, name))
