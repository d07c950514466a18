"""`cudagraph bench`: measurements next to other packages, which are imported only here, and only when they are there.

One suite per module; the harness runs them all in the same way.
"""

from __future__ import annotations

SUITES = {
    "engine": "what a frame, a change and a block cost the engine itself",
    "kernels": "elementwise, reductions, norms, softmax, attention, sparse: share of the roofline",
    "layers": "the layers of neural networks",
    "models": "language models: a prompt, and one token after the other",
    "geo_sparse": "networks of geometrically sparse layers",
    "particles": "a particle system",
}
"""Every suite, with what it measures."""

MODULES = {"geo_sparse": "geo_suite"}
"""Suites whose module has another name."""
