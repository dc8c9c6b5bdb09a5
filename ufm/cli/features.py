"""What `ufm nc` measures: collapse, mistakes against a hierarchy, collapse to several centers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

import ufm
from ufm.cli import report
from ufm.cli.arguments import Nc
from ufm.cli.files import check_file, read_arrays
from ufm.cli.model import read_tree
from ufm.geometry import Centers
from ufm.hierarchy import distance_matrix
from ufm.metrics import hierarchy_metrics, multicenter_collapse, nc
from ufm.solution import Solution


def show_metrics(args: Nc) -> None:
    """Measure the features of a file and report what was found.

    Args:
        args: The command.
    """
    records = _of_arrays(args) if args.file.suffix == ".npz" else _of_solution(args)
    if args.json:
        report.json({"version": ufm.__version__, "metrics": records})
    report.columns("neural-collapse metrics", records)


def _of_arrays(args: Nc) -> list[dict[str, Any]]:
    arrays = read_arrays(args.file, required=("W", "H", "y"))
    W, H, y = arrays["W"], arrays["H"], arrays["y"]
    record: dict[str, Any] = dict(nc(W, H, y, arrays.get("b")).as_row())
    scores = H.T @ W.T + arrays.get("b", 0.0)
    labels = torch.as_tensor(y, dtype=torch.long)
    record |= _hierarchy(args, torch.as_tensor(scores), labels)
    return [record | _centers(arrays, torch.as_tensor(H), labels)]


def _of_solution(args: Nc) -> list[dict[str, Any]]:
    check_file(args.file)
    sol = Solution.load(args.file)
    singles = [sol[i] for i in range(len(sol))] if sol.batch_shape else [sol]
    return [
        {**single.nc().as_row(), **_hierarchy(args, single.Z.mT, single.y)} for single in singles
    ]


def _hierarchy(args: Nc, scores: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    if args.tree is None:
        return {}
    tree, K = read_tree(args.tree), scores.shape[1]
    if tree.K != K:
        raise ValueError(f"tree must have K={K} leaves, got {tree.K}")
    D = distance_matrix(tree, args.convention)
    return hierarchy_metrics(scores, y, D, k=args.k or None).as_row()


def _centers(
    arrays: Mapping[str, np.ndarray], H: torch.Tensor, y: torch.Tensor
) -> dict[str, float]:
    given = [name for name in ("centers", "owner") if name in arrays]
    if not given:
        return {}
    if len(given) < 2:
        raise ValueError(f"file must hold centers and owner together, got {given[0]} alone")
    W, centers = (torch.as_tensor(arrays[name]).to(H) for name in ("W", "centers"))
    owner, K = torch.as_tensor(arrays["owner"], dtype=torch.long), len(W)
    if centers.ndim != 2 or centers.shape[1] != W.shape[1]:
        raise ValueError(f"centers must be F x d with d={W.shape[1]}, got {tuple(centers.shape)}")
    if owner.shape != centers.shape[:1] or set(owner.tolist()) != set(range(K)):
        raise ValueError(
            f"owner must give each of the F={len(centers)} centers its class, each of 0..{K - 1} "
            f"at least one, got {len(owner)} entries of {len(set(owner.tolist()))} classes"
        )
    found = multicenter_collapse(H, y, Centers(W, centers, owner))
    names = ("nc_ave", "nc_std", "sigma")
    return {f"multicenter_{name}": float(getattr(found, name)) for name in names}
