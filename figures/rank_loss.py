"""Long tails: the rank of the optimal logits and the lost classes against the energy."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Patch

import ufm
from figures._registry import Axes, Job, figure
from figures._step_runs import METHOD, log_grid
from figures._style import INK, LINES, MARKERS, SERIES, letter
from ufm._spec import spec
from ufm.problem import Problem
from ufm.runs import Chunk, RunSpec, certificate_rows


VERSION = 1
RHO = 100.0
CELLS = {"right": "#f3ead2", "lost": "#1f3f6e", "undecided": "#d40000"}


@spec
class LongTailSweep:
    """CIFAR-10-LT's class sizes under average budgets of product ``E``.

    Attributes:
        rho: Imbalance n_max / n_min.
        E: Values of E_W E_H.
    """

    rho: float
    E: tuple[float, ...]

    def problems(self) -> tuple[Problem, ...]:
        """The problems.

        Returns:
            One for each product.
        """
        n = ufm.cifar10_lt_sizes(self.rho)
        return tuple(
            Problem(K=len(n), d=len(n) - 1, n=n, reg=ufm.AverageBudget(E_W=1.0, E_H=E))
            for E in self.E
        )


def runs() -> list[Job]:
    """One sweep over the energy.

    Returns:
        The run.
    """
    return [
        Job(
            RunSpec("long-tail", LongTailSweep(RHO, log_grid(-2, 2, 161)), METHOD, version=VERSION),
            sweep,
        )
    ]


def sweep(run: RunSpec) -> Chunk:
    r"""Producer: certified optima and, class by class, what they lose.

    A certificate of gap g fixes each entry of class k's optimal softmax to
    :math:`\sqrt{g/(2\pi_k)}` (Pinsker) and the multiplier :math:`\mu` to
    :math:`\sqrt{2 g \max_k \pi_k}`.

    Args:
        run: Subject a `LongTailSweep`.

    Returns:
        One row a class and energy: E, k, pi, mu, mu_error, argmax of the class's logits, outcome
        (``"right"``, ``"lost"``, ``"undecided"``) and the columns of `certificate_rows`.
    """
    subject: LongTailSweep = run.subject
    sol, cert = ufm.solve_certified(subject.problems(), METHOD, seeds=run.seeds)
    pi = sol.objective().c
    K = pi.shape[-1]
    gap = cert.gap.clamp(min=0) + cert.margin
    Q = torch.eye(K, dtype=pi.dtype) + cert.Y / pi.unsqueeze(-2)
    own = Q.diagonal(dim1=-2, dim2=-1)
    other = (Q - 2 * torch.eye(K, dtype=pi.dtype)).amax(-2)
    # Two entries of one column are each this uncertain.
    doubt = 2 * (gap.unsqueeze(-1) / (2 * pi)).sqrt()
    right, lost = own - other > doubt, other - own > doubt
    outcome = np.select([right.numpy(), lost.numpy()], ["right", "lost"], "undecided")
    classes = pl.DataFrame(
        {
            "instance": np.repeat(np.arange(len(sol)), K),
            "E": np.repeat(np.array(subject.E), K),
            "k": np.tile(np.arange(1, K + 1), len(sol)),
            "pi": pi.flatten().numpy(),
            "mu": torch.linalg.matrix_norm(cert.Y, 2).repeat_interleave(K).numpy(),
            "mu_error": (2 * gap * pi.amax(-1)).sqrt().repeat_interleave(K).numpy(),
            "argmax": (sol.Z.argmax(-2) + 1).flatten().numpy(),
            "outcome": outcome.ravel(),
        }
    )
    rows = classes.join(certificate_rows(sol, cert), on="instance", maintain_order="left")
    return Chunk(rows, {"W": sol.W, "H": sol.H})


def summary(rows: pl.DataFrame) -> pl.DataFrame:
    """Counts at each energy.

    Args:
        rows: The table.

    Returns:
        E, rank, above (classes with ``pi_k > mu``), decided (whether the certificate decides each
        of those comparisons), right (classes that are the argmax of their own logits).
    """
    above = pl.col("pi") > pl.col("mu")
    decided = (pl.col("pi") - pl.col("mu")).abs() > pl.col("mu_error")
    return (
        rows.group_by("E", maintain_order=True)
        .agg(
            pl.col("rank").first(),
            above.sum().alias("above"),
            decided.all().alias("decided"),
            (pl.col("outcome") == "right").sum().alias("right"),
        )
        .sort("E")
    )


def caption(rows: pl.DataFrame) -> str:
    """Caption with what is certified.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    counts = summary(rows)
    passed = rows.unique("instance")["certified"].sum()
    rule = counts.filter(
        (pl.col("rank") == pl.col("above")) | (pl.col("rank") == pl.col("above") - 1)
    ).height
    undecided = rows.filter(outcome="undecided").height
    return (
        f"Layer-peeled model with the class sizes of CIFAR-10-LT, rho = {RHO:g}, against E_W E_H. "
        "(a) Rank of the optimal logits, number of classes whose share pi_k exceeds the multiplier "
        "mu, and number of classes that win their own logits. (b) Which classes win their own "
        "logits (pale) and which are lost even on the training data (dark); above the line "
        f"pi_k > mu. {passed} of {counts.height} optima are certified; the rank is the second or "
        f"one less than it in {rule} of them; {undecided} of {rows.height} cells are too close to "
        "a tie for the certificate to decide."
    )


