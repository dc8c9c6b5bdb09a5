"""How far from the hierarchy-aware frame the optimum of each loss is, against the feature norm."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import polars as pl
import torch
from scipy.optimize import nnls

import ufm
from figures._registry import Axes, Job, figure
from figures._sphere_newton import ball_gap, minimise
from figures._style import GREY, LINES, MARKERS, SERIES, letter
from figures.similarity_limit import caterpillar
from ufm._spec import spec
from ufm._typing import Float, Tensor
from ufm.geometry import Exponential, frame
from ufm.losses import CrossEntropy
from ufm.runs import Chunk, RunSpec


VERSION = 1
K, GAMMA, ALPHA, BETA = 8, 2.0, 0.4, 4.0
RADII = tuple(float(f"{x:.12g}") for x in np.geomspace(0.5, 16, 16))
TREES = {
    "flat": ufm.Tree.from_nested(list(range(K))),
    "balanced": ufm.Tree.from_nested([[[0, 1], [2, 3]], [[4, 5], [6, 7]]]),
    "caterpillar": caterpillar(K),
    "mixed": ufm.Tree.from_nested([[0, 1, 2, 3], [4, [5, 6]], 7]),
}
LOSSES = {
    "ce": "cross-entropy",
    "mix": rf"mix, $\alpha={ALPHA:g}$",
    "targets": rf"calibrated targets, $\beta={BETA:g}$",
    "aligned": "auxiliary loss alone",
}
# Gap of the optima on spheres, and of the margins, that counts as a proof.
GAP = 1e-10
# Smaller angles are drawn here; their largest is in the caption.
FLOOR = 1e-3


@spec
class AngleSweep:
    """Features of one sample a class, the classifier fixed to a frame, and limits of their norm.

    Attributes:
        tree: Name of the tree.
        frame: The classifier.
        radii: Largest feature norms.
        loss: One of `LOSSES`.
        alpha: Weight of the auxiliary loss in the mix.
        beta: Norm at which the soft targets are calibrated.
    """

    tree: str
    frame: ufm.HAFrame
    radii: tuple[float, ...] = ()
    loss: str = "ce"
    alpha: float = 0.0
    beta: float = 0.0

    def problems(self) -> tuple[ufm.Problem, ...]:
        """The models of the losses on logits, one a radius.

        Returns:
            Problems with a fixed classifier, in the dimension of its span.
        """
        loss = CrossEntropy() if self.loss == "ce" else ufm.SoftTargets(self.frame, self.beta)
        K, fixed = self.frame.tree.K, ufm.Fixed(self.frame)
        return tuple(
            ufm.Problem(
                K=K, d=self.frame.rank, n=(1,) * K, loss=loss, classifier=fixed,
                reg=ufm.VectorBudget(E_W=1.0, E_H=radius**2),
            )
            for radius in self.radii
        )  # fmt: skip


def runs() -> list[Job]:
    """Each tree with each loss, and the directions of largest margin.

    Returns:
        The runs.
    """
    jobs = []
    for name, tree in TREES.items():
        rows = ufm.HAFrame(tree, Exponential(GAMMA))
        for loss in ("ce", "targets"):
            sweep = AngleSweep(name, rows, RADII, loss, beta=BETA * (loss == "targets"))
            run = RunSpec("frame-angle", sweep, ufm.LBFGS(gtol=1e-12), version=VERSION)
            jobs.append(Job(run, solved_angles))
        for loss, alpha in (("mix", ALPHA), ("aligned", 1.0)):
            sweep = AngleSweep(name, rows, RADII, loss, alpha=alpha)
            run = RunSpec("frame-angle", sweep, ufm.Newton(), version=VERSION)
            jobs.append(Job(run, sphere_angles))
        margin = RunSpec("frame-margin", AngleSweep(name, rows), version=VERSION)
        jobs.append(Job(margin, margin_angles))
    return jobs


def solved_angles(run: RunSpec) -> Chunk:
    """Producer: certified optima of the models on logits.

    Args:
        run: Subject an `AngleSweep` of the losses ``ce`` and ``targets``, method L-BFGS.

    Returns:
        Rows of `_rows`; ``gap`` is the certificate's.
    """
    assert isinstance(run.method, ufm.LBFGS)
    sol, cert = ufm.solve_certified(run.problems(), run.method, seeds=run.seeds)
    return Chunk(_rows(run.subject, sol.H.mT, cert.gap, cert.passed), {"H": sol.H})


def sphere_angles(run: RunSpec) -> Chunk:
    r"""Producer: optima of the losses that see cosines, on spheres, by Newton's method.

    On :math:`\|h\| = \rho` the mix is :math:`F(h) = (1-\alpha)\,\mathrm{CE}(Wh) +
    \alpha\|Wh/\rho - S_y\|^2`, convex in h. So :math:`\langle\nabla F, h\rangle +
    \rho\|\nabla F\|`, the Frank-Wolfe gap, bounds the excess of h over the least value in the whole
    ball. Newton starts at the normalised mean of the own row and another one's.

    Args:
        run: Subject an `AngleSweep` of the losses ``mix`` and ``aligned``, method Newton.

    Returns:
        Rows of `_rows`; ``gap`` is the largest Frank-Wolfe gap of the classes.
    """
    sweep, method = run.subject, run.method
    assert isinstance(method, ufm.Newton)
    loss = ufm.CosineAlignment() if sweep.loss == "aligned" else ufm.HAFrameMix(alpha=sweep.alpha)
    W, y = rows_of(sweep.frame), torch.arange(sweep.frame.tree.K)
    found, gaps = [], []
    for radius in sweep.radii:
        start = radius * torch.nn.functional.normalize(W + 0.5 * W.roll(1, 0), dim=-1)
        H = minimise(lambda H: loss.value(H, W, y), start, steps=method.max_steps, tol=method.gtol)
        found.append(H)
        gaps.append(ball_gap(convex_gradient(sweep, W, H), H).amax())
    gap = torch.stack(gaps)
    return Chunk(_rows(sweep, torch.stack(found), gap, gap < GAP))


def margin_angles(run: RunSpec) -> Chunk:
    r"""Producer: directions of largest margin :math:`\min_c\langle w_y - w_c, u\rangle`.

    The direction of the point of least norm in the convex hull of the differences, by non-negative
    least squares; the gap is that norm, an upper bound of every margin, less the margin reached.

    Args:
        run: Subject an `AngleSweep`; its frame is used.

    Returns:
        Rows of `_rows` at an infinite radius, loss ``"margin"``.
    """
    sweep = dataclasses.replace(run.subject, radii=())
    W = rows_of(sweep.frame).numpy()
    found, gaps = [], []
    for y in range(len(W)):
        apart = np.delete(W[y] - W, y, 0)
        system = np.vstack([apart.T, np.ones(len(apart))])
        shares, _ = nnls(system, np.append(np.zeros(W.shape[1]), 1.0))
        nearest = apart.T @ (shares / shares.sum())
        found.append(nearest / np.linalg.norm(nearest))
        gaps.append(np.linalg.norm(nearest) - (apart @ found[-1]).min())
    gap = torch.tensor([max(gaps)])
    rows = _rows(sweep, torch.from_numpy(np.stack(found))[None], gap, gap < GAP)
    return Chunk(rows.with_columns(loss=pl.lit("margin")))


def convex_gradient(
    sweep: AngleSweep, W: Float[Tensor, "K d"], H: Float[Tensor, "K d"]
) -> Float[Tensor, "K d"]:
    """Gradient of the convex extension F of a loss on spheres, see `sphere_angles`.

    Args:
        sweep: Weight of its auxiliary loss.
        W: Unit rows.
        H: Features of the classes as rows.

    Returns:
        Gradients.
    """
    Z, radius = H @ W.mT, H.norm(dim=-1, keepdim=True)
    softmax = Z.softmax(-1) - torch.eye(len(W), dtype=W.dtype)
    aligned = 2 * (Z / radius - W @ W.mT) / radius
    return ((1 - sweep.alpha) * softmax + sweep.alpha * aligned) @ W


def rows_of(spec: ufm.HAFrame) -> Float[Tensor, "K d"]:
    """Rows of a frame in the dimension of their span.

    Args:
        spec: The frame.

    Returns:
        The rows.
    """
    return frame(spec, spec.tree.K, spec.rank)


def _rows(
    sweep: AngleSweep, H: Float[Tensor, "R K d"], gap: Tensor, passed: Tensor
) -> pl.DataFrame:
    """Rows: tree, loss, radius, angle (largest of the classes, degrees), norm, gap, certified."""
    W = rows_of(sweep.frame)
    norm = H.norm(dim=-1)
    chord = (H / norm.unsqueeze(-1) - W).norm(dim=-1)
    angle = torch.rad2deg(2 * torch.asin(chord / 2)).amax(-1)
    columns = {
        "radius": sweep.radii or (math.inf,), "angle": angle.numpy(), "norm": norm.amax(-1).numpy(),
        "gap": gap.numpy(), "certified": passed.numpy(),
    }  # fmt: skip
    return pl.DataFrame(columns).with_columns(tree=pl.lit(sweep.tree), loss=pl.lit(sweep.loss))


def caption(rows: pl.DataFrame) -> str:
    """Caption with the angles at the ends and the largest gap.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    solved = rows.filter(pl.col("loss") != "margin")
    flat = solved.filter(tree="flat")["angle"].to_numpy().max()
    still = solved.filter(loss="aligned")["angle"].to_numpy().max()
    reached = solved.filter(
        (pl.col("loss") == "targets") & (pl.col("radius") >= pl.col("radius").max() / 2)
    )["angle"].to_numpy()
    top = rows.filter(loss="margin").sort("angle", maintain_order=True)[-1]
    return (
        "Largest angle over the classes between the optimal feature and its row of the fixed "
        f"hierarchy-aware frame (K = {K}, gamma = {GAMMA:g}, s*, d = K - 1) against the feature "
        "norm rho: cross-entropy and calibrated soft targets in the ball of radius rho, the mix "
        "and the auxiliary loss on its sphere. Cross-entropy alone moves away from the frame on "
        "every tree that is not flat, towards the direction of largest margin (grey line, up to "
        f"{top['angle'][0]:.1f} degrees); the mix leaves it while cross-entropy is unsaturated and "
        "comes back as the norm grows; the soft targets reach it at their norm beta. "
        f"Angles below {FLOOR:g} degrees are drawn at the bottom: at most {still:.0e} for the "
        f"auxiliary loss, {reached.max():.0e} for the soft targets from rho = "
        f"{_largest(rows) / 2:g} on, and {flat:.0e} for every loss on the flat tree, whose frame "
        f"is the simplex ETF. {solved['certified'].sum()} of {solved.height} optima are proved "
        f"within {solved['gap'].to_numpy().max():.0e} of the global minimum (duality or convexity)."
    )


