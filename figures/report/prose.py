"""Plain-text mathematics of statements and domains, set as text: K_A >= 2 with its subscript."""

from __future__ import annotations

import re

from markupsafe import Markup, escape


GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η",
    "theta": "θ", "kappa": "κ", "lam": "λ", "lambda": "λ", "mu": "μ", "pi": "π", "rho": "ρ",
    "sigma": "σ", "tau": "τ",
}  # fmt: skip
_GREEK = re.compile(rf"(?<![\w.])(?<!\w-)({'|'.join(GREEK)})(?=_|\b)(?![-.]\w)")
# After escaping, so that angle brackets are entities.
_SIGNS = (("&gt;=", "≥"), ("&lt;=", "≤"), ("-&gt;", "→"), (" - ", " − "))
_SUBSCRIPT = re.compile(
    r"((?<![A-Za-z0-9_])[A-Za-zα-ω]{1,2}|[|)])_(op|\*|[A-Za-z0-9]{1,3}(?![A-Za-z0-9_]))"
)
_POWER = re.compile(r"(?<=[\w|)])\^(?:\(([^()]{1,8})\)|([-−]?\w+|\*))")
# A sign before a term, and a difference such as K-1; not the hyphen of CIFAR-10 or multi-center.
_MINUS = re.compile(r"(?<=[\s(=\[|^])-(?=[\w(])|(?<=\b[A-Za-z])-(?=\d)|(?<=\))-(?=\d)|^-(?=\d)")


def prose(text: str) -> Markup:
    """Text with its symbols typeset, and what stands between backticks as code.

    Args:
        text: As written in the registry.

    Returns:
        HTML.
    """
    parts = str(escape(text)).split("`")
    return Markup("").join(
        Markup(f"<code>{part}</code>" if i % 2 else _typeset(part)) for i, part in enumerate(parts)
    )


def _typeset(escaped: str) -> str:
    plain = escaped
    for written, sign in _SIGNS:
        plain = plain.replace(written, sign)
    plain = _MINUS.sub("−", plain)
    plain = _GREEK.sub(lambda m: GREEK[m[1]], plain)
    plain = _SUBSCRIPT.sub(r"\1<sub>\2</sub>", plain)
    return _POWER.sub(lambda m: f"<sup>{m[1] or m[2]}</sup>", plain)
