"""
Class-aware center counts for CIFAR-100-LT
==========================================

A multi-center frame gives every class some centers, and rare classes more of them
:cite:p:`yan2024`. The published rule reverses the profile of the class sizes; a rule in proportion
to 1/n, which is defined for any profile, gives nearly the same numbers for this exponential one.
"""

import matplotlib.pyplot as plt

import ufm


n = ufm.cifar100_lt_sizes(rho=100)  # 500 images of the first class, 5 of the last
f = 20  # centers a class, on average
counts = {
    "published rule": ufm.class_aware_centers(n, f),
    "in proportion to 1/n": ufm.proportional_centers(n, f),
}
for name, centers in counts.items():
    print(f"{name}: {centers[0]} to {centers[-1]} centers, {sum(centers)} in total")

# %%
# Class sizes fall where counts rise.

fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
ax.fill_between(range(len(n)), n, step="mid", color="0.88", label="training images")
for (name, centers), color, line in zip(
    counts.items(), ("#16325c", "#b83c14"), ("-", "--"), strict=True
):
    ax.step(range(len(n)), centers, where="mid", color=color, linestyle=line, label=name)
ax.set(yscale="log", xlim=(0, 99), xlabel="class, from frequent to rare")
ax.set_ylabel("training images, centers")
ax.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, 1.14), frameon=False)
plt.show()

# %%
# In a network: ``ufm.MultiCenterHead(in_features, ufm.MultiCenter(counts, theta=0.2), d=...)``.
