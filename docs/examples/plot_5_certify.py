"""
Certify your own point
======================

A certificate bounds how far a point is from the global minimum, whoever found it. Here the points
lie between a simplex ETF, the optimum of this model, and a random feasible one. The lower bound
holds at all of them and is tight at the optimum.
"""

import matplotlib.pyplot as plt
import numpy as np

import ufm


K = 4
problem = ufm.Problem(K=K, d=K, n=(25,) * K, reg=ufm.AverageBudget(E_W=1.0, E_H=1.0))
best = ufm.etf(K, K).numpy()
other = np.random.default_rng(0).standard_normal((K, K))


def feasible(rows):
    """Rows of mean squared norm 1."""
    return rows * np.sqrt(K / np.square(rows).sum())


# %%
# Arrays in, a bound for each out: a batch of points of one model is a leading axis.

share = np.linspace(0, 1, 41)
W = np.stack([feasible((1 - t) * best + t * feasible(other)) for t in share])
sol = ufm.Solution.from_arrays(problem, W=W, H=W.transpose(0, 2, 1))
cert = ufm.certify(sol)
print(f"certified as optimal: {int(cert.passed.sum())} of {len(share)} points")
print(cert[0])

# %%
# The optimum is somewhere in the band: narrow means proved to be good.

fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
ax.plot(share, cert.primal, color="#16325c", label="value of the point")
ax.plot(share, cert.dual, color="#b83c14", linestyle="--", label="lower bound from the point")
ax.fill_between(share, cert.dual, cert.primal, color="0.9", label="gap")
ax.set(xlim=(0, 1), xlabel="share of the random point", ylabel="cross-entropy")
ax.legend(frameon=False)
plt.show()
