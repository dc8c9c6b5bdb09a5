"""Which classes a method gets right: test accuracy by class under a long tail, by method."""

from __future__ import annotations

import numpy as np
import polars as pl

from deep.published import METHODS, RESAMPLED, find
from figures._network_results import job, seeds, there
from figures._registry import Axes, Job, figure


NAMES = METHODS | RESAMPLED
TABLES = {"digits-lt": "digits", "fashion-lt": "Fashion-MNIST"}
GARMENTS = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
            "boot")  # fmt: skip
SCALE = "cividis"
LOWEST = 20.0


def runs() -> list[Job]:
    """The stored results of every method under a long tail; of each data at least one must be.

    Returns:
        The runs that are there, or the first one that is missing.
    """
    named = [[row.recipe for row in find(table).rows] for table in TABLES]
    return [job(name) for names in named for name in there(names) or names[:1]]


def accuracies(rows: pl.DataFrame, table: str) -> pl.DataFrame:
    """Mean over seeds of the accuracy of each class.

    Args:
        rows: The table.
        table: Which data, of `TABLES`.

    Returns:
        One row a method, in the order of `NAMES`: recipe, one column a class, and ``mean``.
    """
    own = _of(rows, table)
    wide = own.group_by("recipe", "k").agg(pl.col("value").mean()).sort("k")
    wide = wide.pivot("k", index="recipe", values="value")
    order = {f"{table}-{name}": i for i, name in enumerate(NAMES)}
    wide = wide.with_columns(mean=pl.mean_horizontal(pl.exclude("recipe")))
    return wide.sort(pl.col("recipe").replace_strict(order, default=len(order)))


def _of(rows: pl.DataFrame, table: str) -> pl.DataFrame:
    return rows.filter(pl.col("part") == "class", pl.col("recipe").str.starts_with(f"{table}-"))


def caption(rows: pl.DataFrame) -> str:
    """Caption with the best and worst method on the tail.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    labels = {_label(name) for name in accuracies(rows, "digits-lt")["recipe"]}
    absent = [label for label in NAMES.values() if label not in labels]
    note = f" Not yet run on the digits: {', '.join(absent)}." if absent else ""
    tails = " ".join(_tail(rows, table) for table in TABLES)
    return (
        "Test accuracy in percent of each class under an exponential long tail, training images of "
        "each class under the columns: a two-layer network on scikit-learn's digits (above, rho = "
        "10) and ResNet-20 on Fashion-MNIST (below, rho = 50), last epoch, mean over seeds "
        f"({seeds(rows)} of each), by each method's first decision rule. The digits have about 36 "
        "test images a class: one of them is 2.8 points, so methods that differ by less do not "
        f"differ; Fashion-MNIST has 1000. {tails} Shirts are hard because they look like T-shirts, "
        f"pullovers and coats, not only because they are few.{note}"
    )


def _tail(rows: pl.DataFrame, table: str) -> str:
    found = accuracies(rows, table)
    labels = [_label(name) for name in found["recipe"]]
    values = found.drop("recipe").to_numpy()
    tail, mean = values[:, -4:-1].mean(1), values[:, -1]
    best, plain = int(tail.argmax()), labels.index("CE") if "CE" in labels else int(tail.argmin())
    return (
        f"On the three rarest classes of {TABLES[table]} {labels[best]} has {tail[best]:.1f}, "
        f"{labels[plain]} {tail[plain]:.1f}; means over all classes lie between {mean.min():.1f} "
        f"and {mean.max():.1f}."
    )


def _label(recipe: str) -> str:
    for table in TABLES:
        recipe = recipe.removeprefix(f"{table}-")
    return NAMES.get(recipe, recipe)


@figure(
    "network-classes",
    title="Accuracy by class under a long tail",
    claims=("fang2021.lost-classes",),
    panels=tuple((table,) for table in TABLES),
    runs=runs,
    caption=caption,
    aspect=0.92,
    options={"height_ratios": (len(NAMES), 3)},
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Two matrices of numbers: methods by classes.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    for table in TABLES:
        draw_matrix(rows, axes[table], table=table)
    garments = [*GARMENTS, ""]
    sizes = [label.get_text() for label in axes["fashion-lt"].get_xticklabels()]
    labels = [f"{name}\n{size}" for name, size in zip(garments, sizes, strict=True)]
    axes["fashion-lt"].set_xticklabels(labels)
    axes["digits-lt"].set_title("test accuracy (%)")
    axes["digits-lt"].set_ylabel("digits")
    axes["fashion-lt"].set_ylabel("Fashion")


def draw_matrix(rows: pl.DataFrame, axes, *, table: str) -> None:
    """Methods of one data set by its classes.

    Args:
        rows: The table.
        axes: One panel.
        table: Which data, of `TABLES`.
    """
    found = accuracies(rows, table)
    values = found.drop("recipe").to_numpy()
    axes.imshow(values, cmap=SCALE, vmin=LOWEST, vmax=100, aspect="auto", interpolation="none")
    middle = (LOWEST + 100) / 2
    for (i, j), value in np.ndenumerate(values):
        color = "white" if value < middle else "black"
        axes.text(j, i, f"{value:.1f}", ha="center", va="center", color=color, fontsize=7)
    sizes = _of(rows, table).group_by("k").agg(pl.col("n").first()).sort("k")["n"]
    axes.set_xticks(range(values.shape[1]), [*(f"{n}" for n in sizes), "mean"])
    axes.set_yticks(range(len(values)), [_label(name) for name in found["recipe"]])
    axes.axvline(values.shape[1] - 1.5, color="white", linewidth=2)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xlabel("training images of the class")
