"""What a loss on a fixed frame predicts for features of given lengths: the frame, or not the frame.

With W fixed the model splits over samples, so class sizes do not matter and each class has its own
small problem: the direction of a feature of its length that minimises the loss. Where the measured
angle to the frame is larger than the predicted one, training has not arrived; where the predicted
one is not zero, the loss does not want the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from deep.collapse import Classifier, Collapse, angles_between, unit
from ufm._typing import Float, Int, Tensor
from ufm.losses import FeatureLoss, Loss


STEPS = 300


@dataclass(frozen=True, eq=False)
class FramePrediction:
    """Directions that a loss wants, beside those measured.

    Attributes:
        features: Predicted feature of each class ``(K, d)``.
        predicted: Its angle to the frame's direction, degrees ``(K,)``.
        measured: Angle of the measured class mean to it ``(K,)``.
        between: Angle of the measured class mean to the predicted feature ``(K,)``.
    """

    features: Float[Tensor, "K d"]
    predicted: Float[Tensor, "K"]
    measured: Float[Tensor, "K"]
    between: Float[Tensor, "K"]

    def as_row(self) -> dict[str, Any]:
        """Means and largest values, degrees.

        Returns:
            Numbers by name.
        """
        return {
            f"angle_{name}_{how}": float(getattr(getattr(self, name), how)())
            for name in ("predicted", "measured", "between")
            for how in ("mean", "max")
        }


def predict_on_frame(measured: Collapse, loss: Loss | FeatureLoss) -> FramePrediction:
    """Minimise a loss over directions of the measured lengths, each class alone.

    Args:
        measured: A network with a fixed classifier.
        loss: The loss that it was trained with.

    Returns:
        The prediction.
    """
    classifier = measured.classifier
    length = torch.linalg.vector_norm(measured.moments.mean, dim=-1, keepdim=True)
    y = torch.arange(len(classifier.W), device=classifier.W.device)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(classifier.W.shape, generator=generator, dtype=torch.float64).to(length)
    starts = (unit(classifier.direction) + 1e-3 * unit(noise), unit(noise))
    found = [_minimised(start, length, classifier, loss, y) for start in starts]
    values = torch.stack([_value(H, classifier, loss, y) for H in found])
    features = torch.stack(found)[values.argmin(0), y]
    return FramePrediction(
        features,
        angles_between(features, classifier.direction),
        measured.angles,
        angles_between(measured.moments.mean, features),
    )


def _minimised(
    start: Float[Tensor, "K d"], length: Float[Tensor, "K 1"], classifier: Classifier,
    loss: Loss | FeatureLoss, y: Int[Tensor, "K"],
) -> Float[Tensor, "K d"]:  # fmt: skip
    V = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [V], max_iter=STEPS, tolerance_grad=1e-12, tolerance_change=0.0, history_size=30,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> float:
        optimiser.zero_grad()
        total = _value(length * unit(V), classifier, loss, y).sum()
        total.backward()
        return float(total.detach())

    optimiser.step(closure)
    return (length * unit(V)).detach()


def _value(
    H: Float[Tensor, "K d"], classifier: Classifier, loss: Loss | FeatureLoss, y: Int[Tensor, "K"]
) -> Float[Tensor, "K"]:
    if isinstance(loss, FeatureLoss):
        return loss.value(H, classifier.centers or classifier.W, y)
    return loss.value(classifier.W @ H.mT + classifier.b.unsqueeze(-1), y)
