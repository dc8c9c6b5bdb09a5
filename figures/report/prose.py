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
_SIGNS = (
    ("&gt;=", "≥"), ("&lt;=", "≤"), ("-&gt;", "→"), ("!=", "≠"), ("+-", "±"), (" - ", " − "),
    (" * ", " · "), ("Ln ", "ln "),
)  # fmt: skip
_ROOT = re.compile(r"\bsqrt(?=[(\d]|\s\d)\s?")
_THRESHOLD = re.compile(r"(?<![-\w])R([01])\b(?!')")
_BARE = re.compile(r"√\((\w)\)")
_TIMES = re.compile(r"(?<=[\dK]) x (?=\d?K|\d)")
# 1e-5, 2.4e-16; a mantissa of one is not written.
_SCIENTIFIC = re.compile(r"(?<![\w.])(\d(?:\.\d+)?)e([-+]?\d{1,3})(?![\w.]\w)")
_SUBSCRIPT = re.compile(
    r"((?<![A-Za-z0-9_])(?:[A-Za-zα-ω]{1,2}|[Ss]um|max|min|Hbar)|[|)])_"
    r"(?:\{([^{}]{1,12})\}|(op|\*|[A-Za-z0-9]{1,3}(?![A-Za-z0-9_])))"
)
_POWER = re.compile(
    r"(?<=[\w|)>])\^(?:\(((?:[^()]|\([^()]*\)){1,40})\)|\{([^{}]{1,40})\}|([-−]?\w+|\*))"
)
# A sign before a term, and a difference such as K-1; not the hyphen of CIFAR-10 or multi-center.
_MINUS = re.compile(
    r"(?<=[\s(=\[|^{])-(?=[\w(√|]|&lt;)|(?<=\b[A-Za-z])-(?=\d)|(?<=\))-(?=\d)|^-(?=\w|&lt;)"
    r"|(?<=[(|]\d)-(?=(?:[a-zI]|alpha|lam)\b)|(?:(?<=&#39;)|(?<=\b[A-Z]))-(?=I\b)"
)


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
    plain = _SCIENTIFIC.sub(_scientific, plain)
    plain = _TIMES.sub(" × ", _BARE.sub(r"√\1", _ROOT.sub("√", plain)))
    plain = _THRESHOLD.sub(r"R<sub>\1</sub>", plain)
    plain = _MINUS.sub("−", plain)
    plain = _GREEK.sub(lambda m: GREEK[m[1]], plain)
    plain = _SUBSCRIPT.sub(lambda m: f"{m[1]}<sub>{m[2] or m[3]}</sub>", plain)
    plain = _POWER.sub(lambda m: f"<sup>{m[1] or m[2] or m[3]}</sup>", plain)
    return plain.replace("Hbar", "H\u0304")


def _scientific(match: re.Match[str]) -> str:
    mantissa, exponent = match[1], str(int(match[2])).replace("-", "−")
    return (
        f"10<sup>{exponent}</sup>" if mantissa == "1" else f"{mantissa} · 10<sup>{exponent}</sup>"
    )
