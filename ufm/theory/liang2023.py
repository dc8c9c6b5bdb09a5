r"""Liang and Davis (2023): the hierarchy-aware frame, when it exists and what it is.

The paper's text was not at hand; what is quoted is taken from its abstract, its released code and
what others write about it. Notation of `ufm.geometry.haframe`: :math:`F_{ij} = f(d_{ij})` on a
tree, :math:`S = (1-s)F + s\,11^\top`.
"""

from __future__ import annotations

from ufm.claims import Assumption, Claim, Kind, Provenance, Source, register
from ufm.geometry.specs import HAFrame
from ufm.problem import Fixed, Problem


SOURCE = Source("liang2023", "2303.05689")
OURS = Source("liang2023", "2303.05689", Provenance.DERIVED)
FRAME = "similarity matrices of trees and their frames"


def fixed_frame(problem: Problem) -> HAFrame | None:
    """The hierarchy-aware frame that a problem's classifier is fixed to.

    Args:
        problem: The model.

    Returns:
        The frame, or None.
    """
    frame = problem.classifier.frame if isinstance(problem.classifier, Fixed) else None
    return frame if isinstance(frame, HAFrame) else None


def branching_labels(frame: HAFrame) -> set[int]:
    """Distances that occur between two classes.

    Args:
        frame: The frame.

    Returns:
        Labels of the nodes with several children.
    """
    tree = frame.tree
    labels = tree.labels(frame.convention)
    return {labels[v] for v, children in enumerate(tree.children) if len(children) > 1}


def all_distinct(frame: HAFrame) -> bool:
    """Whether no two classes share their vector.

    Args:
        frame: The frame.

    Returns:
        True iff the closest classes have a cosine below one.
    """
    closest, D = min(branching_labels(frame)), frame.tree.d_max(frame.convention)
    return frame.similarity.drop(0, closest, D) > 0


def is_simplex(frame: HAFrame) -> bool:
    """Whether a frame is the simplex ETF: equal cosines, and as small as can be.

    Args:
        frame: The frame.

    Returns:
        True iff all classes are equally far apart and the asymptote is s*.
    """
    D = frame.tree.d_max(frame.convention)
    cosines = {frame.similarity.at(label, D) for label in branching_labels(frame)}
    return len(cosines) == 1 and frame.asymptote == frame.network.s_min


def _has_distinct_frame(problem: Problem) -> bool:
    frame = fixed_frame(problem)
    return frame is not None and all_distinct(frame)


FIXED_HAFRAME = Assumption(
    "classifier fixed to a hierarchy-aware frame, all cosines below 1", _has_distinct_frame
)

PSD = register(
    Claim(
        id="liang2023.psd",
        kind=Kind.OURS,
        statement="For every tree and every non-increasing f with f(0) = 1 and f >= 0 at the "
        "largest distance the similarity matrix is positive semidefinite. The exponential is one "
        "choice of f; a map that rises somewhere can fail.",
        formula=r"F=\sum_v c_v\,1_v1_v^\top,\quad c_v=f(h_v)-f(h_{\mathrm{parent}(v)})\ge0,\quad "
        r"c_{\mathrm{root}}=f(h_{\mathrm{root}})",
        source=OURS,
        outside=FRAME,
        steps=("telescoping", "nonnegative"),
    )
)

LOWEST_EIGENVALUE = register(
    Claim(
        id="liang2023.lowest-eigenvalue",
        kind=Kind.OURS,
        statement="The smallest eigenvalue of F is 1 - f(d_1), d_1 the smallest distance of two "
        "classes: it is attained by the contrast of a closest pair. For the exponential map that "
        "is 1 - exp(-gamma d_1/d_max).",
        formula=r"\lambda_{\min}(F)=1-f(d_1),\quad F(e_i-e_j)=(1-f(d_1))(e_i-e_j)\ "
        r"\text{if}\ d_{ij}=d_1",
        source=OURS,
        outside=FRAME,
        steps=("lower bound", "attained"),
        uses=("liang2023.psd",),
    )
)

SMALLEST_S = register(
    Claim(
        id="liang2023.smallest-s",
        kind=Kind.OURS,
        statement="An asymptote s < 1 is feasible down to s* = -1/(m-1) exactly, m the sum of the "
        "entries of F^-1 (distinct classes: f(d_1) < 1), which one pass over the nodes computes. "
        "Since 1 < m <= K, s* is at most -1/(K-1), the first value of the released search. At s* "
        "the rank is K-1.",
        formula=r"s<1:\ S\succeq0\iff s\ge s^*=-\tfrac1{m-1},\ m=1^\top F^{-1}1;\quad \tfrac1{M_v}="
        r"f(h_v)+\Bigl[\sum_c\bigl(\tfrac1{M_c}-f(h_v)\bigr)^{-1}\Bigr]^{-1},\quad SF^{-1}1=0\ "
        r"\text{at}\ s^*",
        source=OURS,
        outside=FRAME,
        steps=("determinant", "equivalence", "recursion", "bounds", "null vector"),
        uses=("liang2023.psd",),
    )
)

CLOSED_FRAME = register(
    Claim(
        id="liang2023.closed-frame",
        kind=Kind.OURS,
        statement="The frame in closed form, with one column for each node below the root: no "
        "eigenvectors. B holds the square roots of the coefficients of the nodes above each class, "
        "and one direction p is shortened, to nothing at s*.",
        formula=r"W=B\bigl(I-(1-\sigma)pp^\top\bigr),\ \sigma^2=1+\mu\,[(1-s)f(d_{\max})+s],\ "
        r"\mu=1^\top(BB^\top)^{-1}1,\ p=\mu^{-1/2}B^\top(BB^\top)^{-1}1:\quad WW^\top=S",
        source=OURS,
        outside=FRAME,
        steps=("unit vector", "Gram", "rank at s*"),
        uses=("liang2023.smallest-s",),
    )
)

FLAT_ETF = register(
    Claim(
        id="liang2023.flat-etf",
        kind=Kind.OURS,
        statement="On a flat tree the frame at s* is the simplex ETF, for every map f and so for "
        "every gamma. At s = -1/(K-1) and finite gamma it is not.",
        formula=r"s^*=-\tfrac{1+(K-1)f}{(K-1)(1-f)},\quad (1-s^*)f+s^*=-\tfrac1{K-1}",
        source=OURS,
        outside=FRAME,
        steps=("magnitude", "cosine", "not at -1/(K-1)"),
        uses=("liang2023.smallest-s", "papyan2020.etf-gram"),
    )
)
