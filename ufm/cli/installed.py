"""What `ufm doctor` finds: versions, devices, the store, and what each feature lacks here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

import ufm
from ufm.runs import Store, default_root


class Feature(NamedTuple):
    """Something that needs more than the package itself.

    Attributes:
        name: What it does, and where.
        extra: Extra of the package that brings it.
        modules: Modules that must be there.
    """

    name: str
    extra: str
    modules: tuple[str, ...]


FEATURES = (
    Feature("proved brackets: --rigorous", "rigorous", ("flint",)),
    Feature("compiled kernels for batches", "fast", ("numba",)),
    Feature("compiled kernels on a GPU", "triton", ("triton",)),
    Feature("convex programs to compare with", "convex", ("cvxpy", "clarabel", "scs")),
    Feature("proofs: python -m proofs_check", "proofs", ("sympy",)),
    Feature(
        "figures and report: make figures",
        "figures",
        ("matplotlib", "tueplots", "jinja2", "latex2mathml", "PIL"),
    ),
    Feature("networks: python -m deep", "deep", ("sklearn", "pooch")),
    Feature("networks on folders of images", "vision", ("torchvision", "PIL")),
    Feature(
        "documentation: make docs",
        "docs",
        ("sphinx", "furo", "myst_parser", "sphinxcontrib.bibtex"),
    ),
    Feature("tests: make test", "dev", ("pytest", "xdist", "hypothesis", "beartype")),
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def installation() -> dict[str, Any]:
    """Versions, devices, threads, the store of runs, and what each feature lacks.

    Returns:
        JSON-able data; ``features`` has a row each with what is missing and what installs it.
    """
    return {
        "ufm": ufm.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": importlib.metadata.version("numpy"),
        "scipy": importlib.metadata.version("scipy"),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "store": _store(),
        "features": [*(_row(feature) for feature in FEATURES), *_others()],
    }


def _store() -> str:
    root = default_root()
    if not root.is_dir():
        return f"{root}: none yet; the first run or `make figures` makes it ($UFM_RUNS moves it)"
    return f"{root}: {len(Store(root).list())} runs; `ufm runs verify` checks them"


def _row(feature: Feature, found: Callable[[str], bool] | None = None) -> dict[str, Any]:
    missing = [name for name in feature.modules if not (found or _importable)(name)]
    install = f"pip install '.[{feature.extra}]' in the checkout" if missing else ""
    return {"feature": feature.name, "missing": missing, "install": install}


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the package that it should be in
        return False


def _others() -> Sequence[dict[str, Any]]:
    drives = ("playwright", "axe_playwright_python")
    missing = [name for name in drives if not _importable(name)]
    installs = ["pip install '.[dev]'"] * bool(missing)
    if not any(map(shutil.which, BROWSERS)):
        missing.append("chromium")
        installs.append("apt install chromium, or Chrome")
    browser = {
        "feature": "tests of the report in a browser",
        "missing": missing,
        "install": "; ".join(installs),
    }
    cuda = {
        "feature": "a GPU: device='cuda', make gpu",
        "missing": [] if torch.cuda.is_available() else ["CUDA device"],
        "install": "" if torch.cuda.is_available() else "a CUDA build of torch (pytorch.org)",
    }
    return browser, cuda
