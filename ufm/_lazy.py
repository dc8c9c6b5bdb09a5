"""Lazy package attributes (PEP 562), so that the command line does not pay for torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def attach(package: str, exports: Mapping[str, str]) -> tuple[Callable, Callable, list[str]]:
    """Build ``__getattr__``, ``__dir__`` and ``__all__`` of a package from ``name -> module``.

    Args:
        package: ``__name__`` of the package.
        exports: Public name to the relative module that defines it (``"certify": ".certify"``).

    Returns:
        The three objects, to be bound at module level.
    """
    names = sorted(exports)

    def getattr_(name: str):
        if name not in exports:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        # No public name may equal a submodule's: importing the submodule would replace it.
        return getattr(importlib.import_module(exports[name], package), name)

    return getattr_, lambda: names, names
