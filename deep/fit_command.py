"""``python -m deep fit``: the model that explains a trained network, and what it predicts."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from deep import saved
from deep.collapse import Classifier
from deep.data import load
from deep.fit import METRICS, MODELS, Fit, Prediction, fit, shape_row
from deep.model import restore
from deep.probe import save_features
from ufm.losses import CrossEntropy, Loss


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
        0 if some model explains the network, 1 if none does.
    """
    found = fitted(arguments)
    text = json.dumps(found.as_row(), indent=1) + "\n" if arguments.json else report(found)
    sys.stdout.write(text)
    return 0 if any(p.explains for p in found.predictions) else 1


def fitted(arguments: argparse.Namespace) -> Fit:
    """The fit of a checkpoint on its training images, or of saved features.

    Args:
        arguments: Parsed arguments.

    Returns:
        The fit.

    Raises:
        ValueError: If the network was trained with a loss that is not one on logits.
    """
    loss: Any = CrossEntropy()
    weights, fixed = arguments.weights, arguments.fixed
    if arguments.file.suffix == ".npz":
        features = saved.read(arguments.file)
    else:
        found = restore(arguments.file, device=arguments.device)
        recipe = found.recipe
        loss = found.built.loss_at(recipe.epochs - 1, recipe.epochs)
        if not isinstance(loss, Loss):
            raise ValueError(
                f"fit needs a loss on logits, {recipe.name} has {type(loss).__name__}, whose "
                "optimum is its own frame: see angle_mean of `python -m deep probe`"
            )
        data = load(recipe.data, folder=arguments.folder, seed=found.seed)
        features = save_features(found.model, data.train, mean=data.mean, std=data.std)
        fixed = not isinstance(found.model.head.frame, torch.nn.Parameter)
        if recipe.sampling == "class-balanced" and weights is None:
            weights = [1 / n for n in data.train.n]
    if arguments.centred:
        features = saved.centred(features)
    return fit(
        features.batches, Classifier.of(features.W, features.bias), loss=loss, weights=weights,
        fixed=fixed, has_bias=features.has_bias, models=arguments.models,
    )  # fmt: skip


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
