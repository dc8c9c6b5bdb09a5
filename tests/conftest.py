"""Test-wide set-up: shape checking, hypothesis profiles, one thread a worker."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path

import hypothesis


# Modules whose annotations name Tensor only for the type checker, to stay torch-free.
TORCH_FREE = {
    "ufm._lazy", "ufm._shapes", "ufm._spec", "ufm._typing",
    "ufm.counts", "ufm.status", "ufm.methods",
    "ufm.problem", "ufm.problem_batch", "ufm.claims", "ufm.cli", "ufm.geometry.specs", "ufm.losses",
    "ufm.center_counts", "ufm.geometry.similarity", "ufm.geometry.tree_network",
    "ufm.hierarchy._parse", "ufm.hierarchy.tree",
}  # fmt: skip


# Modules that check their arguments themselves: their own one-line errors are what is tested.
CHECK_THEMSELVES = {
    "ufm.geometry.multicenter", "ufm.heads.multicenter", "ufm.heads.posthoc", "ufm.heads.rotated",
    "ufm.heads.rules", "ufm.heads.transform", "ufm.hierarchy.distances", "ufm.metrics.nc4",
    "ufm.metrics.record", "ufm.runs.request", "ufm.solvers.cuda.fused",
    "ufm.certificates.cuda.fused",
}  # fmt: skip

# Called in every step of every solver: checks there would double the time of the tests.
INNER_LOOPS = {"ufm.solvers", "ufm.objective", "ufm.manifold", "ufm._linalg"}


def _checked_modules() -> list[str]:
    # By file name: walking the packages would import most modules before the hook is in place.
    # Without the packages: the hook takes the name of one for all modules in it.
    root = Path(__file__).parents[1]
    files = (root / "ufm").rglob("[!_]*.py")
    names = sorted(".".join(file.relative_to(root).with_suffix("").parts) for file in files)
    skipped = TORCH_FREE | CHECK_THEMSELVES | INNER_LOOPS
    return [name for name in names if not skipped & {name, name.rpartition(".")[0]}]


if importlib.util.find_spec("beartype"):
    # Every call in the tests is checked against the jaxtyping shapes in the signatures. Only the
    # bare interpreter of a GPU machine (`make gpu`) lacks the checker.
    jaxtyping = importlib.import_module("jaxtyping")
    jaxtyping.install_import_hook(_checked_modules(), "shape_checker.check")

import pytest  # noqa: E402
import torch  # noqa: E402


torch.set_num_threads(1)

hypothesis.settings.register_profile(
    "ci", max_examples=25, deadline=None, derandomize=True, database=None
)
hypothesis.settings.register_profile("nightly", max_examples=250, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_modifyitems(items):
    """Skip CUDA tests where there is no CUDA, with a reason."""
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))


@pytest.fixture(autouse=True)
def _no_global_rng(request):
    """Catch hidden dependence on the global generator: fixed before each test."""
    torch.manual_seed(0)
