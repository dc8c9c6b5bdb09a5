"""Frames in three dimensions at a few values of a parameter each, for the page that turns them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

import ufm
from ufm._typing import Float, Tensor
from ufm.geometry import (
    Exponential,
    center_mean_cos,
    class_mean_cos,
    etf,
    hierarchy_frame,
    multicenter_frame,
    smallest_s,
)
from ufm.hierarchy import Tree
from ufm.solvers import step_optimum


CLAIMS = ("papyan2020.etf-gram", "fang2021.step", "liang2023.closed-frame", "yan2024.frame")
COLOURS = ("one", "two", "three", "four")
TREES = {"pairs": [[0, 1], [2, 3]], "chain": [[[0, 1], 2], 3]}
RATES = tuple(round(float(x), 3) for x in np.geomspace(0.1, 6, 25))
ANGLES = tuple(round(0.05 * i, 2) for i in range(1, 31))
RATIOS = tuple(float(f"{x:.4g}") for x in np.geomspace(1, 30, 31))
# sqrt(E_W E_H) at which two classes of two are merged, and at a larger ratio vanish.
ENERGY = 0.4
DIGITS = 4
Arrow = tuple[list[float], str, str]
Line = tuple[list[list[float]], bool]


@dataclass(frozen=True)
class Position:
    """A frame at one value of its parameter.

    Attributes:
        value: The value, as text.
        said: What there is to see.
        arrows: Tip, colour and label of each vector.
        lines: Points of each line, and whether it is dashed.
        labels: Names of the vectors whose cosines are shown.
        cosines: Their cosines; None for a vector that is zero.
    """

    value: str
    said: str
    arrows: list[Arrow]
    lines: list[Line]
    labels: list[str]
    cosines: list[list[float | None]]


@dataclass(frozen=True)
class Turning:
    """A family of frames.

    Attributes:
        title: A few words.
        about: A sentence.
        parameter: Name of the parameter.
        start: Index of the position shown first.
        positions: The positions.
    """

    title: str
    about: str
    parameter: str
    start: int
    positions: list[Position]


def frames() -> dict[str, dict[str, Any]]:
    """Every family, as JSON-able data.

    Returns:
        Families by id.
    """
    families = {
        "etf": simplexes(),
        "minority": minority(),
        "haframe-pairs": hierarchical("pairs", "two pairs of classes"),
        "haframe-chain": hierarchical("chain", "a chain of four classes"),
        "multicenter": centers(),
    }
    return {id: asdict(family) for id, family in families.items()}


def simplexes() -> Turning:
    """Simplex ETFs of two, three and four classes.

    Returns:
        The family.
    """
    positions = []
    for K in (2, 3, 4):
        rows = etf(K, 3)
        said = f"Every two of the {K} vectors have the cosine −1/(K−1) = {-1 / (K - 1):.3f}."
        positions.append(_position(str(K), said.replace("= -", "= −"), rows, _simplex(rows)))
    about = "The geometry of balanced training: equal lengths, and angles as wide as possible."
    return Turning("simplex ETF", about, "classes K", 2, positions)


def minority() -> Turning:
    """Classifier rows of two majority and two minority classes as the ratio grows.

    Returns:
        The family.
    """
    positions, before = [], etf(4, 3)
    found = step_optimum(2, 2, R=np.array(RATIOS), tau=4 * ENERGY)
    words = {
        "balanced": "R = 1: the simplex ETF.",
        "full": "The minority rows (3, 4) turn towards each other: cosine {:.3f}.",
        "collapsed": "Collapsed: rows 3 and 4 are one vector.",
        "vanished": "Vanished: rows 3 and 4 are zero.",
    }
    for i, R in enumerate(RATIOS):
        U, S, _ = torch.linalg.svd(torch.from_numpy(found.Z(i)))
        rows = U[:, :3] * S[:3].sqrt()
        rows = rows / rows.square().sum(-1).mean().sqrt()
        before = rows = rows @ ufm.align(rows, before)
        said = words[str(found.phase[i])].format(float(found.cos_W_B[i])).replace(" -", " −")
        positions.append(_position(f"{R:.3g}", said, rows, _simplex(rows)))
    about = (
        "The optimal classifier of the layer-peeled model when classes 1 and 2 have R times the "
        f"samples of 3 and 4, at the energy √(E_W E_H) = {ENERGY}."
    )
    return Turning("minority collapse", about, "ratio R", 0, positions)


def hierarchical(name: str, title: str) -> Turning:
    """Hierarchy-aware frames of a tree with four leaves, at the smallest s.

    Args:
        name: Which of `TREES`.
        title: The tree in words.

    Returns:
        The family.
    """
    tree = Tree.from_nested(TREES[name])
    positions, before = [], etf(4, 3)
    for gamma in RATES:
        similarity = Exponential(gamma)
        rows = hierarchy_frame(tree, similarity, d=3)
        before = rows = rows @ ufm.align(rows, before)
        s = float(smallest_s(tree, similarity))
        cosine = rows @ rows.mT
        said = (
            f"Siblings 1 and 2 have the cosine {float(cosine[0, 1]):.3f}, the distant 1 and 4 "
            f"{float(cosine[0, 3]):.3f}; s* = {s:.3f}."
        ).replace(" -", " −")
        positions.append(_position(f"{gamma:.3g}", said, rows, _branches(tree, rows)))
    about = (
        "Fixed classifier rows whose cosines follow the tree drawn at their tips; at the most "
        "negative similarity s* four classes fit three dimensions."
    )
    start = min(range(len(RATES)), key=lambda i: abs(RATES[i] - 1))
    return Turning(f"hierarchy-aware frame, {title}", about, "rate γ", start, positions)


def centers() -> Turning:
    """A class of two centers of a multi-center frame, in the three dimensions that it spans.

    Returns:
        The family.
    """
    positions = []
    two = torch.tensor(2.0, dtype=torch.float64)
    for theta in ANGLES:
        parts = multicenter_frame(ufm.MultiCenter((2, 2), theta))
        axes = [2, 3, 0]
        own = parts.centers[parts.owner == 0][:, axes]
        rows = torch.cat([parts.W[:1, axes], own, parts.direction[:1, axes]])
        angles = [
            math.degrees(math.acos(min(1.0, float(cosine))))
            for cosine in (center_mean_cos(two, theta), class_mean_cos(two, theta))
        ]
        said = (
            f"The mean direction, where the features go, is {angles[0]:.1f}° from each center and "
            f"{angles[1]:.1f}° from the class vector w."
        )
        names, colours = ["w", "center 1", "center 2", "mean"], ["three", "two", "two", "one"]
        lines: list[Line] = [(_rounded(torch.stack([own[0], own[1]])), True)]
        positions.append(_position(f"{theta:g}", said, rows, lines, names, colours))
    about = "Each class has several centers, tilted by θ from their own axes towards w."
    start = ANGLES.index(0.2)
    return Turning("multi-center frame, one class", about, "angle θ (rad)", start, positions)


def _position(
    value: str,
    said: str,
    rows: Float[Tensor, "n 3"],
    lines: list[Line],
    names: Sequence[str] = ("1", "2", "3", "4"),
    colours: Sequence[str] = COLOURS,
) -> Position:
    lengths = rows.norm(dim=-1)
    shown = lengths > 1e-6
    unit = rows / torch.where(shown, lengths, 1.0).unsqueeze(-1)
    cosines = [
        [round(x, DIGITS) if bool(shown[i] & shown[j]) else None for j, x in enumerate(row)]
        for i, row in enumerate((unit @ unit.mT).tolist())
    ]
    labels = list(names[: len(rows)])
    arrows = list(zip(_rounded(rows), colours, labels, strict=False))
    return Position(value, said, arrows, lines, labels, cosines)


def _simplex(rows: Float[Tensor, "n 3"]) -> list[Line]:
    return [
        (_rounded(torch.stack([rows[i], rows[j]])), True)
        for i in range(len(rows))
        for j in range(i)
    ]


def _branches(tree: Tree, rows: Float[Tensor, "n 3"]) -> list[Line]:
    # A node is drawn at the mean of its children, which puts the root near the origin.
    at = {leaf: rows[leaf] for leaf in range(tree.K)}
    lines: list[Line] = []
    for node in reversed(tree.preorder):
        if children := tree.children[node]:
            at[node] = torch.stack([at[child] for child in children]).mean(0)
            lines += [(_rounded(torch.stack([at[node], at[child]])), False) for child in children]
    return lines


def _rounded(rows: Float[Tensor, "n 3"]) -> list[list[float]]:
    return [[round(x, DIGITS) for x in row] for row in rows.tolist()]
