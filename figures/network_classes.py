"""Which classes a method gets right: test accuracy by class under a long tail, by method."""

from __future__ import annotations

import numpy as np
import polars as pl

from deep.published import find
from figures._network_results import job, seeds, there
from figures._registry import Axes, Job, figure


TABLE = "digits-lt"
NAMES = {
    "ce": "CE",
    "ce-residual": "CE, type II",
    "class-weighted": "CE, class weights",
    "logit-adjusted": "logit-adjusted CE",
    "arb": "ARB",
    "ldam-drw": "LDAM-DRW",
    "rbl": "RBL",
    "rbl-simplex": "RBL, simplex",
    "etf-dr": "ETF + DR",
    "etf-dr-paper": "ETF + DR, as printed",
    "etf-dr-global": "ETF + DR, all counts",
    "etf-ce": "ETF + CE",
    "nearest-etf": "nearest ETF",
    "haframe": "HAFrame",
    "targets": "targets, fixed",
    "targets-learnable": "targets, learned",
    "al": "AL",
    "cal": "CAL",
    "p": "P",
}
SCALE = "cividis"
LOWEST = 50.0


def runs() -> list[Job]:
    """The stored results of every method on long-tailed digits; at least one must be there.

    Returns:
        The runs that are there, or the first one that is missing.
    """
    names = [row.recipe for row in find(TABLE).rows]
    return [job(name) for name in there(names) or names[:1]]


def accuracies(rows: pl.DataFrame) -> pl.DataFrame:
    """Mean over seeds of the accuracy of each class.

    Args:
        rows: The table.

    Returns:
        One row a method, in the order of `NAMES`: recipe, one column a class, and ``mean``.
    """
    own = rows.filter(part="class")
    wide = own.group_by("recipe", "k").agg(pl.col("value").mean()).sort("k")
    wide = wide.pivot("k", index="recipe", values="value")
    order = {f"{TABLE}-{name}": i for i, name in enumerate(NAMES)}
    wide = wide.with_columns(mean=pl.mean_horizontal(pl.exclude("recipe")))
    return wide.sort(pl.col("recipe").replace_strict(order, default=len(order)))


def caption(rows: pl.DataFrame) -> str:
    """Caption with the best and worst method on the tail.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    found = accuracies(rows)
    labels = [_label(name) for name in found["recipe"]]
    values = found.drop("recipe").to_numpy()
    tail, mean = values[:, -4:-1].mean(1), values[:, -1]
    best, plain = int(tail.argmax()), labels.index("CE") if "CE" in labels else int(tail.argmin())
    absent = [label for label in NAMES.values() if label not in labels]
    note = f" Not yet run: {', '.join(absent)}." if absent else ""
    return (
        "Test accuracy in percent of each class, two-layer network on scikit-learn's digits with "
        "an exponential long tail (rho = 10, training images of each class under the columns), "
        f"last epoch, mean over seeds ({seeds(rows)} of each), by each method's first decision "
        "rule. About 36 test images a class: one of them is 2.8 points, so methods that differ by "
        f"less do not differ. On the three rarest classes {labels[best]} has {tail[best]:.1f}, "
        f"{labels[plain]} {tail[plain]:.1f}; means over all classes lie between {mean.min():.1f} "
        f"and {mean.max():.1f}.{note}"
    )


def _label(recipe: str) -> str:
    return NAMES.get(recipe.removeprefix(f"{TABLE}-"), recipe)


@figure(
    "network-classes",
    title="Accuracy by class under a long tail",
    claims=("fang2021.lost-classes",),
    panels=(("classes",),),
    runs=runs,
    caption=caption,
    aspect=0.72,
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """A matrix of numbers: methods by classes.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    panel, found = axes["classes"], accuracies(rows)
    values = found.drop("recipe").to_numpy()
    panel.imshow(values, cmap=SCALE, vmin=LOWEST, vmax=100, aspect="auto", interpolation="none")
    middle = (LOWEST + 100) / 2
    for (i, j), value in np.ndenumerate(values):
        color = "white" if value < middle else "black"
        panel.text(j, i, f"{value:.1f}", ha="center", va="center", color=color, fontsize=7)
    sizes = rows.filter(part="class").group_by("k").agg(pl.col("n").first()).sort("k")["n"]
    panel.set_xticks(range(values.shape[1]), [*(f"{n}" for n in sizes), "mean"])
    panel.set_yticks(range(len(values)), [_label(name) for name in found["recipe"]])
    panel.axvline(values.shape[1] - 1.5, color="white", linewidth=2)
    panel.tick_params(length=0)
    panel.spines[["left", "bottom"]].set_visible(False)
    panel.set_xlabel("training images of the class")
    panel.set_ylabel("method")
