r"""
A certified phase diagram of minority collapse
==============================================

Ten classes, five of them with R times the samples of the other five. In the layer-peeled model the
classifiers of the minority merge once R passes a threshold :math:`R_0` :cite:p:`fang2021`, and are
zero beyond a second one, :math:`R_1`. Here the model is solved at 600 points of the plane, every
optimum is certified, and the closed forms drawn on top have not seen any of them.
"""

import matplotlib.pyplot as plt
import numpy as np

import ufm


K, K_A = 10, 5
ratio = np.logspace(0, 4, 30)
energy = np.linspace(0.25, 5, 20)
R, E = (grid.ravel() for grid in np.meshgrid(ratio, energy))

# %%
# One template, and what differs between instances as arrays.

template = ufm.Problem(K=K, d=K, n=(1,) * K, reg=ufm.AverageBudget(E_W=1.0))
weights = np.where(np.arange(K) < K_A, R[:, None], 1.0)
batch = ufm.ProblemBatch(template, weights=weights, E_H=E)
sol, cert = ufm.solve_certified(batch)
print(f"{int(cert.passed.sum())} of {len(batch)} certified, largest gap {cert.gap.max():.1e}")

# %%
# Two minority classifiers coincide beyond the first threshold, and vanish beyond the second.

w, v = sol.W[:, -1], sol.W[:, -2]
shown = {"distance of two minority classifiers": (w - v).norm(dim=-1),
         "norm of a minority classifier": w.norm(dim=-1)}  # fmt: skip
E_line = np.linspace(0.25, 5, 500)
tau = K * np.sqrt(E_line)
curves = {"$R_0$": ufm.R0(K_A, K - K_A, tau), "$R_1$": ufm.R1(K_A, K - K_A, tau)}

fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.6), sharey=True, layout="constrained")
for ax, (title, values) in zip(axes, shown.items(), strict=True):
    image = ax.pcolormesh(ratio, energy, values.reshape(len(energy), -1).numpy(), cmap="cividis")
    for (name, threshold), line in zip(curves.items(), ("--", ":"), strict=True):
        ax.plot(threshold, E_line, color="white", linewidth=2, linestyle=line, label=name)
    ax.set(xscale="log", xlim=(1, 1e4), ylim=(0.25, 5), xlabel="imbalance ratio $R$", title=title)
    fig.colorbar(image, ax=ax)
axes[0].set_ylabel("energy $E_W E_H$")
axes[0].legend(loc="lower right", facecolor="black", labelcolor="white", framealpha=0.5)
plt.show()
