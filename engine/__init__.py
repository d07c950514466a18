"""What acts: plans, memory, devices, and the engine that keeps them in step with a context."""

from .engine import CudaEngine as CudaEngine
from .explain import Explanation as Explanation
from .explain import Tier as Tier
from .lower import lower as lower
from .plan import Plan as Plan
from .profile import ProfileLevel as ProfileLevel
