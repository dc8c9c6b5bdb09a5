"""The symbols of claims, in words: those of all papers, and those of a claim's own."""

from __future__ import annotations


Symbols = tuple[tuple[str, str], ...]
COMMON: Symbols = (
    ("K, d, N", "classes, feature dimension (p in some papers), samples"),
    ("n_k, pi_k", "size of class k; its share in the loss: size times weight, over their sum"),
    ("W, w_k", "classifier, K × d, and its row of class k"),
    ("H, h", "features, a column of length d for each sample, or for each class mean"),
    ("Z, Q", "logits W H, and the softmax of their columns"),
    ("G", "gradient of the risk in the logits; mu is its largest singular value at the optimum"),
    ("E_W, E_H", "bounds on squared norms: on average over rows and features, or of each"),
    ("lam_W, lam_H", "weights of the ridges on W and H; lam is the root of their product"),
    ("|Z|_op, |Z|_*", "largest singular value, and their sum; a prime is a transpose"),
)
BUDGETS: Symbols = (
    ("tau", "K times the root of E_W E_H: bound on |Z|_*"),
    ("K_A, K_B, R", "large and small classes of a step profile, and the ratio of their sizes"),
    ("R_0, R_1", "ratios from which the small classes are merged, and are zero"),
)
RIDGES: Symbols = (
    ("D", "size of a class with a ridge per sample, 1 with a ridge per class mean"),
    ("kappa", "root of D lam_W lam_H"),
)
TREES: Symbols = (
    ("F", "similarities of classes, f of their distance in the tree; f falls at the rate gamma"),
    ("S", "cosines of the frame, (1-s) F + s; s* is the lowest feasible s"),
    ("beta, t", "calibrated soft targets: softmax of beta S, column by column"),
    ("alpha", "weight of the alignment in its mix with cross-entropy"),
)
CENTERS: Symbols = (
    ("f_k, theta", "centers of class k; angle parameter of the frame, the same for all classes"),
    ("e", "unit mean center of a class, the direction of the mean of its centers"),
    ("alpha_k, rho_k", "angles of a center, and of the class vector w_k, with the mean center"),
    ("g_k, S", "cos^2(theta) + f_k sin^2(theta), and the sum of all f_k n_k"),
    ("P", "squared error of the logits of all centers, with ridges on features and frame"),
    ("RCR, GCR", "decision by the class vectors, and by the best of all centers"),
)
OWN = {
    "fang2021": BUDGETS,
    "yang2022": BUDGETS,
    "yaras2022": BUDGETS[:1],
    "zhu2021": RIDGES,
    "tirer2022": RIDGES,
    "hong2024": RIDGES,
    "liang2023": (*RIDGES, *TREES),
    "yan2024": CENTERS,
}


def notation(paper: str) -> Symbols:
    """Symbols that a reader of a claim may look up.

    Args:
        paper: Key of the paper that the claim is listed under.

    Returns:
        Symbols and meanings, in plain-text mathematics.
    """
    return COMMON + OWN.get(paper, ())
