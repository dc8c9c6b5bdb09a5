"""Which classes survive the ridge in problem P: closed forms, certified points, thresholds."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import torch

import ufm
from figures._registry import Axes, Job, figure
from figures._style import GREY, INK, LINES, MARKERS, SERIES, letter
from ufm._spec import spec
from ufm.geometry import center_mean_cos, learnable_frame_optimum, survival_index
from ufm.losses import CenterSquaredError
from ufm.runs import Chunk, RunSpec


VERSION = 1
SIZES, THETA, CENTERS, RIDGE_RATIO = (40, 20, 8, 3), 0.2, 3, 10.0
COUNTS = {
    "equal": (CENTERS,) * len(SIZES),
    "class-aware": ufm.class_aware_centers(SIZES, CENTERS),
    "proportional": ufm.proportional_centers(SIZES, CENTERS),
}
SWEPT = ("equal", "class-aware")
LARGEST = 0.07
POINTS = tuple(round(float(x), 12) for x in np.linspace(0.004, LARGEST, 13))
LINE = tuple(round(float(x), 12) for x in np.linspace(0.0005, LARGEST, 200))
# A class counts as gone when its share of the target is below this in the solved point.
GONE = 1e-4


@spec
class RidgeSweep:
    r"""Problem P with a learnable frame along :math:`\lambda_W = 10\,\lambda_H`.

    Attributes:
        name: Which counts.
        f: Centers of each class.
        n: Class sizes.
        theta: Angle of the centers.
        ridges: Values of :math:`\sqrt{\lambda_W\lambda_H}`.
    """

    name: str
    f: tuple[int, ...]
    n: tuple[int, ...]
    theta: float
    ridges: tuple[float, ...]

    def lam(self, ridge: float) -> tuple[float, float]:
        """Both ridges.

        Args:
            ridge: The root of their product.

        Returns:
            lam_W and lam_H.
        """
        return ridge * math.sqrt(RIDGE_RATIO), ridge / math.sqrt(RIDGE_RATIO)

    def problems(self) -> tuple[ufm.Problem, ...]:
        """P as a model of K logits, one a ridge.

        Returns:
            Problems with weight decay and a learnable classifier.
        """
        loss = CenterSquaredError.of(self.f, n=self.n, theta=self.theta)
        K = len(self.f)
        return tuple(
            ufm.Problem(K=K, d=K, n=self.n, loss=loss, reg=ufm.WeightDecay(*self.lam(ridge)))
            for ridge in self.ridges
        )


def runs() -> list[Job]:
    """Points and lines for equal and class-aware counts; thresholds for all.

    Returns:
        The runs.
    """
    jobs = []
    for name, f in COUNTS.items():
        lines = RidgeSweep(name, f, SIZES, THETA, LINE)
        jobs.append(Job(RunSpec("center-exact", lines, version=VERSION), exact))
        if name in SWEPT:
            points = RidgeSweep(name, f, SIZES, THETA, POINTS)
            method = ufm.LBFGS(gtol=1e-9)
            jobs.append(Job(RunSpec("center-solved", points, method, version=VERSION), solve))
    return jobs


def exact(run: RunSpec) -> Chunk:
    """Producer: the closed forms.

    Args:
        run: Subject a `RidgeSweep`.

    Returns:
        Rows of part ``"exact"``: counts, ridge, k, n, f, ``share`` (the class's own logit over its
        target, 1 without a ridge) and ``threshold`` (the ridge at which the class is lost).
    """
    sweep: RidgeSweep = run.subject
    f, n = (torch.tensor(v, dtype=torch.float64) for v in (sweep.f, sweep.n))
    lam_W, lam_H = torch.tensor([sweep.lam(r) for r in sweep.ridges], dtype=torch.float64).T
    best = learnable_frame_optimum(f, n, theta=sweep.theta, lam_W=lam_W, lam_H=lam_H)
    share = best.w_norm * best.h_norm * center_mean_cos(f, sweep.theta)
    threshold = survival_index(f, n, sweep.theta).sqrt() / (f * n).sum()
    return Chunk(_rows(sweep, share).join(
        pl.DataFrame({"k": list(range(1, len(f) + 1)), "threshold": threshold.numpy()}), on="k"
    ).with_columns(part=pl.lit("exact")))  # fmt: skip


def solve(run: RunSpec) -> Chunk:
    """Producer: certified optima.

    Args:
        run: Subject a `RidgeSweep`, method L-BFGS.

    Returns:
        Rows of part ``"solved"``: counts, ridge, k, n, f, share, gap, certified.
    """
    sweep: RidgeSweep = run.subject
    assert isinstance(run.method, ufm.LBFGS)
    sol, cert = ufm.solve_certified(sweep.problems(), run.method, seeds=run.seeds)
    c = center_mean_cos(torch.tensor(sweep.f, dtype=torch.float64), sweep.theta)
    own = (sol.W @ sol.H).diagonal(dim1=-2, dim2=-1)
    proofs = pl.DataFrame(
        {"ridge": sweep.ridges, "gap": cert.gap.numpy(), "certified": cert.passed.numpy()}
    )
    rows = _rows(sweep, own * c).join(proofs, on="ridge")
    return Chunk(rows.with_columns(part=pl.lit("solved")), {"W": sol.W, "H": sol.H})


def _rows(sweep: RidgeSweep, share: torch.Tensor) -> pl.DataFrame:
    K = len(sweep.f)
    columns = {
        "ridge": np.repeat(sweep.ridges, K),
        "k": list(range(1, K + 1)) * len(sweep.ridges),
        "n": sweep.n * len(sweep.ridges),
        "f": sweep.f * len(sweep.ridges),
        "share": share.flatten().numpy(),
    }
    return pl.DataFrame(columns).with_columns(counts=pl.lit(sweep.name))


def caption(rows: pl.DataFrame) -> str:
    """Caption with the first losses and the agreement.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    first = {
        name: rows.filter(part="exact", counts=name)["threshold"].to_numpy().min()
        for name in COUNTS
    }
    solved = rows.filter(part="solved")
    gone = {name: solved.filter(pl.col("share") < GONE, counts=name).height for name in SWEPT}
    counted = solved.unique(["counts", "ridge"])
    return (
        f"Problem P with a learnable frame, class sizes {', '.join(map(str, SIZES))}, theta = "
        f"{THETA:g}, lam_W = {RIDGE_RATIO:g} lam_H: own logit of each class over its target, with "
        f"(a) {CENTERS} centers each and (b) the published class-aware counts of the same total; "
        "legend: class size and number of centers. Lines: closed form; symbols: solved points, "
        f"{counted['certified'].sum()} of {counted.height} certified, within "
        f"{disagreement(rows):.0e} of the lines. Each class vanishes at its own threshold, not all "
        f"together; {gone['equal']} symbols of (a) and {gone['class-aware']} of (b) are at zero. "
        "(c) The threshold of each class, by size: the first loss is at "
        + ", ".join(f"{value:.3f} ({name})" for name, value in first.items())
        + "."
    )


