"""Methods: a head, a loss along training and decision rules, as plain numbers. Torch-free.

`deep.building.build` makes the head and the losses of `ufm` from a method. ``d = 0`` keeps the
network's width as the dimension of the features; another number puts a linear layer there
("feature widening", where a frame needs more dimensions than the network has).

Not here: contrast with k positives (KCL). Its first stage takes two augmentations an image, a
momentum encoder and a queue of 65,536 keys, and its second is a training of its own, a classifier
on frozen features with class-balanced sampling; a recipe is one training with one view an image.
The loss alone is `ufm.KPositives`.
"""

from __future__ import annotations

from typing import Literal

from ufm._spec import spec
from ufm.counts import check_count, check_number


Lengths = Literal["batch", "global"]
Counts = Literal["equal", "aware", "proportional"]


class Method:
    """Base of all methods; for ``isinstance``."""

    d: int = 0


@spec
class CE(Method):
    """A learned linear classifier and cross-entropy.

    Rules: ``argmax``; ``adjusted``, post-hoc logit adjustment by the class sizes; with a tree also
    ``crm``, the class of least expected distance.

    Attributes:
        transform: ``"none"``, or ``"residual"``: the hierarchy-aware frame's layers in front, its
            "type II" baseline.
        tree: Hierarchy of the rule ``crm``, or ``""``.
        d: Feature dimension; with ``"residual"`` 0 is K.

    References:
        Liang and Davis (2023) [liang2023]_ for type II; Menon et al. (2021) [menon2021]_ for the
        adjustment.
    """

    transform: Literal["none", "residual"] = "none"
    tree: str = ""
    d: int = 0


@spec
class ClassWeightedCE(Method):
    r"""Cross-entropy with weights :math:`(1-\beta)/(1-\beta^{n_k})` of the classes, of mean one.

    Attributes:
        beta: In [0, 1); near 1 the weights are inverse to the class sizes.
        start: Share of training before the weights are used (deferred re-weighting), in [0, 1].
        d: Feature dimension.

    References:
        Cui et al. (2019) [cui2019]_; deferred: Cao et al. (2019) [cao2019]_.
    """

    beta: float = 0.9999
    start: float = 0.0
    d: int = 0


@spec
class LogitAdjustedCE(Method):
    """A learned linear classifier; cross-entropy of ``z + tau log(pi)``.

    ``tau = 1`` is balanced softmax, and the attraction-repulsion-balanced loss with global counts.

    Attributes:
        tau: Strength.
        d: Feature dimension.

    References:
        Menon et al. (2021) [menon2021]_; Ren et al. (2020) [ren2020]_.
    """

    tau: float = 1.0
    d: int = 0


@spec
class ARB(Method):
    """A learned linear classifier and the attraction-repulsion-balanced loss.

    Attributes:
        counts: Counts of each ``"batch"`` (released default on CIFAR) or ``"global"`` ones.
        d: Feature dimension.

    References:
        Xie et al. (2023) [xie2023]_.
    """

    counts: Lengths = "batch"
    d: int = 0


@spec
class LDAMDRW(Method):
    """Cosine classifier, label-distribution-aware margins, deferred class weights.

    Attributes:
        max_margin: Margin of the rarest class.
        scale: Inverse temperature.
        beta: Of the class weights, as in `ClassWeightedCE`.
        start: Share of training after which the weights are used; 160 of 200 epochs.
        d: Feature dimension.

    References:
        Cao et al. (2019) [cao2019]_ and its released code.
    """

    max_margin: float = 0.5
    scale: float = 30.0
    beta: float = 0.9999
    start: float = 0.8
    d: int = 0


@spec
class ETFDR(Method):
    """A fixed simplex ETF and dot regression.

    Attributes:
        normalisation: ``"released"`` code (classes weigh the same in a batch) or as printed
            (``"paper"``, weights by root).
        lengths: Lengths of the class vectors from the counts of each ``"batch"`` (released
            default) or from ``"global"`` ones.
        d: Feature dimension.

    References:
        Yang et al. (2022) [yang2022]_.
    """

    normalisation: Literal["released", "paper"] = "released"
    lengths: Lengths = "batch"
    d: int = 0


