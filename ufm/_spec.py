"""Specs: frozen dataclasses of plain numbers, and their canonical JSON with type names.

A spec is at once the object, the command line's flags and the cache key. Stdlib only.
Type names are part of the encoding: without them two regularisers with equal fields collide.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any, TypeVar, dataclass_transform


T = TypeVar("T")
TYPES: dict[str, type] = {}


def later(*, default: Any) -> Any:
    """A field that a spec got after it had been used in keys: left out where it is the default.

    Args:
        default: Its default, which must mean what the spec meant before.

    Returns:
        The field.
    """
    return dataclasses.field(default=default, metadata={"later": True})


@dataclass_transform(frozen_default=True, field_specifiers=(later,))
def spec(cls: type[T]) -> type[T]:
    """Make ``cls`` a frozen dataclass that `encode` and `decode` know by its name.

    Args:
        cls: Class with annotated fields of numbers, strings, tuples and specs.

    Returns:
        The dataclass.

    Raises:
        ValueError: If another spec already has that name.
    """
    if cls.__name__ in TYPES:
        raise ValueError(f"spec names must be unique, got {cls.__name__!r} twice")
    cls = dataclasses.dataclass(frozen=True)(cls)
    TYPES[cls.__name__] = cls
    return cls


def encode(value: Any) -> Any:
    """Turn a spec into JSON-able data, ``{"type": name, field: ...}``.

    Args:
        value: Spec, number, string, bool, None, or a sequence or mapping of those.

    Returns:
        The data.

    Raises:
        TypeError: If something in it is neither.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        name = type(value).__name__
        if TYPES.get(name) is not type(value):
            raise TypeError(f"value must be made of specs and plain numbers, got {name}")
        fields = {
            f.name: getattr(value, f.name) for f in dataclasses.fields(value) if _told(value, f)
        }
        return {"type": name, **{key: encode(item) for key, item in fields.items()}}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"value must be made of specs and plain numbers, got {type(value).__name__}")


def _told(value: Any, field: dataclasses.Field) -> bool:
    return not field.metadata.get("later") or getattr(value, field.name) != field.default


def decode(data: Any) -> Any:
    """Inverse of `encode`; JSON arrays become tuples.

    Args:
        data: What `encode` returned, possibly after a round trip through JSON.

    Returns:
        The spec.

    Raises:
        ValueError: If a type name is unknown or its fields do not fit.
    """
    if isinstance(data, list | tuple):
        return tuple(decode(item) for item in data)
    if isinstance(data, dict) and "type" in data:
        name = data["type"]
        if name not in TYPES:
            raise ValueError(f"type must be one of {', '.join(sorted(TYPES))}, got {name!r}")
        fields = {key: decode(item) for key, item in data.items() if key != "type"}
        try:
            return TYPES[name](**fields)
        except TypeError as error:
            raise ValueError(f"fields of {name} must fit its signature, got {error}") from error
    if isinstance(data, dict):
        return {key: decode(item) for key, item in data.items()}
    return data


def canonical(value: Any) -> str:
    """Canonical JSON text of a spec: sorted keys, no spaces, shortest round-trip floats.

    Args:
        value: What `encode` accepts.

    Returns:
        The text; equal specs give equal texts.
    """
    return json.dumps(encode(value), sort_keys=True, separators=(",", ":"))


def digest(value: Any) -> str:
    """First 16 hex digits of the SHA-256 of `canonical`; the cache key of a spec.

    Args:
        value: What `encode` accepts.

    Returns:
        The key.
    """
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]
