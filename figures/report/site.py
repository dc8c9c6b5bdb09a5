"""The whole report: pages rendered from records, assets copied; only what changed is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from figures.report import entries as _entries
from figures.report import explore, quantities, tables, turning
from figures.report.bibliography import Paper, papers
from figures.report.corrections import REASONS
from figures.report.entries import ANY, MISSED, WITNESSES, Entry
from figures.report.examples import example
from figures.report.formulas import mathml
from figures.report.gallery import Shown, gallery
from figures.report.notation import notation
from figures.report.proofs import proofs
from figures.report.prose import prose
from ufm.claims import ClaimStatus
from ufm.runs import write_atomic
from ufm.runs.provenance import commit


FOLDER = Path(__file__).parent
NAVIGATION = (
    ("index.html", "Claims"),
    ("corrections.html", "Corrections"),
    ("index.html#gallery", "Figures"),
    ("phases.html", "Phases"),
    ("frames.html", "Frames"),
    ("flow.html", "Flow"),
    ("networks.html", "Networks"),
    ("benchmarks.html", "Benchmarks"),
)  # fmt: skip
EXPLORE = (
    (
        "phases.html",
        "Phases of minority collapse",
        "Move the class sizes and the energy; watch the minority classes merge, then vanish.",
        "phase-diagram",
    ),
    (
        "frames.html",
        "Frames, turning",
        "Simplex, hierarchy-aware and multi-center frames in three dimensions.",
        "multicenter-3d",
    ),
    (
        "flow.html",
        "Features flowing to their frame",
        "A recorded gradient flow, played, with its loss and collapse metrics.",
        explore.FLOW_FIGURE,
    ),
)
# Strongest first; refuted stands apart.
ORDER = tuple(s.value for s in (*reversed(list(ClaimStatus)[:-1]), ClaimStatus.REFUTED))
Pages = dict[str, bytes]


def write(out: Path, store: Path) -> None:
    """Write the report over the figures built in a folder.

    Args:
        out: Folder of the figures.
        store: Folder of the runs that they are drawn from.

    Raises:
        OSError: If it cannot be written.
    """
    files = report(gallery(out, store), out)
    remove_stale(out, files)
    folders: dict[Path, dict[Path, bytes]] = {}
    for name, data in files.items():
        path = out / name
        if not path.exists() or path.read_bytes() != data:
            folders.setdefault(path.parent, {})[path] = data
    for changed in folders.values():
        write_atomic(changed)


def remove_stale(out: Path, files: Iterable[str]) -> None:
    """Delete pages of claims and figures that no longer exist.

    Args:
        out: Folder of the report.
        files: What it consists of now.
    """
    current = {out / name for name in files}
    for pattern in ("claims/*.html", "figures/*.html", "thumbnails/*.webp"):
        for path in out.glob(pattern):
            if path not in current:
                path.unlink()


def report(figures: Sequence[Shown], out: Path) -> Pages:
    """Every file of the report.

    Args:
        figures: The figures that were built.
        out: Their folder.

    Returns:
        Content by path from the report's folder.
    """
    found = _entries.entries({figure.id: figure.claims for figure in figures})
    pages = environment({"entries": found, "figures": figures, "commit": (commit()[0] or "")[:7]})
    files = {f"assets/{path.name}": path.read_bytes() for path in sorted(FOLDER.glob("assets/*"))}
    files |= {f"thumbnails/{figure.id}.webp": figure.thumbnail for figure in figures}
    files |= claim_pages(pages, found)
    files |= {
        f"figures/{f.id}.html": render(pages, "figure.html", root="../", figure=f) for f in figures
    }
    wrong = [entry for entry in found.values() if entry.claim.fails]
    for name, values in (
        ("corrections.html", {"wrong": wrong}),
        ("phases.html", explore.phases({figure.id for figure in figures})),
        ("frames.html", {"frames": turning.frames(), "claims": turning.CLAIMS}),
        ("flow.html", explore.flow(out / f"{explore.FLOW_FIGURE}.parquet")),
        ("networks.html", {"networks": tables.networks(), "geometries": tables.geometries()}),
        ("benchmarks.html", {"benchmarks": tables.benchmarks()}),
    ):
        files[name] = render(pages, name, page=name, **values)
    files["index.html"] = index(pages, found)
    return files


def index(pages: jinja2.Environment, found: Mapping[str, Entry]) -> bytes:
    """The first page.

    Args:
        pages: Templates.
        found: The claims.

    Returns:
        HTML.
    """
    counts = Counter(entry.status.value for entry in found.values())
    return render(
        pages, "index.html", page="index.html", facets=facets(found.values()),
        tally={status: counts[status] for status in ORDER if counts[status]},
        witnesses=[kind.value for kind in WITNESSES[:-1]], explore=EXPLORE,
    )  # fmt: skip


def claim_pages(pages: jinja2.Environment, found: Mapping[str, Entry]) -> Pages:
    """One page a claim.

    Args:
        pages: Templates.
        found: The claims.

    Returns:
        HTML by path.
    """
    known = papers()
    return {
        f"claims/{id}.html": render(
            pages, "claim.html", root="../", entry=entry, example=example(entry.claim),
            proofs=proofs(), notation=notation(entry.paper.key),
            source=known.get(entry.claim.source.key, Paper(entry.claim.source.key)),
        )
        for id, entry in found.items()
    }  # fmt: skip


def facets(found: Iterable[Entry]) -> dict[str, list[tuple[str, str]]]:
    """What the table can be filtered by.

    Args:
        found: The claims.

    Returns:
        Values and their names by facet: those that occur.
    """
    found = list(found)
    by_paper = {entry.paper.key: entry.paper.short for entry in found}
    statuses = {entry.status.value for entry in found}
    losses = {name for entry in found for name in entry.losses}
    balances = {name for entry in found for name in entry.balances}
    kinds = {name for entry in found for name in entry.kinds}
    order = (*(kind.value for kind in WITNESSES), MISSED)
    return {
        "paper": list(by_paper.items()),
        "loss": [(name, name) for name in sorted(losses, key=lambda name: (name == ANY, name))],
        "balance": [(name, name) for name in sorted(balances, key=lambda n: (n == ANY, n))],
        "status": [(name, name) for name in ORDER if name in statuses],
        "witness": [(name, name) for name in order if name in kinds],
    }


def heading(name: str) -> Markup:
    """A column of a benchmark as a reader expects it.

    Args:
        name: As recorded.

    Returns:
        HTML.
    """
    words = name.replace("us an ", "µs an ").replace("_", " ").replace("peak mb", "peak MB")
    return prose(words)


def environment(shared: Mapping[str, Any]) -> jinja2.Environment:
    """Templates with the filters and values that all pages share.

    Args:
        shared: Values.

    Returns:
        The environment; a name that a template misspells is an error.
    """
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters |= {
        "mathml": mathml,
        "prose": prose,
        "heading": heading,
        "quantity": quantities.quantity,
        "digits": lambda value: quantities.signed(f"{value:.10g}"),
        "sentence": lambda text: f"{text[:1].upper()}{text[1:].rstrip('.')}.",
    }
    pages.globals |= {
        "navigation": NAVIGATION, "root": "", "page": "", "origin": _entries.origin,
        "address": _entries.address, "readings": quantities.readings,
        "reasons": REASONS, **shared,
    }  # fmt: skip
    return pages


def render(pages: jinja2.Environment, template: str, **values: Any) -> bytes:
    """A page.

    Args:
        pages: Templates.
        template: Name of one.
        **values: What it shows.

    Returns:
        HTML.
    """
    return pages.get_template(template).render(**values).encode()
