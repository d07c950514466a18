"""A particle system: emit, push, move, draw. All on the device; nothing is read back between frames."""

from __future__ import annotations

from .drag import Drag as Drag
from .gravity import Gravity as Gravity
from .integrate import Integrate as Integrate
from .particle import PARTICLE as PARTICLE
from .particle_system import ParticleSystem as ParticleSystem
from .sphere_emitter import SphereEmitter as SphereEmitter
from .splat import Splat as Splat
from .tone_map import ToneMap as ToneMap

__all__ = ["PARTICLE", "Drag", "Gravity", "Integrate", "ParticleSystem", "SphereEmitter", "Splat", "ToneMap"]