def _largest(rows: pl.DataFrame) -> float:
    return float(rows.filter(pl.col("loss") != "margin")["radius"].to_numpy().max())


def draw_angles(rows: pl.DataFrame, axes, *, tree: str) -> None:
    """Angles of the losses on one tree.

    Args:
        rows: The table.
        axes: One panel.
        tree: Name of the tree.
    """
    own = rows.filter(tree=tree)
    for index, (loss, label) in enumerate(LOSSES.items()):
        run = own.filter(loss=loss).sort("radius")
        axes.plot(
            run["radius"], run["angle"].clip(FLOOR), LINES[index] + MARKERS[index],
            color=SERIES[index], markerfacecolor="white", label=label, clip_on=False,
            zorder=4 - index,
        )  # fmt: skip
    limit = float(own.filter(loss="margin")["angle"][0])
    axes.axhline(max(limit, FLOOR), color=GREY, linewidth=1.0, zorder=0)
    axes.set_title(tree)
    most = float(own["angle"].to_numpy().max())
    if most < FLOOR:
        axes.annotate(
            f"all below\n$10^{{{math.ceil(math.log10(most))}}}$ degrees", (0.5, 0.5),
            xycoords="axes fraction", ha="center", va="center",
        )  # fmt: skip


@figure(
    "frame-angles",
    title="Which losses have the hierarchy-aware frame as their optimum",
    claims=(
        "liang2023.ce-frame", "liang2023.alignment", "liang2023.mix-limit",
        "liang2023.max-margin", "liang2023.calibrated-fixed",
    ),
    panels=(("flat", "balanced", "caterpillar", "mixed"),),
    runs=runs,
    caption=caption,
    aspect=0.36,
    options={"sharey": True, "sharex": True},
)  # fmt: skip
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw the four trees.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    for tree in TREES:
        draw_angles(rows, axes[tree], tree=tree)
        axes[tree].set_xscale("log")
        axes[tree].set_yscale("log")
        axes[tree].set_ylim(FLOOR, 100)
        axes[tree].set_xticks([0.5, 1, 2, 4, 8, 16], ["0.5", "1", "2", "4", "8", "16"])
        axes[tree].minorticks_off()
        axes[tree].set_xlabel(r"feature norm $\rho$")
    first = axes["flat"]
    first.set_yticks(
        [FLOOR, 1e-2, 0.1, 1, 10, 100], [r"$\leq 10^{-3}$", "0.01", "0.1", "1", "10", "100"]
    )
    first.set_ylabel("angle to the frame (degrees)")
    first.plot([], [], color=GREY, linewidth=1.0, label="largest margin")
    first.figure.legend(
        *first.get_legend_handles_labels(), loc="outside lower center", ncols=len(LOSSES) + 1
    )
    letter(axes, tuple(axes))
