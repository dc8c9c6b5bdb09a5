"""
A fixed head in a plain PyTorch loop
====================================

The classifier of a network is replaced by a simplex ETF that is never trained
:cite:p:`yang2022`, with the loss that fits it. Features collapse to its rows.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

import ufm


torch.manual_seed(0)
pixels, labels = load_digits(return_X_y=True)
x = torch.tensor(pixels / 16, dtype=torch.float32)
y = torch.tensor(labels)
train = torch.arange(len(y)) % 5 != 0

# %%
# Only the head and the loss differ from any other loop. With ``d`` the head starts with a linear
# layer, by which features reach every direction of the frame.

backbone = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU())
head = ufm.ETFHead(256, K=10, d=9)
loss = ufm.BatchDotRegression()
optimiser = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr=5e-3)
history = []
for _ in range(30):
    head.train()
    for batch in torch.randperm(int(train.sum())).split(128):
        optimiser.zero_grad()
        head.loss(backbone(x[train][batch]), y[train][batch], loss).mean().backward()
        optimiser.step()
    with torch.no_grad():
        features = head.eval().features(backbone(x[train])).T
    history.append(ufm.nc(head.frame, features, y[train]).as_row())

# %%
# Accuracy on the fifth that was not trained on, and neural collapse on the rest.

with torch.no_grad():
    held_out = head.predict(backbone(x[~train]))
    H = head.features(backbone(x[train])).T
print(f"held-out accuracy: {(held_out == y[~train]).float().mean():.3f}")

fig, axes = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
for key, label, line in (
    ("nc1_quot", "NC1: spread within / between", "-"),
    ("nc2_etf_err", "NC2: distance from an ETF", "--"),
    ("nc3_self_dual", "NC3: head against means", "-."),
):
    axes[0].plot([record[key] for record in history], line, label=label)
axes[0].set(yscale="log", ylim=(0.02, 2), xlabel="epoch", ylabel="metric on the training set")
axes[0].legend(frameon=False)
means = torch.stack([H[:, y[train] == k].mean(1) for k in range(10)])
image = axes[1].imshow(ufm.cosines(means @ means.T), cmap="PuOr_r", vmin=-1, vmax=1)
axes[1].set(title="cosines of the class means", xlabel="class", ylabel="class")
fig.colorbar(image)
plt.show()
