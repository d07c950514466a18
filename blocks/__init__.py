"""The block library: ready-made blocks, one to a file, each with its formula, shapes and a NumPy reference."""

from __future__ import annotations

from . import initialisers as initialisers
from .activation import *
from .channel_mixing import *
from .composition import *
from .convolution import *
from .embedding import *
from .layout import *
from .math import *
from .normalization import *
from .particles import *
from .regularization import *
from .sequence_mixing import *
from .sparse import *