def disagreement(rows: pl.DataFrame) -> float:
    """Largest difference of a solved share to the closed form.

    Args:
        rows: The table.

    Returns:
        The difference.
    """
    worst = 0.0
    for (name, k), run in rows.filter(part="solved").group_by("counts", "k"):
        line = rows.filter(part="exact", counts=name, k=k)
        threshold = line["threshold"][0]
        predicted = np.maximum(0, 1 - run["ridge"].to_numpy() / threshold)
        worst = max(worst, float(np.abs(run["share"].to_numpy() - predicted).max()))
    return worst


def draw_shares(rows: pl.DataFrame, axes, *, counts: str) -> None:
    """Shares of the targets under one choice of counts.

    Args:
        rows: The table.
        axes: One panel.
        counts: Which counts.
    """
    own = rows.filter(counts=counts)
    for index, (k, n, f) in enumerate(own.select("k", "n", "f").unique().sort("k").iter_rows()):
        line = own.filter(part="exact", k=k).sort("ridge")
        points = own.filter(part="solved", k=k)
        axes.plot(line["ridge"], line["share"], LINES[index], color=SERIES[index])
        axes.plot(
            points["ridge"], points["share"], MARKERS[index], color=SERIES[index],
            markerfacecolor="white", clip_on=False,
        )  # fmt: skip
        axes.plot(
            [], [], LINES[index] + MARKERS[index], color=SERIES[index], markerfacecolor="white",
            label=f"$n={n},\\ f={f}$",
        )  # fmt: skip
    axes.set_xlim(0, LARGEST)
    axes.set_ylim(0, 1)
    axes.set_xlabel(r"ridge $\sqrt{\lambda_W\lambda_H}$")
    axes.set_title(f"{counts} counts")
    axes.legend(loc="upper right", handletextpad=0.4, borderaxespad=0.1)


def draw_thresholds(rows: pl.DataFrame, axes) -> None:
    """The ridge at which each class is lost, under each choice of counts.

    Args:
        rows: The table.
        axes: One panel.
    """
    exact = rows.filter(part="exact").unique(["counts", "k"])
    colors = (GREY, INK, SERIES[2])
    for index, name in enumerate(COUNTS):
        own = exact.filter(counts=name).sort("k")
        axes.plot(
            own["k"], own["threshold"], LINES[index] + MARKERS[index], color=colors[index],
            markerfacecolor="white", label=name,
        )  # fmt: skip
    axes.set_xticks(range(1, len(SIZES) + 1), [str(n) for n in SIZES])
    axes.set_ylim(0, None)
    axes.set_xlabel("class size $n_k$")
    axes.set_ylabel(r"threshold $\sqrt{n_k f_k g_k}\,/\,S$")
    axes.legend(loc="lower left", borderaxespad=0.1)


@figure(
    "center-survival",
    title="Classes that survive the ridge, by the number of their centers",
    claims=("yan2024.survival", "yan2024.thm34", "yan2024.diagonal"),
    panels=(("equal", "class-aware", "threshold"),),
    runs=runs,
    caption=caption,
    aspect=0.38,
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw both sweeps and the thresholds.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    for counts in SWEPT:
        draw_shares(rows, axes[counts], counts=counts)
    axes["equal"].set_ylabel("own logit / target")
    draw_thresholds(rows, axes["threshold"])
    letter(axes, tuple(axes))
