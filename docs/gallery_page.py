"""The gallery: every figure of the registry, what it shows, its claims and what draws it.

Pictures are those of `figures/out`; where one was not drawn yet, its command stands in its place.
"""

from __future__ import annotations

from pathlib import Path

from figures._registry import registry
from figures.report.gallery import gallery
from figures.report.prose import prose
from ufm.runs import default_root


OUT = Path(__file__).parents[1] / "figures" / "out"
ABOUT = (
    "Every figure is a target: it names the runs it needs, and is drawn from nothing else. "
    "`python -m figures list` names them, `python -m figures needs ID` shows the runs of one, "
    "`python -m figures build ID` computes what is missing and draws it as PDF and PNG with its "
    "data as parquet; `--bundle neurips2024` or `iclr2024` draws at the width and in the sizes of "
    "another venue than ICML. The [report](../howto/reproduce.md) has them all with the runs "
    "behind them."
)


def gallery_files(out: Path = OUT) -> dict[str, bytes]:
    """The page and its thumbnails.

    Args:
        out: Folder of the figures.

    Returns:
        Content by path from the generated folder.
    """
    drawn = {shown.id: shown for shown in gallery(out, default_root())}
    lines, files = ["# Gallery", "", ABOUT, ""], {}
    for id, figure in registry().items():
        lines += [f"## {figure.title}", ""]
        if id in drawn:
            files[f"gallery/{id}.webp"] = drawn[id].thumbnail
            caption = str(prose(drawn[id].caption))
            lines += [
                f"```{{image}} gallery/{id}.webp\n:alt: {figure.title}\n```", "",
                f"<p>{caption}</p>", "",
            ]  # fmt: skip
        links = ", ".join(
            f"[{claim}](theory/{claim.split('.')[0]}.md#claim-{claim.replace('.', '-')})"
            for claim in figure.claims
        )
        lines += [f"Shows {links}. `python -m figures build {id}`", ""]
    return {"gallery.md": "\n".join(lines).encode(), **files}
