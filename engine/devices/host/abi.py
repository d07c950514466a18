"""The structures of `runtime/abi.h` for ctypes."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_char, c_char_p, c_int32, c_uint32, c_uint64, c_void_p
from enum import IntEnum

ABI_VERSION = 1


class NodeKind(IntEnum):
    """`enum cg_node_kind`."""

    KERNEL = 0
    COPY = 1
    FILL = 2


class Fault(IntEnum):
    """`enum cg_fault`."""

    OK = 0
    DEADLOCK = 1
    BARRIER_IN_LOOP = 2
    BAD_MASK = 3
    TRAP = 4
    ASSERT = 5
    STACK_OVERFLOW = 6
    OUT_OF_BOUNDS = 7
    BAD_LAUNCH = 8


SCHEDULES = {"forward": 0, "reverse": 1, "random": 2}
"""`enum cg_schedule` by the names that people use."""


class Range(Structure):
    """`cg_range`: a buffer that a kernel may touch."""

    _fields_ = (
        ("begin", c_uint64),
        ("end", c_uint64),
        ("name", c_char_p),
        ("argument", c_uint32),
        ("item_bytes", c_uint32),
    )


class Launch(Structure):
    """`cg_launch`."""

    _fields_ = (
        ("grid", c_uint32 * 3),
        ("threads", c_uint32 * 3),
        ("shared", c_uint32),
        ("schedule", c_uint32),
        ("arguments", c_void_p),
        ("ranges", c_void_p),
        ("range_count", c_uint32),
        ("reserved", c_uint32),
    )


class KernelInfo(Structure):
    """`cg_kernel`."""

    _fields_ = (
        ("name", c_char_p),
        ("run", c_void_p),
        ("sizes", POINTER(c_uint32)),
        ("alignments", POINTER(c_uint32)),
        ("count", c_uint32),
        ("fibers", c_uint32),
    )


class Node(Structure):
    """`cg_node`."""

    _fields_ = (
        ("kind", c_uint32),
        ("value", c_uint32),
        ("kernel", c_void_p),
        ("launch", Launch),
        ("target", c_uint64),
        ("source", c_uint64),
        ("bytes", c_uint64),
    )


class Error(Structure):
    """`cg_error`."""

    _fields_ = (
        ("code", c_int32),
        ("line", c_int32),
        ("block", c_uint32 * 3),
        ("thread", c_uint32 * 3),
        ("address", c_uint64),
        ("message", c_char * 400),
        ("file", c_char * 400),
    )
