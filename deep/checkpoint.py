"""Checkpoints: written whole or not at all, read without unpickling code, tied to their recipe."""

from __future__ import annotations

import dataclasses
import io
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from deep.recipe import LABELS, Recipe
from ufm._spec import decode, encode
from ufm.runs.files import write_atomic


FORMAT = 1
NAME = "checkpoint.pt"


def save(path: Path, state: dict[str, Any], *, recipe: Recipe) -> None:
    """Write a checkpoint under a temporary name, sync, rename.

    Args:
        path: Where to.
        state: Tensors, numbers, strings, lists and dictionaries.
        recipe: What made it.

    Raises:
        OSError: One line naming the folder, if it cannot be written; the file there is untouched.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "recipe": encode(recipe), **state}, buffer)
    write_atomic({path: buffer.getvalue()}, role="out")


def load(path: Path, *, recipe: Recipe | None = None, seed: int | None = None) -> dict[str, Any]:
    """Read a checkpoint; nothing but data is unpickled.

    Args:
        path: File, or folder that holds one.
        recipe: What it must have been made by; None takes any.
        seed: The seed it must be of; None takes any.

    Returns:
        The state, tensors on the CPU.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is no checkpoint or damaged, of another format, of another recipe (both
            are named, with what differs) or of another seed.
    """
    if path.is_dir() and not (path / NAME).exists():
        raise FileNotFoundError(f"folder must be a run's and hold {NAME}, {path} does not")
    path = path / NAME if path.is_dir() else path
    if not path.exists():
        raise FileNotFoundError(f"checkpoint must exist, there is no {path}")
    try:
        _check_bytes(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, RuntimeError, OSError,
            KeyError, ValueError, zlib.error) as error:  # fmt: skip
        reason = str(error).strip().partition("\n")[0]
        # Only training has a use for a new one in its place.
        advice = "" if recipe is None else "; delete it to start again"
        raise ValueError(
            f"checkpoint must be a whole file, got {path} ({reason}){advice}"
        ) from error
    if not isinstance(state, dict) or "recipe" not in state:
        raise ValueError(f"checkpoint must be one of `python -m deep train`, got {path}")
    if state.get("format") != FORMAT:
        raise ValueError(
            f"checkpoint must have format {FORMAT}, {path} has {state.get('format')!r}"
        )
    if recipe is not None:
        _check_recipe(path, decode(state["recipe"]), recipe)
    if seed is not None and state["seed"] != seed:
        raise ValueError(f"checkpoint must be of seed {seed}, {path} is of seed {state['seed']}")
    return state


def _check_bytes(path: Path) -> None:
    # Torch itself does not compare the checksums that it writes.
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")


def _check_recipe(path: Path, found: Recipe, wanted: Recipe) -> None:
    if found.digest == wanted.digest:
        return
    names = [f.name for f in dataclasses.fields(Recipe) if f.name not in LABELS]
    differ = [name for name in names if getattr(found, name) != getattr(wanted, name)]
    name = differ[0]
    raise ValueError(
        f"checkpoint must be of recipe {wanted.name!r}, {path} is of {found.name!r} "
        f"({name}={getattr(found, name)!r} instead of {getattr(wanted, name)!r}"
        + (f"; {', '.join(differ[1:])} differ too)" if differ[1:] else ")")
    )
