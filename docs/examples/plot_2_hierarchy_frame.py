"""
From a tree of classes to a classifier
======================================

A hierarchy-aware frame :cite:p:`liang2023` has one row a class; the cosine of two rows falls with
the distance of their classes in the tree. The rows fit into K - 1 dimensions if the classes are as
far apart as the tree allows.
"""

import matplotlib.pyplot as plt

import ufm
from ufm.geometry import Exponential, frame


tree = ufm.Tree.from_paths(
    [
        "animal/mammal/cat", "animal/mammal/dog", "animal/mammal/horse", "animal/bird/owl",
        "animal/bird/duck", "vehicle/road/car", "vehicle/road/truck", "vehicle/ship",
    ]
)  # fmt: skip
spec = ufm.HAFrame(tree, Exponential(gamma=2.0))

# %%
# The classifier as a matrix, and its Gram matrix beside that of a simplex ETF, which knows no tree.

W = frame(spec, tree.K, spec.rank)
print(f"{tree.K} classes in {spec.rank} dimensions, smallest cosine {(W @ W.T).min():.3f}")
etf = ufm.etf(tree.K, tree.K - 1)
names = tree.classes

fig, axes = plt.subplots(1, 2, figsize=(8, 3.9), sharey=True, layout="constrained")
for ax, rows, title in ((axes[0], W, "hierarchy-aware frame"), (axes[1], etf, "simplex ETF")):
    image = ax.imshow(rows @ rows.T, cmap="PuOr_r", vmin=-1, vmax=1)
    ax.set_title(title)
    ax.set_xticks(range(tree.K), names, rotation=60, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(tree.K), names)
fig.colorbar(image, ax=axes, label="cosine", shrink=0.85)
plt.show()

# %%
# In a network ``ufm.HAFrameHead(in_features, spec, d=spec.rank)`` replaces the last linear layer.
