"""Neural collapse of trained networks along training: which heads bring it about."""

from __future__ import annotations

import polars as pl

from figures._network_results import curve, job, last, seeds
from figures._registry import Axes, Job, figure
from figures._style import LINES, SERIES


METHODS = {"ce": "CE, learned", "etf-dr": "ETF + DR", "haframe": "HAFrame", "cal": "CAL"}
DATA = {"digits": "balanced", "digits-lt": r"$\rho=10$"}
METRICS = {
    "nc1_quot": "NC1: within / between",
    "nc2_etf_err": "NC2: distance to ETF",
    "nc3_self_dual": "NC3: self-duality",
    "angle_mean": "angle to own frame (°)",
}
PANELS = tuple(tuple(f"{data} {metric}" for metric in METRICS) for data in DATA)


def runs() -> list[Job]:
    """The stored results of four methods on balanced and on long-tailed digits.

    Returns:
        The runs.
    """
    return [job(f"{data}-{method}") for data in DATA for method in METHODS]


def caption(rows: pl.DataFrame) -> str:
    """Caption with the last angles and distances.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    ends = "; ".join(
        f"{label} {last(rows, f'digits-{method}', 'angle_mean'):.1f} and "
        f"{last(rows, f'digits-lt-{method}', 'angle_mean'):.1f}"
        for method, label in METHODS.items()
    )
    distances = " and ".join(f"{last(rows, f'{data}-ce', 'nc2_etf_err'):.2f}" for data in DATA)
    return (
        "Collapse of a two-layer network on scikit-learn's digits, training images, balanced (top) "
        f"and long-tailed (bottom): geometric mean over seeds ({seeds(rows)} of each) and the 95 % "
        "t-interval of the logarithm. The angle is that of the class means to the rows of the "
        "head, for CAL to its mean centers. Fixed frames are reached on both; mean angle in "
        f"degrees at the end, balanced and long-tailed: {ends}. HAFrame and CAL are not meant to "
        "reach an ETF, nor CAL to be dual to its class vectors. Cross-entropy with a learned "
        f"classifier ends at a distance of {distances} from the ETF, although training errors are "
        "gone: these networks contradict the collapse that their model predicts."
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
        epoch, mean, low, high = curve(rows, f"{data}-{method}", metric)
        axes.fill_between(epoch, low, high, color=SERIES[index], alpha=0.2, linewidth=0)
        axes.plot(epoch, mean, LINES[index], color=SERIES[index], label=label)
    axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_title(METRICS[metric], fontsize="medium")


@figure(
    "network-collapse",
    title="Neural collapse in trained networks",
    claims=("papyan2020.nc1", "papyan2020.nc2", "papyan2020.nc3", "yang2022.dr-minimiser",
            "liang2023.mix-limit", "yan2024.cosine-minimiser"),
    panels=PANELS,
    runs=runs,
    caption=caption,
    aspect=0.52,
    options={"sharex": True},
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
    for above, below in zip(*PANELS, strict=True):
        low = min(axes[name].get_ylim()[0] for name in (above, below))
        high = max(axes[name].get_ylim()[1] for name in (above, below))
        axes[above].set_ylim(low, high)
        axes[below].set_ylim(low, high)
    handles, labels = axes[PANELS[0][0]].get_legend_handles_labels()
    axes[PANELS[0][0]].figure.legend(handles, labels, loc="outside upper center", ncols=4)
