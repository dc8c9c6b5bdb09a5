"""Two centers of a class in the three dimensions they span, and where features flow to."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from matplotlib.lines import Line2D

import ufm
from figures._cosine_flow import flow
from figures._registry import Axes, Job, figure
from figures._style import GREY, INK, LINES, MARKERS, NAVY, SERIES, TEAL, VERMILION, letter
from ufm._spec import spec
from ufm.geometry import center_mean_cos, class_mean_cos, multicenter_frame
from ufm.losses import CosineRegression
from ufm.runs import Chunk, RunSpec


VERSION = 1
ANGLES = (0.2, 0.7)
STARTS = 12
TIMES = (0.0, *(float(f"{t:.12g}") for t in np.geomspace(0.02, 60, 120)))
# Color, width and name of the arrows.
VECTORS = {
    "v": (GREY, 0.9, "$v_1$, $v_2$"),
    "w": (TEAL, 2.0, "class vector $w$"),
    "center": (VERMILION, 2.0, "centers"),
    "mean": (INK, 2.6, "mean direction"),
}
COUNTS = (1, 2, 3, 5, 10, 20, 50, 100)


@spec
class ClassBlock:
    """The class of two centers of a frame, looked at in the three dimensions that it spans.

    Attributes:
        frame: A frame whose first class has two centers.
        loss: The loss whose flow is followed.
        starts: Number of features.
        times: Times recorded.
    """

    frame: ufm.MultiCenter
    loss: CosineRegression
    starts: int
    times: tuple[float, ...]


@spec
class CenterAngles:
    """Frames of one angle and many numbers of centers.

    Attributes:
        theta: Angle of the centers.
        counts: Numbers of centers.
    """

    theta: float
    counts: tuple[int, ...]


def runs() -> list[Job]:
    """A block and its flow at each angle, and the angles of larger classes.

    Returns:
        The runs.
    """
    jobs = []
    for theta in ANGLES:
        block = ClassBlock(ufm.MultiCenter((2, 2), theta), CosineRegression(), STARTS, TIMES)
        jobs.append(Job(RunSpec("center-block", block, version=VERSION), paths))
        angles = CenterAngles(theta, COUNTS)
        jobs.append(Job(RunSpec("center-angles", angles, version=VERSION), measured))
    return jobs


def paths(run: RunSpec) -> Chunk:
    """Producer: the vectors of the first class, and its features along the flow of the loss.

    The features start in the block, and the loss of this class keeps them there, so the three
    coordinates are all there are: nothing is projected.

    Args:
        run: Subject a `ClassBlock`.

    Returns:
        Rows: theta, part (``"v"``, ``"w"``, ``"center"``, ``"mean"``, ``"feature"``), sample, time,
        x, y (along the v) and z (along w).
    """
    block: ClassBlock = run.subject
    parts = multicenter_frame(block.frame)
    K = len(block.frame.f)
    axes = [K, K + 1, 0]
    generator = torch.Generator().manual_seed(run.seeds[0])
    H = torch.zeros(block.starts, parts.W.shape[1], dtype=torch.float64)
    directions = torch.randn(block.starts, 3, generator=generator, dtype=torch.float64)
    H[:, axes] = torch.nn.functional.normalize(directions, dim=-1)
    y = torch.zeros(block.starts, dtype=torch.long)
    path = flow(block.loss, parts, H, y=y, times=block.times)
    centers = parts.centers[parts.owner == 0]
    vectors = {"w": parts.W[:1], "center": centers, "mean": parts.direction[:1]}
    tables = [_places("v", np.eye(3)[:2], 0.0)]
    tables += [_places(part, rows[:, axes].numpy(), 0.0) for part, rows in vectors.items()]
    for time, rows in zip(block.times, path, strict=True):
        tables.append(_places("feature", rows[:, axes].numpy(), time))
    return Chunk(pl.concat(tables).with_columns(theta=pl.lit(block.frame.theta)))


def _places(part: str, rows: np.ndarray, time: float) -> pl.DataFrame:
    columns = {"sample": np.arange(len(rows)), **dict(zip("xyz", rows.T, strict=True))}
    return pl.DataFrame(columns).with_columns(part=pl.lit(part), time=pl.lit(time))


def measured(run: RunSpec) -> Chunk:
    """Producer: angles read off the vectors of frames, and by formula.

    Args:
        run: Subject a `CenterAngles`.

    Returns:
        Rows of part ``"angle"``: theta, f, name (``to_center``, ``to_class``: from the mean
        direction), degrees (of the frame built) and formula.
    """
    recipe: CenterAngles = run.subject
    rows = []
    for f in recipe.counts:
        parts = multicenter_frame(ufm.MultiCenter((f, 1), recipe.theta))
        mean, count = parts.direction[0], torch.tensor(float(f), dtype=torch.float64)
        for name, other, cosine in (
            ("to_center", parts.centers[0], center_mean_cos(count, recipe.theta)),
            ("to_class", parts.W[0], class_mean_cos(count, recipe.theta)),
        ):
            degrees = torch.rad2deg(2 * torch.asin((mean - other).norm() / 2))
            formula = float(torch.rad2deg(torch.arccos(cosine.clamp(max=1))))
            rows.append({"f": f, "name": name, "degrees": float(degrees), "formula": formula})
    table = pl.DataFrame(rows).with_columns(theta=pl.lit(recipe.theta), part=pl.lit("angle"))
    return Chunk(table)


def distance(rows: pl.DataFrame) -> float:
    """Largest angle of a feature to the mean direction at the end of the flow.

    Args:
        rows: The table.

    Returns:
        Degrees.
    """
    last = rows.filter(part="feature").filter(pl.col("time") == pl.col("time").max())
    mean = rows.filter(part="mean").select("theta", a="x", b="y", c="z")
    both = last.join(mean, on="theta").select("x", "y", "z", "a", "b", "c").to_numpy()
    unit = both[:, :3] / np.linalg.norm(both[:, :3], axis=1, keepdims=True)
    return float(np.degrees(2 * np.arcsin(np.linalg.norm(unit - both[:, 3:], axis=1) / 2)).max())


def caption(rows: pl.DataFrame) -> str:
    """Caption with the angles drawn.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    two = {
        theta: dict(
            rows.filter(part="angle", f=2, theta=theta).select("name", "degrees").iter_rows()
        )
        for theta in ANGLES
    }
    said = "; ".join(
        f"theta = {theta:g}: {a['to_center']:.0f} and {a['to_class']:.0f} degrees"
        for theta, a in two.items()
    )
    table = rows.filter(part="angle")
    error = (table["degrees"] - table["formula"]).abs().to_numpy().max()
    return (
        "A class with two centers fits three dimensions without projection: (a) centers close to "
        f"the plane of the v (theta = {ANGLES[0]:g}, the published value), (b) centers tilted more "
        f"towards the class vector w (theta = {ANGLES[1]:g}). Thin lines: unit features of the "
        f"class along the gradient flow of the cosine loss from {STARTS} random directions (dots). "
        "All of them go to one point, the mean direction of the centers, none to a center "
        f"(largest angle to it at the end {distance(rows):.0e} degrees). The mean direction is "
        f"from each center and from w, {said}. (c) These angles against the number of centers: "
        "more centers bring the mean direction nearer to w, whose score for the class grows, and "
        f"farther from each center. Lines: formulas; symbols: read off frames (within {error:.0e} "
        "degrees)."
    )


