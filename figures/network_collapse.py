"""Neural collapse of trained networks along training: which heads bring it about."""

from __future__ import annotations

import polars as pl

from figures._network_results import curve, job, last, seeds
from figures._registry import Axes, Job, figure
from figures._style import LINES, SERIES


METHODS = {"ce": "CE, learned", "etf-dr": "ETF + DR", "haframe": "HAFrame", "cal": "CAL"}
DATA = {
    "digits": "digits, balanced",
    "digits-lt": r"digits, $\rho=10$",
    "fashion-lt": r"Fashion, $\rho=50$",
}
DIGITS = ("digits", "digits-lt")
FASHION = ("ce", "etf-dr", "cal")
METRICS = {
    "nc1_quot": "NC1: within / between",
    "nc2_etf_err": "NC2: distance to ETF",
    "nc3_self_dual": "NC3: self-duality",
    "angle_mean": "angle to own frame (°)",
}
PANELS = tuple(tuple(f"{data} {metric}" for metric in METRICS) for data in DATA)


def runs() -> list[Job]:
    """The stored results of four methods on digits, and of three on long-tailed Fashion-MNIST.

    Returns:
        The runs.
    """
    return [job(f"{data}-{method}") for data in DATA for method in methods_on(data)]


def methods_on(data: str) -> tuple[str, ...]:
    """Methods that were trained on some data.

    Args:
        data: The data.

    Returns:
        Their names.
    """
    return tuple(METHODS) if data in DIGITS else FASHION


def caption(rows: pl.DataFrame) -> str:
    """Caption with the last angles and distances.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    ends = "; ".join(
        f"{label} "
        + " / ".join(
            f"{last(rows, f'{data}-{method}', 'angle_mean'):.1f}"
            for data in DATA
            if method in methods_on(data)
        )
        for method, label in METHODS.items()
    )
    distances = " and ".join(f"{last(rows, f'{data}-ce', 'nc2_etf_err'):.2f}" for data in DIGITS)
    return (
        "Collapse on training images: a two-layer network on scikit-learn's digits, balanced and "
        "long-tailed, and ResNet-20 on long-tailed Fashion-MNIST, which was stopped before its "
        f"training error was zero. Geometric mean over seeds ({seeds(rows)} of each) and the 95 % "
        "t-interval of the logarithm. The angle is that of the class means to the rows of the "
        "head, for CAL to its mean centers. Mean angle in degrees at the end, in the order of the "
        f"rows: {ends}. On the digits fixed frames are reached, whatever the class sizes. "
        "HAFrame and CAL are not meant to reach an ETF, nor CAL to be dual to its class vectors. "
        f"Cross-entropy with a learned classifier ends at a distance of {distances} from the ETF "
        "on the digits, although training errors are gone: these networks do not follow the "
        "model with free features."
    )


def draw_metric(rows: pl.DataFrame, axes, *, data: str, metric: str) -> None:
    """One metric of all methods against epochs.

    Args:
        rows: The table.
        axes: One panel.
        data: Balanced or long-tailed.
        metric: Column.
    """
    for index, (method, label) in enumerate(METHODS.items()):
        if method not in methods_on(data):
            continue
        epoch, mean, low, high = curve(rows, f"{data}-{method}", metric)
        axes.fill_between(epoch, low, high, color=SERIES[index], alpha=0.2, linewidth=0)
        # Dots of the lightest colour would be lost on grey paper at the width of the others.
        width = 1.8 if LINES[index] == ":" else None
        axes.plot(epoch, mean, LINES[index], color=SERIES[index], label=label, linewidth=width)
    axes.set_yscale("log")
    axes.set_xlabel("epoch")


@figure(
    "network-collapse",
    title="Neural collapse in trained networks",
    claims=("papyan2020.nc1", "papyan2020.nc2", "papyan2020.nc3", "yang2022.dr-minimiser",
            "liang2023.mix-limit", "yan2024.cosine-minimiser"),
    panels=PANELS,
    runs=runs,
    caption=caption,
    aspect=0.78,
)  # fmt: skip
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Metrics in columns, class sizes in rows.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    for row, data in zip(PANELS, DATA, strict=True):
        for name, metric in zip(row, METRICS, strict=True):
            draw_metric(rows, axes[name], data=data, metric=metric)
        axes[row[0]].set_ylabel(DATA[data])
    for column, metric in zip(zip(*PANELS, strict=True), METRICS, strict=True):
        axes[column[0]].set_title(METRICS[metric], fontsize="medium")
        limits = [axes[name].get_ylim() for name in column]
        for name in column:
            axes[name].set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    handles, labels = axes[PANELS[0][0]].get_legend_handles_labels()
    axes[PANELS[0][0]].figure.legend(handles, labels, loc="outside upper center", ncols=4)
