"""Collapse to multiple centers in trained networks: NC goes down, the published sigma does not."""

from __future__ import annotations

import polars as pl

from figures._network_results import curve, job, seeds, there
from figures._registry import Axes, Job, figure
from figures._style import MARKERS, SERIES


METHODS = {"al": "--", "cal": "-"}
DATA = {"digits": "digits", "digits-lt": r"digits, $\rho=10$"}
FASHION = "fashion-lt-cal"
# These join when they have been trained.
LATER = {
    "yan2024-cifar10-lt200": r"CIFAR-10, $\rho=200$",
    "yan2024-cifar100-lt200": r"CIFAR-100, $\rho=200$",
}
METRICS = {"nc_ave": "NC mean", "nc_std": "NC standard deviation", "sigma": r"variability $\sigma$"}


def runs() -> list[Job]:
    """AL and CAL on digits, CAL on Fashion-MNIST, both on CIFAR where results are stored.

    Returns:
        The runs.
    """
    later = there([f"{data}-{method}" for data in LATER for method in METHODS])
    digits = [f"{data}-{method}" for data in DATA for method in METHODS]
    return [job(name) for name in (*digits, FASHION, *later)]


def limit(rows: pl.DataFrame, recipe: str) -> float | None:
    """Predicted limit of sigma.

    Args:
        rows: The table.
        recipe: Which network.

    Returns:
        The limit, or None where the file has too many classes to tell their sizes.
    """
    found = rows.filter(part="limit", recipe=recipe)["value"]
    return float(found[0]) if len(found) else None


def caption(rows: pl.DataFrame) -> str:
    """Caption with the last sigma and its limit.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    ends = "; ".join(
        f"{method.upper()} on {words}: {curve(rows, name, 'sigma')[1][-1]:.4f} "
        f"({limit(rows, name):.4f})"
        for data, words in (
            ("digits", "balanced digits"),
            ("digits-lt", "long-tailed digits"),
            ("fashion-lt", "long-tailed Fashion-MNIST"),
        )
        for method in METHODS
        if limit(rows, name := f"{data}-{method}") is not None
    )
    missing = "" if _later(rows) else " Long-tailed CIFAR is not yet run."
    return (
        "Networks trained with the average loss AL (20 centers a class) and the class-aware loss "
        "CAL, theta = .2, training images: mean and standard deviation over samples of NC, the "
        "squared distance of a unit feature to its class's mean center, and the published "
        "variability sigma, one minus the mean cosine to the class vector. Geometric mean over "
        f"seeds ({seeds(rows)} of each) with the 95 % t-interval of the logarithm; diamonds at the "
        "right are the predicted limits of sigma, which are not zero. Sigma at the end (limit): "
        f"{ends}.{missing}"
    )


def _later(rows: pl.DataFrame) -> list[str]:
    present = set(rows["recipe"])
    return [data for data in LATER if any(f"{data}-{method}" in present for method in METHODS)]


def draw_metric(rows: pl.DataFrame, axes, *, metric: str) -> None:
    """One metric of all networks against the share of training.

    Args:
        rows: The table.
        axes: One panel.
        metric: Column.
    """
    names = DATA | {"fashion-lt": r"Fashion, $\rho=50$"}
    names |= {data: LATER[data] for data in _later(rows)}
    for index, (color, (data, label)) in enumerate(zip(SERIES, names.items(), strict=False)):
        for method, line in METHODS.items():
            recipe = f"{data}-{method}"
            epoch, mean, low, high = curve(rows, recipe, metric)
            if not len(epoch):
                continue
            share = epoch / rows.filter(recipe=recipe)["epochs"][0]
            axes.fill_between(share, low, high, color=color, alpha=0.2, linewidth=0)
            axes.plot(share, mean, line, color=color, marker=MARKERS[index], markevery=0.2,
                      fillstyle=_fill(method), markersize=2.5,
                      label=f"{method.upper()}, {label}")  # fmt: skip
            end = limit(rows, recipe)
            if metric == "sigma" and end is not None:
                axes.plot([1.04], [end], "D", color=color, fillstyle=_fill(method), clip_on=False)
    axes.set_xlabel("share of training")
    axes.set_title(METRICS[metric], fontsize="medium")


def _fill(method: str) -> str:
    return "full" if method == "cal" else "none"


@figure(
    "network-centers",
    title="Collapse to multiple centers in trained networks",
    claims=("yan2024.variability", "yan2024.cosine-minimiser"),
    panels=(tuple(METRICS),),
    runs=runs,
    caption=caption,
    aspect=0.36,
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Three metrics side by side.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    for metric in METRICS:
        draw_metric(rows, axes[metric], metric=metric)
    for metric in ("nc_ave", "nc_std"):
        axes[metric].set_yscale("log")
    axes["sigma"].set_ylim(0, 1)
    axes["nc_ave"].set_ylabel("over training samples")
    handles, labels = axes["nc_ave"].get_legend_handles_labels()
    axes["nc_ave"].figure.legend(handles, labels, loc="outside upper center", ncols=3)