def draw_block(rows: pl.DataFrame, axes, *, theta: float) -> None:
    """The vectors of a class and its features' paths.

    Args:
        rows: The table.
        axes: A panel in three dimensions.
        theta: Angle of the centers.
    """
    own = rows.filter(pl.col("theta") == theta)
    _sphere(axes)
    for sample in own.filter(part="feature")["sample"].unique().sort():
        path = own.filter(part="feature", sample=sample).sort("time")
        axes.plot(path["x"], path["y"], path["z"], color=NAVY, linewidth=0.6, alpha=0.7)
        axes.plot(*path.select("x", "y", "z").to_numpy()[0], ".", color=NAVY, markersize=2.5)
    for part, (color, width, _) in VECTORS.items():
        for tip in own.filter(part=part).select("x", "y", "z").to_numpy():
            axes.quiver(0, 0, 0, *tip, color=color, linewidth=width, arrow_length_ratio=0.12)
    for set_limits in (axes.set_xlim, axes.set_ylim, axes.set_zlim):
        set_limits(-0.85, 0.85)
    axes.set_box_aspect((1, 1, 1), zoom=1.3)
    axes.view_init(elev=22, azim=14)
    axes.set_axis_off()
    axes.set_title(rf"$\theta={theta:g}$")


def _sphere(axes) -> None:
    turn = np.linspace(0, 2 * np.pi, 100)
    ring = np.stack([np.cos(turn), np.sin(turn), 0 * turn])
    for order in ((0, 1, 2), (0, 2, 1), (2, 0, 1)):
        axes.plot(*ring[list(order)], color=GREY, linewidth=0.4, alpha=0.7)


def draw_angles(rows: pl.DataFrame, axes) -> None:
    """Angles of the mean direction against the number of centers.

    Args:
        rows: The table.
        axes: One panel.
    """
    names = {"to_center": "to each center", "to_class": "to $w$"}
    for i, theta in enumerate(ANGLES):
        for j, (name, label) in enumerate(names.items()):
            own = rows.filter(part="angle", theta=theta, name=name).sort("f")
            color = (SERIES[1], SERIES[2])[j]
            axes.plot(own["f"], own["formula"], LINES[i], color=color)
            axes.plot(
                own["f"], own["degrees"], MARKERS[i], color=color, markerfacecolor="white",
                clip_on=False,
            )  # fmt: skip
            axes.plot(
                [], [], LINES[i] + MARKERS[i], color=color, markerfacecolor="white",
                label=rf"{label}, $\theta={theta:g}$",
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(1, COUNTS[-1])
    axes.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
    axes.minorticks_off()
    axes.set_ylim(0, 90)
    axes.set_yticks([0, 30, 60, 90])
    axes.set_xlabel("centers $f$ of the class")
    axes.set_ylabel("angle of the mean (degrees)")
    axes.figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower right", ncols=2, columnspacing=1.2
    )


@figure(
    "multicenter-3d",
    title="A class of two centers, and the mean that its features go to",
    claims=("yan2024.cosine-minimiser", "yan2024.frame", "yan2024.rcr-scale"),
    panels=(("small", "large", "angles"),),
    runs=runs,
    caption=caption,
    aspect=0.42,
    options={
        "width_ratios": (1, 1, 0.95),
        "per_subplot_kw": {("small", "large"): {"projection": "3d"}},
    },
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw both blocks and the angles.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    for name, theta in zip(("small", "large"), ANGLES, strict=True):
        draw_block(rows, axes[name], theta=theta)
    draw_angles(rows, axes["angles"])
    handles = [
        Line2D([], [], color=color, linewidth=width, label=label)
        for color, width, label in VECTORS.values()
    ]
    canvas = axes["angles"].figure
    canvas.legend(handles=handles, loc="outside lower left", ncols=2, columnspacing=1.2)
    letter(axes, tuple(axes))
