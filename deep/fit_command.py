"""``python -m deep fit``: the model that explains a trained network, and what it predicts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from deep import saved
from deep.collapse import Classifier, collapse
from deep.data import load
from deep.fit import BAD, METRICS, MODELS, Fit, Prediction, fit, shape_row
from deep.frame_fit import FramePrediction, predict_on_frame
from deep.model import restore
from deep.probe import linear_rule, save_features
from deep.saved import Saved
from ufm.losses import CrossEntropy, FeatureLoss, Loss


NONE = (
    f"no model of free features explains this network: each leaves over more than {BAD:g} of the "
    "gradient, and its prediction is of another network; the layers in front of the classifier, "
    "or training that is not done, decide where the features go"
)
SHOWN = ("norm_W", "norm_H", "cos_mean", "cos_min", "cos_max", "angle_WH_mean", *METRICS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command.

    Args:
        parser: Its parser.
    """
    parser.add_argument("file", type=Path, help="checkpoint, run folder, or .npz as for probe")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--fixed", action="store_true", help=".npz: the classifier was not trained")
    parser.add_argument("--weights", type=float, nargs="+", metavar="OMEGA",
                        help="loss weight of a sample of each class (default: equal)")  # fmt: skip
    parser.add_argument("--centred", action="store_true", help="features about their global mean, "
                        "whose product with W is taken for a bias")  # fmt: skip
    parser.add_argument("--folder", type=Path, help="where the data is (default $UFM_DATA or data)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    """Fit and write.

    Args:
        arguments: Parsed arguments.

    Returns:
        0 if some model explains the network or its frame is predicted, 1 if none does.

    Raises:
        ValueError: If the file is neither a checkpoint nor features, or they are all zero.
    """
    if saved.expected(arguments.file).suffix == ".npz":
        features = saved.read(arguments.file)
        for name in ("features", "W"):
            if not bool(getattr(features, name).any()):
                raise ValueError(f"{name} must not all be zero: no model explains that, got zeros")
        given = Given(features, CrossEntropy(), arguments.weights, fixed=arguments.fixed)
    else:
        given = trained(arguments)
    found = None if isinstance(given.loss, FeatureLoss) else fitted(given, arguments)
    if arguments.json:
        row = ({} if found is None else found.as_row()) | (
            {} if given.frame is None else {"frame": given.frame.as_row()}
        )
        sys.stdout.write(json.dumps(row, indent=1) + "\n")
    else:
        text = "" if given.frame is None else on_frame(given.frame)
        sys.stdout.write(text + ("" if found is None else report(found)))
    explained = found is None or any(p.explains for p in found.predictions)
    return 0 if explained or given.frame is not None else 1


@dataclass(frozen=True, eq=False)
class Given:
    """What is to be explained.

    Attributes:
        features: Training features and linear rule.
        loss: What it was trained with.
        weights: Loss weight of a sample of each class, or None.
        fixed: Whether the classifier was fixed.
        frame: What the loss predicts on a fixed frame, or None.
    """

    features: Saved
    loss: Loss | FeatureLoss
    weights: Sequence[float] | None
    fixed: bool
    frame: FramePrediction | None = None


def trained(arguments: argparse.Namespace) -> Given:
    """A checkpoint's features on its training images, its loss, and what that says of its frame.

    Args:
        arguments: Parsed arguments.

    Returns:
        What is to be explained.

    Raises:
        ValueError: If the loss is one of features on a classifier that was trained.
    """
    found = restore(arguments.file, device=arguments.device)
    recipe, head = found.recipe, found.model.head
    loss = found.built.loss_at(recipe.epochs - 1, recipe.epochs)
    fixed = not any(True for _ in _classifier_parameters(head))
    if isinstance(loss, FeatureLoss) and not fixed:
        raise ValueError(
            f"fit needs a loss on logits or a fixed frame, {recipe.name} has "
            f"{type(loss).__name__} on a classifier that is trained"
        )
    data = load(recipe.data, folder=arguments.folder, seed=found.seed)
    features = save_features(found.model, data.train, mean=data.mean, std=data.std)
    weights = arguments.weights
    if recipe.sampling == "class-balanced" and weights is None:
        weights = [1 / n for n in data.train.n]
    frame = None
    if fixed:
        rule = linear_rule(found.model.cpu().head)
        frame = predict_on_frame(collapse(features.batches, rule), loss)
    return Given(features, loss, weights, fixed=fixed, frame=frame)


def _classifier_parameters(head: torch.nn.Module) -> Iterator[torch.nn.Parameter]:
    # All parameters of a head but those of its transformation.
    return (p for name, p in head.named_parameters() if not name.startswith("transform."))


def fitted(given: Given, arguments: argparse.Namespace) -> Fit:
    """The models of features and a loss on logits.

    Args:
        given: What is to be explained.
        arguments: Parsed arguments.

    Returns:
        The fit.
    """
    features = saved.centred(given.features) if arguments.centred else given.features
    return fit(
        features.batches, Classifier.of(features.W, features.bias),
        loss=given.loss,  # pyright: ignore[reportArgumentType]
        weights=given.weights, fixed=given.fixed, has_bias=features.has_bias,
        models=arguments.models,
    )  # fmt: skip


def on_frame(found: FramePrediction) -> str:
    """Predicted and measured angles to a fixed frame as plain text.

    Args:
        found: The prediction.

    Returns:
        Three lines.
    """
    row = found.as_row()
    names = {
        "predicted": "at their lengths the loss wants class means off the frame by",
        "measured": "they are off the frame by",
        "between": "and off what the loss wants by",
    }
    return "".join(
        f"{text} {row[f'angle_{name}_mean']:.4g} degrees (at most {row[f'angle_{name}_max']:.4g})\n"
        for name, text in names.items()
    )


def report(found: Fit) -> str:
    """Prediction against measurement as plain text.

    Args:
        found: The fit.

    Returns:
        A paragraph on each model, then a table.
    """
    balance = found.balance
    lines = [
        f"risk {balance.risk:.6g}, classes {balance.n.tolist()}",
        f"E_W {float(found.measured.E_W.mean()):.6g}, E_H {float(found.measured.E_H.mean()):.6g}",
        *(_paragraph(p) for p in found.predictions),
    ]
    rows = {"measured": shape_row(found.measured)}
    rows |= {p.model: shape_row(p.predicted) for p in found.predictions if p.predicted}
    lines.append(f"{'':14}  " + "  ".join(f"{name:>12}" for name in rows))
    for name in SHOWN:
        lines.append(f"{name:14}  " + "  ".join(f"{row[name]:>12.6g}" for row in rows.values()))
    if not any(p.explains for p in found.predictions):
        lines.append(NONE)
    return "\n".join(lines) + "\n"


def _paragraph(p: Prediction) -> str:
    parts = (("W", p.residual_W), ("H", p.residual_H), ("class means", p.residual_means),
             ("b", p.residual_b))  # fmt: skip
    left = ", ".join(f"{side} {share:.3g}" for side, share in parts)
    if p.problem is None or p.certificate is None:
        return f"{p.model}: no model; {p.reason} (gradient left over: {left})"
    verdict = "explains the gradient" if p.explains else "does NOT explain the gradient"
    proof = "certified" if bool(p.certificate.passed) else "NOT certified"
    return (
        f"{p.model}: {_short(p.problem.reg)}, {_short(p.problem.bias)}; {verdict} "
        f"(left over: {left}); optimum {float(p.certificate.primal):.6g} {proof}, "
        f"the network is {p.excess:.3g} above it, geometry {p.distance:.3g} away"
    )


def _short(spec: Any) -> str:
    fields = ", ".join(f"{name}={value:.4g}" for name, value in vars(spec).items())
    return f"{type(spec).__name__}({fields})" if fields else type(spec).__name__
