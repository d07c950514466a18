"""Trains the network of geo_digits.py with the package psann, and writes geo_digits.npz: `pip install psann` first."""

from pathlib import Path

import numpy as np
import torch
from psann.nn_geo_sparse import GeoSparseNet
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SHAPE = {"shape": (8, 8), "depth": 4, "k": 9, "pattern": "local", "norm": "rms", "activation_type": "psann", "seed": 0}
EPOCHS, BATCH = 60, 64

torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
train, test, train_labels, test_labels = train_test_split(images / 16, labels, random_state=0)
x, y = torch.tensor(train, dtype=torch.float32), torch.tensor(train_labels)
net = GeoSparseNet(64, 10, drop_path_max=0.1, **SHAPE)
optimizer = torch.optim.AdamW(net.parameters(), 5e-3, weight_decay=1e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
for epoch in range(EPOCHS):
    for rows in torch.randperm(len(x)).split(BATCH):
        loss = torch.nn.functional.cross_entropy(net(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step()
    print(f"epoch {epoch}: loss {loss.item():.4f}")

net.eval()
with torch.no_grad():
    logits = net(torch.tensor(test, dtype=torch.float32)).numpy()
accuracy = (logits.argmax(axis=1) == test_labels).mean()
print(f"accuracy {accuracy:.4f}")
state = {name: array.numpy() for name, array in net.state_dict().items()}
state = {name: array.astype(np.uint8) if array.dtype == np.int64 else array for name, array in state.items()}
np.savez_compressed(Path(__file__).with_name("geo_digits.npz"), **state, psann_logits=logits)
