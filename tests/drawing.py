"""What every figure must satisfy when it is drawn from a small table."""

from __future__ import annotations

import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text

from figures import _style
from figures._registry import registry


def check_drawn(id: str, table: pl.DataFrame) -> None:
    """Drawn inside its edges, legible, labelled, captioned with numbers, its table untouched.

    Args:
        id: Figure.
        table: Small table of what it draws.
    """
    target, before = registry()[id], table.clone()
    with _style.context("icml2024", target.width, target.aspect):
        canvas = Canvas(layout="constrained")
        axes = canvas.subplot_mosaic([list(row) for row in target.panels], **target.options)
        target.draw(table, axes)
        canvas.draw_without_rendering()
        shown = [t for t in canvas.findobj(Text) if t.get_text()]
        assert min(float(t.get_fontsize()) for t in shown) >= _style.SMALLEST_POINTS
        _check_inside(canvas, axes.values())
    flat = [panel for panel in axes.values() if panel.name != "3d"]
    assert all(panel.get_xlabel() for panel in flat)
    assert flat[0].get_ylabel()
    assert table.equals(before)
    caption = target.caption(table)
    assert len(caption) > 100
    assert not {"nan", "inf", "-inf"} & set(caption.split())


def _check_inside(canvas: Canvas, panels) -> None:
    renderer = FigureCanvasAgg(canvas).get_renderer()
    width, height = canvas.bbox.size
    texts = [text for legend in canvas.legends for text in legend.get_texts()]
    for panel in panels:
        legend = panel.get_legend()
        texts += [panel.xaxis.label, panel.yaxis.label, panel.title]
        texts += legend.get_texts() if legend else []
    for text in texts:
        box = text.get_window_extent(renderer)
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside or not text.get_text(), text.get_text()