@spec
class ETFCE(Method):
    """A fixed simplex ETF and cross-entropy.

    Attributes:
        E_W: Squared norm of the rows.
        E_H: Squared norm of the features.
        d: Feature dimension.

    References:
        Yang et al. (2022) [yang2022]_, Theorem 1.
    """

    E_W: float = 1.0
    E_H: float = 25.0
    d: int = 0


@spec
class NearestETF(Method):
    """The simplex ETF nearest to the class means, moved once a step, and cross-entropy.

    Attributes:
        E_H: Squared norm of the features.
        d: Feature dimension.

    References:
        Markou, Ajanthan and Gould (2024) [markou2024]_.
    """

    E_H: float = 25.0
    d: int = 0


@spec
class RBL(Method):
    """A learned rotation of a fixed frame, and cross-entropy.

    Rules: ``argmax``; ``adjusted``, post-hoc logit adjustment.

    Attributes:
        rows: ``"released"``: K columns of the centred identity of size d, nearly orthogonal.
            ``"simplex"``: the simplex ETF of K classes.
        d: Feature dimension.

    References:
        Peifeng et al. (2023) [peifeng2023]_.
    """

    rows: Literal["released", "simplex"] = "released"
    d: int = 0


@spec
class HierarchyMix(Method):
    """A fixed hierarchy-aware frame; cross-entropy mixed with the alignment of all cosines.

    Attributes:
        tree: Hierarchy, by name.
        gamma: Decay of the similarity.
        alpha: Weight of the alignment.
        rise: Schedule of alpha along training.
        d: Feature dimension; 0 is K.

    References:
        Liang and Davis (2023) [liang2023]_.
    """

    tree: str
    gamma: float = 2.0
    alpha: float = 0.4
    rise: Literal["constant", "linear_rise", "linear_fall", "cosine"] = "constant"
    d: int = 0


@spec
class CalibratedTargets(Method):
    """Soft targets calibrated to the hierarchy-aware frame.

    Attributes:
        tree: Hierarchy, by name.
        gamma: Decay of the similarity.
        beta: Length of the features aimed at, for unit rows.
        learnable: Whether the classifier is learned (the frame then emerges on balanced trees)
            or is the frame.
        d: Feature dimension; 0 is K for the frame.

    References:
        The calibration is ours; soft labels: Bertinetto et al. (2020) [bertinetto2020]_.
    """

    tree: str
    gamma: float = 2.0
    beta: float = 5.0
    learnable: bool = False
    d: int = 0


@spec
class Centers(Method):
    r"""A fixed multi-center frame and the regression of cosines on one: AL and CAL.

    Rules: ``regular`` (published), ``mean`` directions, ``general`` (best center).

    Attributes:
        f: Mean number of centers a class.
        theta: Angle of the centers.
        counts: ``"equal"`` (average loss, AL), ``"aware"`` (class-aware loss, CAL, by the published
            rule), or ``"proportional"`` to the inverse class sizes.
        weighting: Of the classes, as in `ufm.losses.CosineRegression`.
        lam: Weight of the norm term.
        d: Feature dimension.

    References:
        Yan et al. (2024) [yan2024]_.
    """

    f: float = 20.0
    theta: float = 0.2
    counts: Counts = "aware"
    weighting: Literal["cos_alpha", "one"] = "cos_alpha"
    lam: float = 6e-4
    d: int = 0


@spec
class CentersMSE(Method):
    """A fixed multi-center frame and squared error on all centers: problem P.

    Attributes:
        f: Mean number of centers a class.
        theta: Angle of the centers.
        counts: As in `Centers`.
        lam: Ridge of a sample's feature.
        d: Feature dimension.

    References:
        Yan et al. (2024) [yan2024]_, problem (P).
    """

    f: float = 20.0
    theta: float = 0.2
    counts: Counts = "aware"
    lam: float = 1e-2
    d: int = 0


def check_dimension(method: Method) -> int | None:
    """Feature dimension of a method as the heads take it.

    Args:
        method: The method.

    Returns:
        d, or None for the head's default.
    """
    return check_count("d", method.d, 0) or None


def check_start(start: float) -> float:
    """Check a share of the training.

    Args:
        start: The share.

    Returns:
        It.

    Raises:
        ValueError: If it is not in [0, 1].
    """
    if check_number("start", start) > 1:
        raise ValueError(f"start must be in [0, 1], got {start!r}")
    return start
