"""The block library: ready-made blocks, one to a file, each with its formula, shapes and a NumPy reference."""

from __future__ import annotations

from .delay import Delay as Delay
from .math.add import Add as Add
from .math.scale import Scale as Scale
from .math.sgemm import Sgemm as Sgemm
from .math.vector_add import VectorAdd as VectorAdd
from .neural.linear import Linear as Linear
from .neural.relu import ReLU as ReLU
from .neural.softmax import Softmax as Softmax
from .particles.drag import Drag as Drag
from .particles.gravity import Gravity as Gravity
from .particles.integrate import Integrate as Integrate
from .particles.particle import PARTICLE as PARTICLE
from .particles.particle_system import ParticleSystem as ParticleSystem
from .particles.sphere_emitter import SphereEmitter as SphereEmitter
from .particles.splat import Splat as Splat
from .particles.tone_map import ToneMap as ToneMap
from .sequential import Sequential as Sequential
