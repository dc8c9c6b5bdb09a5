"""The layer-peeled model that explains a trained network: estimated, solved, certified, compared.

``python -m deep fit`` estimates the strengths of each model from the network's own gradient
balance, solves and certifies the model with the network's class sizes, and shows the geometry it
predicts beside the measured one. The estimate does not look at the geometry: that is a prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from deep.balance import Balance, balance, residuals
from deep.collapse import Batches, Classifier, Collapse, collapse
from ufm._spec import encode
from ufm._typing import Float, Tensor
from ufm.certificates import Certificate
from ufm.certified import solve_certified
from ufm.geometry import ExplicitFrame, cosines, distance, norms
from ufm.losses import CrossEntropy, Loss
from ufm.problem import (
    AverageBudget,
    Bias,
    ClassMeanDecay,
    Fixed,
    FreeBias,
    Learnable,
    NoBias,
    PenalisedBias,
    Problem,
    Regulariser,
    VectorBudget,
    WeightDecay,
)


MODELS = ("decay", "class-decay", "budget", "vector")
METRICS = ("nc2_etf_err", "nc2_equinorm", "nc2_maxangle", "nc2_of_err", "nc3_self_dual",
           "nc3_dual_err")  # fmt: skip
# A model that leaves over more of the gradient than this does not explain the point.
BAD = 0.1


@dataclass(frozen=True, eq=False)
class Prediction:
    """One model of the network and what it says.

    Attributes:
        model: ``decay`` (`ufm.WeightDecay`), ``class-decay`` (`ufm.ClassMeanDecay`), ``budget``
            (`ufm.AverageBudget`) or ``vector`` (`ufm.VectorBudget`).
        residual_W: Share of the gradient in W that the model leaves over, 0 to 1; 0 if W is fixed.
        residual_H: The same for the features of samples.
        residual_means: The same for class means, in which noise within classes averages out.
        residual_b: The same for the bias.
        problem: The model with its estimated strengths, or None.
        reason: Why there is no problem; empty otherwise.
        certificate: Certificate of the predicted optimum.
        predicted: Its class means and classifier, measured as the network's are.
        excess: Objective of the network above the certified optimum.
        distance: `ufm.distance` of the measured and the predicted geometry.
    """

    model: str
    residual_W: float
    residual_H: float
    residual_means: float
    residual_b: float
    problem: Problem | None
    reason: str = ""
    certificate: Certificate | None = None
    predicted: Collapse | None = None
    excess: float = math.nan
    distance: float = math.nan

    @property
    def residual(self) -> float:
        """The largest of the residuals that a model of class means has to explain."""
        return max(self.residual_W, self.residual_means, self.residual_b)

    @property
    def explains(self) -> bool:
        """Whether the gradient balances to within a tenth."""
        return self.problem is not None and self.residual <= BAD


@dataclass(frozen=True, eq=False)
class Fit:
    """A network and the models of it, best balanced first.

    Attributes:
        measured: What was measured.
        balance: Its gradient sums.
        predictions: One a model.
    """

    measured: Collapse
    balance: Balance
    predictions: tuple[Prediction, ...]

    @property
    def best(self) -> Prediction:
        """The model with the smallest residual."""
        return self.predictions[0]

    def as_row(self) -> dict[str, Any]:
        """JSON-able summary.

        Returns:
            ``measured`` (metrics, norms, strengths by class) and ``models``, a list.
        """
        b = self.balance
        measured = {
            "n": b.n.tolist(),
            "risk": b.risk,
            "E_W": float(self.measured.E_W.mean()),
            "E_H": float(self.measured.E_H.mean()),
            "lam_W_by_class": b.lam_W_by_class.tolist(),
            "lam_H_by_class": b.lam_H_by_class.tolist(),
            **shape_row(self.measured),
        }
        return {"measured": measured, "models": [self._row(p) for p in self.predictions]}

    def _row(self, p: Prediction) -> dict[str, Any]:
        row: dict[str, Any] = {
            "model": p.model,
            "residual": p.residual,
            "residual_W": p.residual_W,
            "residual_H": p.residual_H,
            "residual_means": p.residual_means,
            "residual_b": p.residual_b,
            "explains": p.explains,
        }
        if p.problem is None or p.predicted is None or p.certificate is None:
            return row | {"reason": p.reason}
        return row | {
            "strengths": encode(p.problem.reg),
            "bias": encode(p.problem.bias),
            "certified": bool(p.certificate.passed),
            "gap": float(p.certificate.gap),
            "value": float(p.certificate.primal),
            "excess": p.excess,
            "distance": p.distance,
            **cosine_error(self.measured, p.predicted),
            "predicted": shape_row(p.predicted),
        }


def shape_row(found: Collapse, *, up_to: int = 10) -> dict[str, Any]:
    """Norms, cosines and NC metrics of a classifier and its class means.

    Args:
        found: Measured or predicted.
        up_to: Largest K whose norms are listed.

    Returns:
        Numbers by name.
    """
    geometry, record = found.geometry, found.record.as_row()
    K = len(found.count)
    cos = _pairs(cosines(geometry.gram_H))
    row: dict[str, Any] = {
        "norm_W": float(norms(geometry.gram_W).mean()),
        "norm_H": float(norms(geometry.gram_H).mean()),
        "cos_mean": float(cos.nanmean()),
        "cos_min": float(cos.nan_to_num(math.inf).min()),
        "cos_max": float(cos.nan_to_num(-math.inf).max()),
        "angle_WH_mean": float(found.angles.nanmean()),
        **{name: record[name] for name in METRICS},
    }
    if up_to >= K:
        row |= {f"norms_{side}": norms(getattr(geometry, f"gram_{side}")).tolist() for side in "WH"}
    return row


def cosine_error(measured: Collapse, predicted: Collapse) -> dict[str, float]:
    """Differences of the cosines of class means and of classifier rows.

    Args:
        measured: The network.
        predicted: The model's optimum.

    Returns:
        ``cos_H_error_mean``, ``cos_H_error_max`` and the same of W; pairs with a vanished vector
        are left out.
    """
    row = {}
    for side in "HW":
        ours, theirs = (
            _pairs(cosines(getattr(x.geometry, f"gram_{side}"))) for x in (measured, predicted)
        )
        off = (ours - theirs.to(ours)).abs()
        off = off[off.isfinite()]
        row[f"cos_{side}_error_mean"] = float(off.mean()) if len(off) else math.nan
        row[f"cos_{side}_error_max"] = float(off.max()) if len(off) else math.nan
    return row


def _pairs(M: Float[Tensor, "K K"]) -> Float[Tensor, "P"]:
    i, j = torch.triu_indices(len(M), len(M), 1, device=M.device)
    return M[i, j]


def fit(
    batches: Batches,
    classifier: Classifier,
    *,
    loss: Loss = CrossEntropy(),
    weights: Sequence[float] | None = None,
    fixed: bool = False,
    has_bias: bool = False,
    models: Sequence[str] = MODELS,
) -> Fit:
    """Fit each model to a network and predict its geometry.

    Args:
        batches: Called for an iterator over ``(features, labels)``, the same samples each time.
        classifier: The linear rule.
        loss: Loss on the logits that the network was trained with.
        weights: Loss weight of a sample of each class; equal by default.
        fixed: Whether the classifier was fixed.
        has_bias: Whether the classifier has a bias.
        models: Which models, of `MODELS`.

    Returns:
        The fit, best balanced model first.

    Raises:
        ValueError: If a model is unknown or sizes do not fit.
    """
    unknown = sorted(set(models) - set(MODELS))
    if unknown or not models:
        raise ValueError(
            f"models must be of {', '.join(MODELS)}, got {', '.join(unknown) or 'none'}"
        )
    measured = collapse(batches, classifier)
    weight = _sample_weights(measured, weights)
    sums = balance(batches, classifier, loss, weight=weight)
    n = sums.n.to(weight)
    ridges = torch.stack([torch.full_like(n, sums.per_sample), sums.per_class_mean / n])
    shares, own = residuals(batches, classifier, loss, weight=weight, ridges=ridges, E_H=sums.E_H)
    left = {"decay": shares[0], "class-decay": shares[1], "budget": shares[1], "vector": own}
    means = [sums.residual_means(ridge) for ridge in ridges]
    by_mean = {"decay": means[0], "class-decay": means[1], "budget": means[1],
               "vector": sums.residual_means()}  # fmt: skip
    stated = _Statement(measured, sums, loss, fixed=fixed, has_bias=has_bias,
                        weights=None if weights is None else tuple(weights))  # fmt: skip
    predictions = [_predict(name, stated, (float(left[name]), by_mean[name])) for name in models]
    return Fit(measured, sums, tuple(sorted(predictions, key=lambda p: p.residual)))


@dataclass(frozen=True, eq=False)
class _Statement:
    measured: Collapse
    sums: Balance
    loss: Loss
    fixed: bool
    has_bias: bool
    weights: tuple[float, ...] | None

    @property
    def bias(self) -> Bias:
        if not self.has_bias:
            return NoBias()
        if self.sums.bias_is_free or self.sums.lam_b <= 0:
            return FreeBias()
        return PenalisedBias(self.sums.lam_b)

    def problem(self, reg: Regulariser) -> Problem:
        K, d = self.measured.classifier.W.shape
        d = min(K, d)  # more dimensions change nothing: rank W and rank H-bar are at most K
        classifier = Learnable()
        if self.fixed:
            U, S, _ = torch.linalg.svd(self.measured.classifier.W, full_matrices=False)
            classifier = Fixed(ExplicitFrame(tuple(map(tuple, (U * S).tolist()))))
        return Problem(K=K, d=d, n=tuple(self.sums.n.tolist()), loss=self.loss, reg=reg,
                       bias=self.bias, classifier=classifier, weights=self.weights)  # fmt: skip


def _sample_weights(measured: Collapse, weights: Sequence[float] | None) -> Float[Tensor, "K"]:
    n = measured.count.to(torch.float64)
    omega = torch.ones_like(n) if weights is None else torch.as_tensor(weights).to(n)
    if omega.shape != n.shape or not bool((omega > 0).all()):
        raise ValueError(f"weights must be K={len(n)} positive numbers, got {weights}")
    return omega / (omega * n).sum()


def _strengths(model: str, stated: _Statement) -> Regulariser | str:
    # The regulariser, or why there is none.
    sums, measured = stated.sums, stated.measured
    match model:
        case "budget":
            return AverageBudget(float(measured.E_W.mean()), float(measured.E_H.mean()))
        case "vector":
            return VectorBudget(float(measured.E_W.max()), sums.E_H)
    lam_H = sums.per_sample if model == "decay" else sums.per_class_mean
    lam_W = sums.lam_W if not stated.fixed else 0.0
    for name, strength in (("lambda_H", lam_H), ("lambda_W", lam_W)):
        if strength < 0 or (strength == 0 and not stated.fixed):
            return (
                f"the gradient asks for {name} = {strength:.3g}, not positive: no ridge balances it"
            )
    return WeightDecay(lam_W, lam_H) if model == "decay" else ClassMeanDecay(lam_W, lam_H)


def _predict(model: str, stated: _Statement, features: tuple[float, float]) -> Prediction:
    sums = stated.sums
    residual_W = sums.residual_W_rows if model == "vector" else sums.residual_W
    left = (
        0.0 if stated.fixed else residual_W,
        *features,
        sums.residual_b if stated.has_bias else 0.0,
    )
    reg = _strengths(model, stated)
    if isinstance(reg, str):
        return Prediction(model, *left, problem=None, reason=reg)
    problem = stated.problem(reg)
    solution, certificates = solve_certified(problem)
    best, certificate = solution[0], certificates[0]
    columns = (best.H.mT, torch.arange(problem.K))
    predicted = collapse(lambda: iter([columns]), Classifier.of(best.W, best.b))
    return Prediction(
        model,
        *left,
        problem=problem,
        certificate=certificate,
        predicted=predicted,
        excess=_objective(stated, reg) - float(certificate.dual),
        distance=float(distance(stated.measured.geometry, predicted.geometry)),
    )


def _objective(stated: _Statement, reg: Regulariser) -> float:
    # The network's own objective: its samples, not its class means.
    sums, W = stated.sums, stated.measured.classifier.W
    value = sums.risk
    if stated.has_bias and isinstance(stated.bias, PenalisedBias):
        value += stated.bias.lam_b / 2 * float(stated.measured.classifier.b.square().sum())
    if isinstance(reg, WeightDecay | ClassMeanDecay):
        per_class = sums.hh if isinstance(reg, WeightDecay) else sums.hh / sums.n
        value += reg.lam_H / 2 * float(per_class.sum())
        value += 0 if stated.fixed else reg.lam_W / 2 * float(W.square().sum())
    return value
