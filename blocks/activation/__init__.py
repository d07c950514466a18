"""Activation functions."""

from __future__ import annotations

from .adapter import ActivationAdapter as ActivationAdapter
from .gated import GLU as GLU
from .gated import Gated as Gated
from .mixed import MixedActivation as MixedActivation
from .mixed import ReLUSigmoidPSANN as ReLUSigmoidPSANN
from .rectifiers import ELU as ELU
from .rectifiers import Hardsigmoid as Hardsigmoid
from .rectifiers import Hardswish as Hardswish
from .rectifiers import LeakyReLU as LeakyReLU
from .rectifiers import PReLU as PReLU
from .rectifiers import ReLU as ReLU
from .rectifiers import ReLU6 as ReLU6
from .sine import PhaseSineParam as PhaseSineParam
from .sine import SineParam as SineParam
from .smooth import GELU as GELU
from .smooth import Mish as Mish
from .smooth import QuickGELU as QuickGELU
from .smooth import Sigmoid as Sigmoid
from .smooth import SiLU as SiLU
from .smooth import Softplus as Softplus
from .smooth import Tanh as Tanh
from .softmax import LogSoftmax as LogSoftmax
from .softmax import Softmax as Softmax

__all__ = [
    "ELU",
    "GELU",
    "GLU",
    "ActivationAdapter",
    "Gated",
    "Hardsigmoid",
    "Hardswish",
    "LeakyReLU",
    "LogSoftmax",
    "Mish",
    "MixedActivation",
    "PReLU",
    "PhaseSineParam",
    "QuickGELU",
    "ReLU",
    "ReLU6",
    "ReLUSigmoidPSANN",
    "SiLU",
    "Sigmoid",
    "SineParam",
    "Softmax",
    "Softplus",
    "Tanh",
]
