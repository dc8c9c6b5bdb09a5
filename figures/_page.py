"""The page of figures: pictures, captions, claims with their computed status, downloads."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from figures._build import read_record
from figures._registry import registry
from ufm import claims
from ufm.runs import write_atomic


STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --paper: #fdfdfb; --soft: #5b6472;
  --line: #d9dce2; --link: #0b57a4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ec; --paper: #14171c; --soft: #a3abb8;
  --line: #353b45; --link: #8ab8ee; } }
body { margin: 2rem auto; padding: 0 1rem; max-width: 60rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 0 0 .6rem; }
figure { margin: 2.2rem 0; padding-top: 1.4rem; border-top: 1px solid var(--line); }
img { display: block; width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { margin-top: .7rem; } a { color: var(--link); }
ul { margin: .5rem 0; padding-left: 1.2rem; } code { font-size: .88em; overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: .9rem; } .status { font-weight: 600; }
"""


def write(out: Path) -> None:
    """Write ``index.html`` over the figures built in a folder; no network, no scripts.

    Args:
        out: Folder of the figures.

    Raises:
        OSError: If it cannot be written.
    """
    records = [
        record for id in registry() if (record := read_record(out / f"{id}.json")) is not None
    ]
    write_atomic({out / "index.html": page(records).encode()})


def page(records: Sequence[dict[str, Any]]) -> str:
    """HTML of the page.

    Args:
        records: Records of the built figures.

    Returns:
        The document.
    """
    evidence = claims.load_evidence()
    known = claims.registry()
    statuses = {id: claims.status(claim, evidence).value for id, claim in known.items()}
    body = "\n".join(_figure(record, statuses) for record in records)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>ufm: figures</title><style>{STYLE}</style></head><body>\n<main>"
        "<h1>Neural collapse: figures</h1>\n"
        '<p class="soft">Every point was solved, certified and recorded; the table behind each '
        "figure and the runs that it was drawn from are named below it.</p>\n"
        f"{body}\n</main></body></html>\n"
    )


def _figure(record: dict[str, Any], statuses: dict[str, str]) -> str:
    id, title = html.escape(record["id"]), html.escape(record["title"])
    claimed = "".join(
        f"<li><code>{html.escape(claim)}</code> "
        f'<span class="status">{html.escape(statuses.get(claim, "not registered"))}</span></li>'
        for claim in record["claims"]
    )
    links = " · ".join(
        f'<a href="{id}{suffix}">{text}</a>'
        for suffix, text in (
            (".pdf", "PDF"), (".png", "PNG"), (".parquet", "data"), (".json", "record"),
        )
    )  # fmt: skip
    runs = ", ".join(f"<code>{html.escape(run)}</code>" for run in record["runs"])
    return (
        f'<figure id="{id}"><h2>{title}</h2>\n'
        f'<a href="{id}.png"><img src="{id}.png" alt="{title}"></a>\n'
        f"<figcaption>{html.escape(record['caption'])}</figcaption>\n"
        f"<ul>{claimed}</ul>\n<p>{links}</p>\n"
        f'<details class="soft"><summary>Runs and commit</summary>{runs}; commit '
        f"<code>{html.escape(str(record['commit']))}</code>; "
        f"<code>python -m figures build {id}</code></details></figure>"
    )
