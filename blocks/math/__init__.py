"""Arithmetic on tensors: elementwise with broadcasting, reductions, products."""

from __future__ import annotations

from .bias import Bias as Bias
from .binary import Add as Add
from .binary import Div as Div
from .binary import Maximum as Maximum
from .binary import Minimum as Minimum
from .binary import Mul as Mul
from .binary import Pow as Pow
from .binary import Sub as Sub
from .choice import Equal as Equal
from .choice import Greater as Greater
from .choice import Less as Less
from .choice import Where as Where
from .clamp import Clamp as Clamp
from .cum_sum import CumSum as CumSum
from .einsum import Einsum as Einsum
from .matmul import MatMul as MatMul
from .normalizer import Normalizer as Normalizer
from .reductions import ArgMax as ArgMax
from .reductions import ArgMin as ArgMin
from .reductions import Max as Max
from .reductions import Mean as Mean
from .reductions import Min as Min
from .reductions import Prod as Prod
from .reductions import Std as Std
from .reductions import Sum as Sum
from .reductions import Var as Var
from .scale import Scale as Scale
from .sgemm import Sgemm as Sgemm
from .temperature_scaling import TemperatureScaling as TemperatureScaling
from .unary import Abs as Abs
from .unary import Cos as Cos
from .unary import Exp as Exp
from .unary import Log as Log
from .unary import Neg as Neg
from .unary import Reciprocal as Reciprocal
from .unary import Rsqrt as Rsqrt
from .unary import Sin as Sin
from .unary import Sqrt as Sqrt
from .unary import Square as Square
from .vector_add import VectorAdd as VectorAdd

__all__ = [
    "Abs",
    "Add",
    "ArgMax",
    "ArgMin",
    "Bias",
    "Clamp",
    "Cos",
    "CumSum",
    "Div",
    "Einsum",
    "Equal",
    "Exp",
    "Greater",
    "Less",
    "Log",
    "MatMul",
    "Max",
    "Maximum",
    "Mean",
    "Min",
    "Minimum",
    "Mul",
    "Neg",
    "Normalizer",
    "Pow",
    "Prod",
    "Reciprocal",
    "Rsqrt",
    "Scale",
    "Sgemm",
    "Sin",
    "Sqrt",
    "Square",
    "Std",
    "Sub",
    "Sum",
    "TemperatureScaling",
    "Var",
    "VectorAdd",
    "Where",
]
