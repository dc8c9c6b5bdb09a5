"""Lazy package attributes (PEP 562), so that the command line does not pay for torch."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping


def attach(package: str, exports: Mapping[str, str]) -> tuple[Callable, Callable, list[str]]:
    """Build ``__getattr__``, ``__dir__`` and ``__all__`` of a package from ``name -> module``.

    Args:
        package: ``__name__`` of the package; its submodules are attributes too.
        exports: Public name to the relative module that defines it (``"certify": ".certify"``).

    Returns:
        The three objects, to be bound at module level.
    """
    names = sorted(exports)

    def getattr_(name: str):
        if name not in exports:
            # A submodule, whatever was imported before: `ufm.geometry` works after `import ufm`.
            if not name.startswith("_") and importlib.util.find_spec(f"{package}.{name}"):
                return importlib.import_module(f"{package}.{name}")
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        # No public name may equal a submodule's: importing the submodule would replace it.
        return getattr(importlib.import_module(exports[name], package), name)

    return getattr_, lambda: names, names
