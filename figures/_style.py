"""How figures look: sizes and fonts of the venue, a palette for colour-blind and grey readers.

The four colours differ in lightness by at least 15 (CIELAB) in the order in which they are used,
and every series has its own marker or line style besides.
"""

from __future__ import annotations

import io
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas
from tueplots import bundles


Bundle = Literal["icml2024", "neurips2024", "iclr2024"]
BUNDLES: tuple[Bundle, ...] = ("icml2024", "neurips2024", "iclr2024")

# Raised when something here changes what is drawn without changing this file's text.
VERSION = 1
SMALLEST_POINTS, LARGEST_POINTS = 7.0, 8.0
# Heights are those of the widest venue: a narrower one loses width, not room for the curves.
HEIGHT_OF = {"half": 3.25, "full": 6.75}

NAVY, VERMILION, TEAL, GOLD = "#16325c", "#b83c14", "#36a898", "#f0bb3a"
SERIES = (NAVY, VERMILION, TEAL, GOLD)
MARKERS = ("o", "s", "^", "D")
LINES = ("-", "--", "-.", ":")
GREY, INK = "#8a8a8a", "#222222"

_SERIF = {
    # Fonts that come with matplotlib, so that the bytes do not depend on the machine.
    "font.family": "serif",
    "font.serif": ["STIXGeneral"],
    "mathtext.fontset": "stix",
    "text.usetex": False,
}
_LOOK = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "svg.hashsalt": "ufm",
}


def rc(bundle: Bundle, width: Literal["half", "full"], aspect: float) -> dict[str, Any]:
    """Settings of a figure under a venue's bundle.

    Args:
        bundle: Name of a tueplots bundle.
        width: ``"half"`` or ``"full"``; one-column venues scale by one half.
        aspect: Height over the width in inches of the widest venue.

    Returns:
        rcParams.

    Raises:
        ValueError: If the bundle is unknown.
    """
    match bundle:
        case "icml2024":
            column = "half" if width == "half" else "full"
            settings = bundles.icml2024(column=column, usetex=False)
        case "neurips2024":
            settings = bundles.neurips2024(usetex=False, rel_width=0.5 if width == "half" else 1)
        case "iclr2024":
            settings = bundles.iclr2024(usetex=False, rel_width=0.5 if width == "half" else 1)
        case _:
            raise ValueError(f"bundle must be one of {', '.join(BUNDLES)}, got {bundle!r}")
    size = float(settings["figure.figsize"][0])
    settings["figure.figsize"] = (size, HEIGHT_OF[width] * aspect)
    for name, value in settings.items():
        if name.endswith("size") and isinstance(value, int | float):
            settings[name] = min(max(float(value), SMALLEST_POINTS), LARGEST_POINTS)
    return {**settings, **_SERIF, **_LOOK}


def save(canvas: Canvas, format: Literal["pdf", "png"]) -> bytes:
    """The bytes of a figure, without dates or versions in them.

    Args:
        canvas: A matplotlib figure.
        format: File format.

    Returns:
        File content.
    """
    blank = ("CreationDate", "ModDate", "Producer", "Creator") if format == "pdf" else ("Software",)
    buffer = io.BytesIO()
    canvas.savefig(buffer, format=format, metadata=dict.fromkeys(blank))
    return buffer.getvalue()


def context(bundle: Bundle, width: Literal["half", "full"], aspect: float) -> Any:
    """Context in which a figure is drawn and saved; starts from matplotlib's own defaults.

    Args:
        bundle: Venue.
        width: Width.
        aspect: Height over width.

    Returns:
        The context manager.
    """
    # Not the user's matplotlibrc: the bytes would depend on it.
    settings: Any = {**mpl.rcParamsDefault, "backend": "agg", **rc(bundle, width, aspect)}
    return mpl.rc_context(settings)


def letter(axes: Any, names: tuple[str, ...]) -> None:
    """Put (a), (b), ... above the upper left corner of each panel.

    Args:
        axes: Panels by name.
        names: Panel names in order.
    """
    for index, name in enumerate(names):
        axes[name].set_title(f"({chr(97 + index)})", loc="left", fontweight="bold")
