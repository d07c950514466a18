"""Handwritten digits on their 8 x 8 grid: a geo-sparse network that psann trained runs as one kernel, and agrees."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import cudagraph as cg
from cudagraph.blocks import GeoSparseNet

images, labels = load_digits(return_X_y=True)
_, test, _, test_labels = train_test_split(images / 16, labels, random_state=0)
test = test.astype(np.float32)

trained = dict(np.load(Path(__file__).with_name("geo_digits.npz")))  # made by train_geo_digits.py
expected = trained.pop("psann_logits")

net = GeoSparseNet(64, 10, shape=(8, 8), depth=4, k=9, grid=True)
net.load_state_dict(trained)  # psann's own state dict, index tables included

with cg.CudaEngine() as engine:
    engine.add(net)
    engine.bind(net.x, test.reshape(-1, 8, 8))
    engine.update(sync=True)
    logits = engine.read(net.y)
    print(f"{len(test)} test images on {engine.device.name}: {len(engine.plan.nodes)} node, {engine.rebuilds} build")

accuracy, theirs = ((of.argmax(axis=1) == test_labels).mean() for of in (logits, expected))
print(f"accuracy {accuracy:.4f}, psann {theirs:.4f}")
print(f"logits differ by at most {np.abs(logits - expected).max():.1e} of {np.abs(expected).max():.0f}")
if accuracy != theirs or np.abs(logits - expected).max() > 1e-5 * np.abs(expected).max():
    raise SystemExit("the network does not agree with psann")
