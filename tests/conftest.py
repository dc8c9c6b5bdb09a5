"""Test-wide set-up: shape checking, hypothesis profiles, one thread a worker."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
from pathlib import Path

import hypothesis


# Modules whose annotations name Tensor only for the type checker, to stay torch-free.
TORCH_FREE = {
    "ufm._lazy", "ufm._shapes", "ufm._spec", "ufm._typing",
    "ufm.counts", "ufm.status", "ufm.methods",
    "ufm.problem", "ufm.claims", "ufm.cli", "ufm.geometry.specs", "ufm.losses",
    "ufm.center_counts", "ufm.geometry.similarity", "ufm.geometry.tree_network",
    "ufm.hierarchy._parse", "ufm.hierarchy.tree",
}  # fmt: skip


def _checked_modules() -> list[str]:
    importlib.import_module("ufm.runs.solve_runs")
    root = Path(__file__).parents[1] / "ufm"
    names = [module.name for module in pkgutil.walk_packages([str(root)], "ufm.", lambda _: None)]
    return [name for name in names if not TORCH_FREE & {name, name.rpartition(".")[0]}]


if importlib.util.find_spec("beartype"):
    # Every call in the tests is checked against the jaxtyping shapes in the signatures. Only the
    # bare interpreter of a GPU machine (`make gpu`) lacks the checker.
    jaxtyping = importlib.import_module("jaxtyping")
    jaxtyping.install_import_hook(_checked_modules(), "beartype.beartype")

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
