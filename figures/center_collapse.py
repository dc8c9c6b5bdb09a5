"""Collapse metrics along the flow of the cosine loss: one count for all classes, or class-aware."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch

import ufm
from figures._cosine_flow import flow
from figures._registry import Axes, Job, figure
from figures._style import INK, LINES, SERIES, letter
from ufm._spec import spec
from ufm.geometry import multicenter_frame
from ufm.losses import CosineRegression
from ufm.metrics.multicenter import collapsed_sigma, multicenter_collapse
from ufm.runs import Chunk, RunSpec


VERSION = 1
RHO, CENTERS, THETA, SHRINK = 100.0, 20, 0.2, 50
TIMES = (0.0, *(float(f"{t:.12g}") for t in np.geomspace(1e-3, 100, 61)))
LOSSES = {"AL": "AL: 20 centers each", "CAL": "CAL: class-aware centers"}
METRICS = {
    "nc_ave": r"mean $\mathrm{NC}_{\mathrm{ave}}$",
    "nc_std": r"deviation $\mathrm{NC}_{\mathrm{std}}$",
    "sigma": r"variability $\sigma$",
}


@spec
class CosineFlow:
    """Unit features starting in random directions, under the cosine loss of a frame.

    Attributes:
        name: ``AL`` or ``CAL``.
        frame: Class vectors and centers.
        n: Samples a class.
        loss: The loss.
        times: Times recorded.
    """

    name: str
    frame: ufm.MultiCenter
    n: tuple[int, ...]
    loss: CosineRegression
    times: tuple[float, ...]


def runs() -> list[Job]:
    """Both losses from the same start.

    Returns:
        The runs.
    """
    sizes = ufm.cifar10_lt_sizes(RHO)
    n = tuple(max(1, size // SHRINK) for size in sizes)
    counts = {"AL": (CENTERS,) * len(n), "CAL": ufm.class_aware_centers(sizes, CENTERS)}
    return [
        Job(
            RunSpec(
                "cosine-flow",
                CosineFlow(name, ufm.MultiCenter(f, THETA), n, CosineRegression(), TIMES),
                version=VERSION,
            ),
            collapse,
        )
        for name, f in counts.items()
    ]


def start(subject: CosineFlow, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit features in uniformly random directions, and their classes.

    Args:
        subject: Frame and class sizes.
        seed: Seed.

    Returns:
        Rows and labels.
    """
    y = torch.repeat_interleave(torch.arange(len(subject.n)), torch.tensor(subject.n))
    generator = torch.Generator().manual_seed(seed)
    H = torch.randn(len(y), subject.frame.d_min, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(H, dim=-1), y


def collapse(run: RunSpec) -> Chunk:
    r"""Producer: metrics along the flow, and what is predicted for its end.

    A class of one center has the loss :math:`(1-\cos\varphi)^2`, whose minimum is quartic:
    :math:`\varphi^2 \to 1/(2\beta t)`, :math:`\beta = \cos\alpha_k = 1`. So NC_ave falls like
    :math:`\sum_{f_k=1} \frac{n_k}{N}\frac{1}{2t}` if there is one, and exponentially if not.

    Args:
        run: Subject a `CosineFlow`.

    Returns:
        Rows: loss, time, nc_ave, nc_std, sigma, the predicted limit of sigma, ``tail`` (predicted
        ``t NC_ave``; 0 if it falls exponentially) and ``length``, the largest deviation of a
        feature's norm from 1.
    """
    subject: CosineFlow = run.subject
    parts = multicenter_frame(subject.frame)
    H, y = start(subject, run.seeds[0])
    path = flow(subject.loss, parts, H, y=y, times=subject.times)
    found = multicenter_collapse(path.mT, y, parts)
    n = torch.tensor(subject.n, dtype=torch.float64)
    single = torch.tensor(subject.frame.f) == 1
    limit = collapsed_sigma(subject.frame, n)
    columns = {
        "time": list(subject.times),
        **{name: getattr(found, name).numpy() for name in METRICS},
        "length": (path.norm(dim=-1) - 1).abs().amax(-1).numpy(),
    }
    return Chunk(
        pl.DataFrame(columns).with_columns(
            loss=pl.lit(subject.name),
            limit=pl.lit(float(limit)),
            tail=pl.lit(float(n[single].sum() / n.sum() / 2)),
        )
    )


def caption(rows: pl.DataFrame) -> str:
    """Caption with the ends.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    ends = {name: rows.filter(loss=name).sort("time")[-1] for name in LOSSES}
    said = "; ".join(
        f"{name} NC_ave {end['nc_ave'][0]:.0e}, sigma {end['sigma'][0]:.4f} (predicted "
        f"{end['limit'][0]:.4f})"
        for name, end in ends.items()
    )
    return (
        f"Gradient flow of the cosine loss over free unit features, random start, CIFAR-10-LT at "
        f"ratio {RHO:g} with {SHRINK} times fewer samples, theta = {THETA:g}, {CENTERS} centers a "
        "class on average; time is that of one sample's own loss. (a) Mean and (b) standard "
        "deviation over samples of the squared distance to the class's mean center direction: both "
        "tend to 0, the deviation under CAL after a rise. Under AL they fall exponentially; under "
        "CAL the largest class has a single center, for which the minimum is quartic, and NC_ave "
        "falls like 1/t (dotted: predicted). (c) One minus the cosine to the class vector does not "
        f"tend to 0 but to a number known from the frame (dotted). At t = "
        f"{rows['time'].max():g}: {said}."
    )


def draw_metric(rows: pl.DataFrame, axes, *, metric: str) -> None:
    """One metric of both losses over time.

    Args:
        rows: The table.
        axes: One panel.
        metric: Name of the metric.
    """
    for index, (name, label) in enumerate(LOSSES.items()):
        run = rows.filter(pl.col("time") > 0, loss=name).sort("time")
        axes.plot(run["time"], run[metric], LINES[index], color=SERIES[index], label=label)
        if metric == "sigma":
            axes.axhline(run["limit"][0], color=INK, linestyle=":", linewidth=1.3)
        elif metric == "nc_ave" and run["tail"][0] > 0:
            late = run.filter(pl.col("time") >= 10)
            axes.plot(late["time"], late["tail"] / late["time"], ":", color=INK, linewidth=1.3)
    axes.set_xscale("log")
    axes.set_xlim(1e-3, TIMES[-1])
    axes.set_xticks([1e-3, 1e-2, 0.1, 1, 10, 100])
    axes.set_xlabel("flow time $t$")
    axes.set_ylabel(METRICS[metric])
    if metric == "sigma":
        axes.set_ylim(0, 1.1)
    else:
        axes.set_yscale("log")
        axes.set_ylim(1e-6, 10)
        axes.set_yticks([10.0**k for k in range(-6, 2, 2)])
    axes.minorticks_off()


@figure(
    "center-collapse",
    title="Collapse to the means of several centers",
    claims=("yan2024.cosine-minimiser", "yan2024.variability"),
    panels=(("nc_ave", "nc_std", "sigma"),),
    runs=runs,
    caption=caption,
    aspect=0.38,
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw the three metrics.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    for metric in METRICS:
        draw_metric(rows, axes[metric], metric=metric)
    first = axes["nc_ave"]
    first.plot([], [], ":", color=INK, linewidth=1.3, label="predicted")
    first.figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    letter(axes, tuple(axes))
