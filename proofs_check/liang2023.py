"""Evidence for Liang and Davis (2023): when the hierarchy-aware frame exists."""

from __future__ import annotations

from typing import Any

import sympy as sp
import torch

from proofs_check._blocks import IJ
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check._trees import SHAPES, Node, indicator, nodes, similarities, solved, symbolic_tree
from ufm.claims import EvidenceKind
from ufm.geometry import Exponential, similarity_matrix, smallest_s
from ufm.geometry.similarity import Table
from ufm.hierarchy import Tree
from ufm.theory.liang2023 import LOWEST_EIGENVALUE, PSD, SMALLEST_S


phi, m, s = sp.symbols("phi m s", real=True)


@evidence(
    PSD,
    EvidenceKind.SYMBOLIC,
    domain="all trees, all K, all non-increasing f >= 0, by induction from the root down; written "
    f"out with symbolic labels on {len(SHAPES)} trees",
    steps=("telescoping", "nonnegative"),
)
def telescoping_sum(proof: Proof) -> None:
    """F_ij is the sum of the coefficients of the nodes above both i and j."""
    parent, own = sp.symbols("f_parent f_v", nonnegative=True)
    coefficient = proof.term("coefficient", own - parent)
    proof.equal(
        parent + coefficient,
        own,
        "if the coefficients from the root to the parent sum to f(h_parent), those to v sum to "
        "f(h_v); at the root the only one is f(h_root)",
    )
    fall = sp.Symbol("fall", nonnegative=True)
    c = coefficient.subs(own, parent + fall)
    proof.positive(c, "f does not rise: no coefficient is negative", strict=False)
    for shape in SHAPES:
        root = symbolic_tree(shape)
        size = len(root.leaves)
        x = sp.Matrix(sp.symbols(f"x0:{size}", real=True))
        squares = sum(v.drop * indicator(v, size).dot(x) ** 2 for v in nodes(root))
        form = (x.T * similarities(root) * x)[0]
        proof.equal(form, squares, f"x'Fx is a sum of squares on the tree {shape}")


@evidence(PSD, EvidenceKind.SYMBOLIC, domain="the tree [[0, 1], 2]: a map that rises")
def rising_map(proof: Proof) -> None:
    """With f = 1, f_1, f_2 the contrast of the pair and one more direction decide."""
    f_1, f_2 = sp.symbols("f_1 f_2", positive=True)
    F = sp.Matrix([[1, f_1, f_2], [f_1, 1, f_2], [f_2, f_2, 1]])
    determinant = proof.term("determinant", (1 - f_1) * (1 + f_1 - 2 * f_2**2))
    proof.equal(F.det(), determinant, "determinant")
    proof.equal(determinant.subs({f_1: 0, f_2: 1}), -1, "f = 1, 0, 1: a negative eigenvalue")
    proof.assume(f_1 <= 1, f_2 <= 1)
    proof.tie(
        determinant,
        [f_1, f_2],
        lambda a, b: torch.linalg.det(
            similarity_matrix(Tree.from_nested([[0, 1], 2]), Table((1.0, a, b)), s=0.0)
        ),
        points(31, 8, (0.05, 0.95), (0.05, 0.95)),
        "similarity_matrix, rising or not",
    )


@evidence(
    LOWEST_EIGENVALUE,
    EvidenceKind.SYMBOLIC,
    domain=f"all trees, all K, all non-increasing f >= 0; the eigenvector on {len(SHAPES)} trees",
    steps=("lower bound", "attained"),
)
def smallest_eigenvalue(proof: Proof) -> None:
    """Chains merged, the coefficient of class i is 1 - f(L_i), L_i >= d_1 its nearest distance."""
    f_1, excess = sp.symbols("f_1 e", nonnegative=True)
    floor = proof.term("floor", 1 - f_1, 1 - f_1 + sp.Rational(1, 9))
    proof.positive(
        1 - (f_1 - excess) - floor, "f(L_i) <= f(d_1): F - (1 - f(d_1)) I keeps the sum of squares",
        strict=False,
    )  # fmt: skip
    far = sp.Symbol("f_far", nonnegative=True)
    third, own = far - far, 1 - f_1
    proof.zero(third, "a third class is equally far from a closest pair (isosceles triangles)")
    proof.equal(own, floor, "F(e_i - e_j) has the entries +-(1 - f(d_1)) at i and j")
    for shape in SHAPES:
        root = symbolic_tree(shape)
        cherry = [v for v in nodes(root) if len(v.leaves) > 1 and len(v.children) > 1][-1]
        i, j = cherry.leaves[:2]
        x = sp.zeros(len(root.leaves), 1)
        x[i], x[j] = 1, -1
        image = similarities(root) * x
        proof.equal(image, (1 - cherry.value) * x, f"the contrast of the last pair on {shape}")
    gamma = sp.Symbol("gamma", positive=True)
    proof.tie(
        1 - sp.exp(-gamma / 3),
        [gamma],
        lambda g: torch.linalg.eigvalsh(
            similarity_matrix(Tree.from_nested([[[0, 1], 2], [3, [4, 5]]]), Exponential(g), s=0.0)
        )[0],
        points(32, 6, (0.2, 6.0)),
        "similarity_matrix, d_1 = 1 and d_max = 3",
    )


