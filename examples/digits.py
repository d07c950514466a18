"""Handwritten digits: a network that scikit-learn trained runs as one graph, and agrees with scikit-learn."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import cudagraph as cg
from cudagraph.blocks import Linear, ReLU, Sequential, Softmax

BATCH = 64

images, labels = load_digits(return_X_y=True)  # 1,797 images of 8 x 8 pixels
train, test, train_labels, test_labels = train_test_split(images / 16, labels, random_state=0)
classifier = MLPClassifier((64, 32), max_iter=300, random_state=0).fit(train, train_labels)


def network_of(classifier: MLPClassifier) -> Sequential:
    """The same network as blocks, with the trained weights."""
    layers: list[cg.Block] = []
    for weight, bias in zip(classifier.coefs_, classifier.intercepts_, strict=True):
        linear = Linear(*weight.shape)
        linear.load_state_dict({"weight": weight.T, "bias": bias})  # scikit-learn stores (in, out), torch (out, in)
        layers += [linear, ReLU()]
    return Sequential(*layers[:-1], Softmax())


with cg.CudaEngine() as engine:
    network = engine.add(network_of(classifier))
    probabilities = []
    for start in range(0, len(test), BATCH):
        batch = test[start : start + BATCH].astype(np.float32)
        engine.bind(network.x, batch)  # the last batch is smaller: that frame alone makes a new plan
        engine.update()
        probabilities.append(engine.read(network.y))

result = np.concatenate(probabilities)
expected = classifier.predict_proba(test)
accuracy = (result.argmax(axis=1) == test_labels).mean()
print(f"{len(test)} test images in {len(probabilities)} frames, {engine.rebuilds} builds")
print(f"accuracy      {accuracy:.4f}, scikit-learn {classifier.score(test, test_labels):.4f}")
print(f"probabilities differ by at most {np.abs(result - expected).max():.1e}")
if np.abs(result - expected).max() > 1e-5 or accuracy != classifier.score(test, test_labels):
    raise SystemExit("the network does not agree with scikit-learn")