def draw_counts(rows: pl.DataFrame, axes) -> None:
    """Rank and counts against the energy.

    Args:
        rows: The table.
        axes: One panel.
    """
    counts = summary(rows)
    names = {"rank": r"rank of $Z$", "above": r"#$\{\pi_k>\mu\}$", "right": "classes not lost"}
    for index, (name, label) in enumerate(names.items()):
        axes.step(
            counts["E"], counts[name], LINES[index], where="mid", color=SERIES[index], label=label,
            marker=MARKERS[index], markevery=(4 + 5 * index, 16), markerfacecolor="white",
        )  # fmt: skip
    axes.set_ylim(0, 10.5)
    axes.set_yticks(range(0, 11, 2))
    axes.set_ylabel("count")
    axes.legend(loc="upper left")


def draw_classes(rows: pl.DataFrame, axes) -> None:
    """Lost classes against the energy, with the line ``pi_k = mu``.

    Args:
        rows: The table.
        axes: One panel.
    """
    rows = rows.sort("k", "E")
    E = rows["E"].unique().sort().to_numpy()
    K = int(rows["k"].to_numpy().max())
    code = np.array([list(CELLS).index(outcome) for outcome in rows["outcome"]])
    axes.pcolormesh(
        E, np.arange(1, K + 1), code.reshape(K, len(E)), shading="nearest", rasterized=True,
        cmap=ListedColormap(list(CELLS.values())), norm=BoundaryNorm(np.arange(4) - 0.5, 3),
    )  # fmt: skip
    above = summary(rows)["above"].to_numpy()
    axes.step(E, above + 0.5, "--", where="mid", color=SERIES[1], linewidth=1.6)
    axes.set_ylim(K + 0.5, 0.5)
    axes.set_yticks(range(1, K + 1))
    axes.set_ylabel("class $k$, largest first")
    shown = [name for name in CELLS if name in set(rows["outcome"])]
    handles = [Patch(facecolor=CELLS[name], edgecolor=INK, label=name) for name in shown]
    handles += axes.plot([], [], "--", color=SERIES[1], label=r"$\pi_k>\mu$ above this")
    axes.legend(handles=handles, loc="upper right", frameon=True, framealpha=1)


@figure(
    "rank-loss",
    title="Rank loss and lost classes under a long tail",
    claims=("fang2021.rank-drop", "fang2021.tight-rank"),
    panels=(("counts", "classes"),),
    runs=runs,
    caption=caption,
    aspect=0.36,
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw both panels.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    draw_counts(rows, axes["counts"])
    draw_classes(rows, axes["classes"])
    for panel in axes.values():
        panel.set_xscale("log")
        panel.set_xlabel(r"energy product $E_W E_H$")
        panel.set_xlim(1e-2, 1e2)
    letter(axes, tuple(axes))
