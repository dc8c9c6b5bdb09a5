"""Made-up results of networks, written as files: what figures and evidence read in tests."""

from __future__ import annotations

from pathlib import Path

from deep import results
from deep.methods import Centers
from deep.predicted import sigma_of
from deep.recipes import find
from deep.run import Outcome, Result


SIZES = {"digits": (143,) * 10, "digits-lt": (143, 110, 85, 66, 51, 39, 30, 23, 18, 14)}
EPOCHS = (20, 160, 300)


def write_results(root: Path, names, *, degrees: float = 1.0, seeds: int = 3) -> Path:
    """Write results of made-up networks that are close to their frames.

    Args:
        root: Folder of results.
        names: Recipes on digits or Fashion-MNIST.
        degrees: Angle of the class means to the frame at the end.
        seeds: How many seeds of each.

    Returns:
        The folder.
    """
    for name in names:
        for seed in range(seeds):
            results.write(_result(name, seed, degrees), device="cpu", root=root)
    return root


def _result(name: str, seed: int, degrees: float) -> Result:
    rows = []
    for epoch in EPOCHS:
        probe = {"train": _side(name, epoch, seed, degrees), "test": _side(name, epoch, seed, 9.0)}
        rows.append({"epoch": epoch, "loss": 1 / epoch, "train": 1.0, "test": 0.9, "probe": probe})
    return Result(find(name), seed, Outcome.FINISHED, rows, 1.5, None)  # pyright: ignore[reportArgumentType]


def _side(name: str, epoch: int, seed: int, degrees: float) -> dict:
    n = SIZES["digits-lt" if name.startswith("digits-lt") else "digits"]
    K, method = len(n), find(name).method
    falling = degrees * EPOCHS[-1] / epoch * (1 + seed / 10)
    identity = [[float(i == j) for j in range(K)] for i in range(K)]
    side = {
        "nc1_quot": falling / 100, "nc2_etf_err": falling / 50, "nc3_self_dual": falling / 60,
        "nc4_agree": 1.0, "angle_mean": falling, "E_W": 1.6, "E_H": 25.0, "accuracy": 1.0,
        **dict.fromkeys(("gram_W", "gram_H", "Z"), identity),
        "per_class": [1 - k / 50 for k in range(K)],
        "confusion": [[n[i] if i == j else 0 for j in range(K)] for i in range(K)],
    }  # fmt: skip
    if isinstance(method, Centers):
        side |= {"nc_ave": falling / 500, "nc_std": falling / 900,
                 "sigma": sigma_of(method, n) + falling / 500}  # fmt: skip
    return side