@evidence(
    SMALLEST_S,
    EvidenceKind.SYMBOLIC,
    domain="all K and positive definite F for feasibility; all trees, by induction from the "
    "leaves up, for the recursion and the bounds",
    steps=("equivalence", "recursion", "bounds", "null vector"),
)
def most_negative_asymptote(proof: Proof) -> None:
    """F^(-1/2) S F^(-1/2)/(1-s) = I + t v v', v = F^(-1/2) 1, |v|^2 = m, t = s/(1-s)."""
    magnitude = proof.term("magnitude", m)
    update = IJ(1, s / (1 - s), magnitude)  # J = v v' with J^2 = m J
    proof.equal(update.a, 1, "eigenvalue one on the K - 1 directions orthogonal to v")
    affine = 1 + (m - 1) * s
    proof.equal((1 - s) * update.row_sum, affine, "1-s times the eigenvalue of v")
    over = sp.Symbol("over", positive=True)
    proof.positive(sp.diff(affine, s).subs(m, 1 + over), "it rises with s where m > 1")
    bound = proof.term("s*", -1 / (m - 1))
    proof.zero(affine.subs(s, bound), "and vanishes at s*: feasible iff s >= s*")
    proof.zero(
        ((1 - s) + s * m).subs(s, bound), "S F^-1 1 = ((1-s) + s m) 1 = 0 at s*, from F F^-1 1 = 1"
    )
    _recursion(proof)
    _bounds(proof)


def _recursion(proof: Proof) -> None:
    M, tot = sp.symbols("M tot", positive=True)
    x = proof.term("Sherman-Morrison", phi / (1 - phi * M))
    proof.zero(
        x - phi - phi * x * M, "(A - phi J)(A^-1 + x A^-1 J A^-1) = I, coefficient of J A^-1"
    )
    below = M + x * M**2
    proof.equal(below, M / (1 - phi * M), "magnitude of a child's block with phi subtracted")
    step = proof.term("recursion", tot / (1 + phi * tot))
    proof.equal(
        step, (M / (1 + phi * M)).subs(M, tot), "the blocks add up, and phi is added back to all"
    )
    for shape in SHAPES:
        root = symbolic_tree(shape)
        size = len(root.leaves)
        direct = sum(solved(similarities(root), sp.ones(size, 1)).flat())
        proof.equal(magnitude_of(root, step, (tot, phi)), direct, f"1'F^-1 1 on the tree {shape}")
    f_1, f_2 = sp.symbols("f_1 f_2", positive=True)
    pair = 2 / (1 + f_1)
    total = pair / (1 - f_2 * pair) + 1 / (1 - f_2)
    proof.assume(f_1 < 1, f_2 <= f_1)
    proof.tie(
        -1 / (step.subs({tot: total, phi: f_2}) - 1),
        [f_1, f_2],
        lambda a, b: smallest_s(Tree.from_nested([[0, 1], 2]), Table((1.0, a, b))),
        points(33, 8, (0.5, 0.95), (0.0625, 0.45)),
        "smallest_s on [[0, 1], 2]",
    )


def magnitude_of(node: Node, step: Any, symbols: tuple[sp.Symbol, sp.Symbol]) -> Any:
    """The recursion carried out on a tree.

    Args:
        node: Root of the subtree.
        step: Its formula.
        symbols: The symbols for the total and for the value in it.

    Returns:
        Magnitude of the subtree.
    """
    if not node.children:
        return sp.Integer(1)
    below = [magnitude_of(child, step, symbols) for child in node.children]
    total = sum(x / (1 - node.value * x) for x in below)
    return sp.cancel(step.subs({symbols[0]: total, symbols[1]: node.value}, simultaneous=True))


def _bounds(proof: Proof) -> None:
    """With r = 1/M: phi < r_v, since r_c > phi at every child (1 at leaves), and r_v < 1."""
    a, b, value = sp.symbols("a b f", positive=True)
    room = sp.Symbol("room", nonnegative=True)  # 1 - r_c; a = r_c - phi > 0, 1 - phi = a + room
    resistance = 1 / (1 / a + 1 / b)
    proof.positive(resistance, "r_v - phi = 1/sum 1/(r_c - phi) > 0")
    least = (a + room) - resistance
    proof.positive(least, "r_v < 1 where two children meet: m > 1")
    parallel = a / (1 + value * a) + b / (1 + value * b) - (a + b) / (1 + value * (a + b))
    proof.positive(parallel, "x/(1 + f x) is subadditive: M_v <= sum M_c, so m <= K")
    size, gap = sp.Symbol("K", positive=True), sp.Symbol("gap", nonnegative=True)
    reach = sp.Symbol("m_1", positive=True)  # m - 1, with K - 1 = m_1 + gap
    first = proof.term("first grid value", -1 / (size - 1), -2 / (size - 1))
    proof.positive(
        (first + 1 / reach).subs(size, reach + gap + 1), "s* <= -1/(K-1), the released start",
        strict=False,
    )  # fmt: skip


@evidence(
    SMALLEST_S,
    EvidenceKind.SYMBOLIC,
    domain="all K: both Schur complements of [[A, -t 1], [1', 1]]; written out on [[0, 1], 2]",
    steps=("determinant",),
)
def determinant_lemma(proof: Proof) -> None:
    """The determinant of S is (1-s)^K det F (1 + t m), positive above s* and zero at it."""
    det_A, t = sp.symbols("det_A t", positive=True)
    corner = 1 + t * m
    by_first = det_A * corner
    lemma = proof.term("lemma", det_A * (1 + t * m))
    proof.equal(by_first, lemma, "det A det(1 + t 1'A^-1 1) = 1 det(A + t 11')")
    root = symbolic_tree([[0, 1], 2])
    F = similarities(root)
    inverse_sum = sum(solved(F, sp.ones(3, 1)).flat())
    S = (1 - s) * F + s * sp.ones(3, 3)
    formula = (1 - s) ** 3 * lemma.subs({det_A: F.det(), t: s / (1 - s), m: inverse_sum})
    proof.equal(S.det(), formula, "on the tree [[0, 1], 2]")
