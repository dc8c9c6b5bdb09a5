"""
Gradient flow to neural collapse
================================

Features and classifier of a balanced unconstrained-feature model with a ridge, from a random start.
Within-class spread (NC1), distance from a simplex ETF (NC2) and misalignment of classifier and
class means (NC3) vanish; straight lines are exponential rates.
"""

import matplotlib.pyplot as plt

import ufm


problem = ufm.Problem(K=4, d=6, n=(5,) * 4, reg=ufm.WeightDecay(lam_W=0.02, lam_H=0.004))
flow = ufm.GradientFlow(t_end=2500.0, samples=200, spacing="linear")
sol = ufm.solve(problem, flow, seeds=5)
assert sol.trace is not None
print(sol.value, ufm.predict(problem)[0].value)

# %%
# Observables are recorded along the flow, here of five starts.

metrics = {
    "nc1_share": ("NC1: within-class share", "#16325c", "-"),
    "nc2_etf_err": ("NC2: distance from an ETF", "#b83c14", "--"),
    "nc3_self_dual": ("NC3: classifier against means", "#36a898", "-."),
}
fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for key, (label, color, line) in metrics.items():
    curves = sol.trace.rows[key]
    ax.plot(sol.trace.time, curves.T, color=color, linestyle=line, linewidth=1, alpha=0.8)
    ax.plot([], [], color=color, linestyle=line, label=label)
ax.set(yscale="log", xlabel="flow time", ylabel="metric", xlim=(0, 2500), ylim=(1e-10, 3))
ax.legend(frameon=False, loc="lower left")
plt.show()
