"""The report: every claim has its page, every link leads somewhere, nothing is fetched."""

from __future__ import annotations

import html.parser
import json
import posixpath
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from figures.report import entries as _entries
from figures.report import site
from figures.report.corrections import REASONS
from figures.report.entries import ANY
from figures.report.gallery import Shown, Source, gallery
from ufm import claims


LIMIT = 1_000_000
VOID = {"meta", "link", "img", "input", "br", "hr", "source"}


class Page(NamedTuple):
    """What a test looks at on a page."""

    ids: Counter
    links: list[str]
    resources: list[str]
    unlabelled: list[str]
    balanced: bool


class Reader(html.parser.HTMLParser):
    """Collects ids, addresses, and fields and pictures without a name."""

    def __init__(self):
        super().__init__()
        self.ids, self.links, self.resources, self.unlabelled = Counter(), [], [], []
        self.open: list[str] = []
        self.labelled: set[str | None] = set()
        self.balanced = True

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if "id" in found:
            self.ids[found["id"]] += 1
        if tag == "a":
            self.links.append(found["href"])
        self.resources += [
            found[key] for key in ("src", "href") if key in found and tag not in ("a", "base")
        ]
        if tag == "label":
            self.labelled.add(found.get("for"))
        named = "aria-label" in found or "aria-labelledby" in found or "label" in self.open
        named |= found.get("id") in self.labelled - {None}
        if tag in ("select", "input", "canvas", "nav", "form") and not named:
            self.unlabelled.append(tag)
        # An empty text marks a picture that only decorates the link beside it.
        if tag == "img" and "alt" not in found:
            self.unlabelled.append(tag)
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        if tag not in VOID:
            self.balanced &= bool(self.open) and self.open.pop() == tag


def read(data: bytes) -> Page:
    reader = Reader()
    reader.feed(data.decode())
    reader.close()
    balanced = reader.balanced and not reader.open
    return Page(reader.ids, reader.links, reader.resources, reader.unlabelled, balanced)


@pytest.fixture(scope="module")
def shown() -> Shown:
    return Shown(
        id="phase-diagram", title="A & B", caption="Ten points.", claims=("fang2021.r0",),
        commit="abc1234", dirty=False, seconds=3.0, runs=(Source("step-exact/0", "", {}),),
        thumbnail=b"picture", size=(640, 200),
    )  # fmt: skip


@pytest.fixture(scope="module")
def files(shown) -> dict[str, bytes]:
    return site.report([shown], Path("no-such-folder"))


@pytest.fixture(scope="module")
def pages(files) -> dict[str, Page]:
    return {name: read(data) for name, data in files.items() if name.endswith(".html")}


def test_every_claim_has_a_page_and_a_row(files, pages):
    text = files["index.html"].decode()
    for id in claims.registry():
        assert f"claims/{id}.html" in pages
        assert text.count(f'href="claims/{id}.html"') == 1
    assert text.count("<tr role") == 1 + len(claims.registry())


def test_pages_are_well_formed_and_every_control_has_a_name(pages):
    assert [name for name, page in pages.items() if not page.balanced] == []
    assert {name: page.unlabelled for name, page in pages.items() if page.unlabelled} == {}
    repeated = {n: [i for i, count in p.ids.items() if count > 1] for n, p in pages.items()}
    assert [name for name, ids in repeated.items() if ids] == []


def test_every_link_leads_to_a_page_an_anchor_or_a_paper(pages, files, shown):
    there = set(files) | {f"{shown.id}.{s}" for s in ("pdf", "png", "parquet", "json")}
    for name, page in pages.items():
        for address in page.links:
            if address.startswith("https://"):
                assert address.split("/")[2] in ("arxiv.org", "doi.org", "openreview.net")
                continue
            path, _, anchor = address.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path or name))
            target = name if not path else target
            assert target in there, (name, address)
            if anchor and "=" not in anchor:
                assert anchor in pages[target].ids, (name, address)


def test_nothing_is_fetched_from_elsewhere(files, pages):
    for name, page in pages.items():
        for address in page.resources:
            if address.startswith("data:"):
                continue
            assert "://" not in address
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), address))
            assert target in files or target.endswith(".png"), (name, address)
    for name, data in files.items():
        if name.endswith((".js", ".css")):
            text = data.decode()
            assert "import(" not in text
            assert "@import" not in text
            assert "fetch(" not in text
            assert "://" not in text


def test_the_first_page_is_small(files, pages):
    own = [address for address in pages["index.html"].resources if not address.startswith("data:")]
    # Thumbnails of thirty figures of 40 kB would still fit; the one here is not a picture.
    size = len(files["index.html"]) + sum(len(files[path]) for path in own)
    assert size < LIMIT / 2


def test_text_is_escaped(files):
    text = files["index.html"].decode()
    assert "A &amp; B" in text
    assert "A & B" not in text


def test_entries_carry_the_computed_status_and_every_record():
    evidence = claims.load_evidence()
    found = _entries.entries({"a-figure": ["fang2021.r0"]})
    assert list(found) == list(claims.registry())
    for id, entry in found.items():
        assert entry.status is claims.status(entry.claim, evidence)
        assert [r.evidence for r in entry.records] == [e for e in evidence if e.claim == id]
        assert all(set(s.checks) <= {r.evidence.check for r in entry.records} for s in entry.steps)
        assert entry.paper.title, f"{id}: its paper is not in the bibliography"
    assert found["fang2021.r0"].figures == ("a-figure",)
    assert found["fang2021.r0"].losses == ("cross-entropy",)
    assert found["fang2021.r0"].balances == ("step imbalance",)
    assert "fang2021.oversampling-threshold" in found["fang2021.r0"].used_by
    assert found["fang2021.lq"].witnesses()["counterexample"] == (1, True)
    assert found["yang2022.dr-minimiser"].losses == ("dot regression",)
    assert found["yang2022.dr-regimes"].repairs == ("yang2022.dr-faster",)
    assert found["papyan2020.etf-gram"].balances == (ANY,)


def test_every_facet_that_occurs_can_be_chosen():
    found = _entries.entries({})
    facets = site.facets(found.values())
    assert next(key for key, _ in facets["paper"]) == "papyan2020"
    for entry in found.values():
        assert entry.paper.key in dict(facets["paper"])
        assert set(entry.losses) <= set(dict(facets["loss"]))
        assert set(entry.balances) <= set(dict(facets["balance"]))
        assert entry.status.value in dict(facets["status"])
        assert set(entry.kinds) <= set(dict(facets["witness"]))


def test_every_statement_that_fails_is_in_the_catalogue_with_what_holds_instead(files, pages):
    text = files["corrections.html"].decode()
    for claim in claims.registry().values():
        assert (pages["corrections.html"].ids[claim.id] == 1) == claim.fails
        if claim.repaired_by:
            assert f'href="claims/{claim.repaired_by}.html"' in text


def test_only_false_statements_have_reasons():
    assert {id for id in REASONS if not claims.get(id).fails} == set()


def test_a_failed_check_is_shown_as_failed(tmp_path, monkeypatch):
    record = {
        "claim": "fang2021.r0",
        "check": "fang2021_collapse.closed_threshold",
        "kind": "symbolic",
        "domain": "all K",
        "passed": False,
        "note": "0 must equal <1>",
    }
    evidence = claims.parse_evidence({"evidence": [record]})
    monkeypatch.setattr(_entries, "load_evidence", lambda: evidence)
    text = site.report([], tmp_path)["claims/fang2021.r0.html"].decode()
    assert "✗ failed" in text
    assert "0 must equal &lt;1&gt;" in text
    assert "unsupported" in text
    assert "not committed" in text


def test_a_network_that_missed_its_band_is_not_a_failed_theorem(tmp_path, monkeypatch):
    record = {"claim": "fang2021.r0", "check": "networks.x", "kind": "network", "domain": "digits"}
    records = [record | {"passed": passed} for passed in (True, False)]
    evidence = claims.parse_evidence({"evidence": records})
    monkeypatch.setattr(_entries, "load_evidence", lambda: evidence)
    assert _entries.entries({})["fang2021.r0"].kinds == ("network", _entries.MISSED)
    pages = site.report([], tmp_path)
    assert "✗ missed its band" in pages["claims/fang2021.r0.html"].decode()
    text = pages["index.html"].decode()
    assert "missed the band,</span> of 2" in text
    assert f'data-witness="network|{_entries.MISSED}"' in text


def test_only_what_changed_is_written_and_pages_of_old_claims_go(tmp_path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "gone2020.lemma.html").write_text("old")
    site.write(tmp_path, tmp_path / "runs")
    assert not (tmp_path / "claims" / "gone2020.lemma.html").exists()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    page = tmp_path / "claims" / "fang2021.r0.html"
    page.write_text("damaged")
    site.write(tmp_path, tmp_path / "runs")
    changed = [p for p, time in times.items() if p.is_file() and p.stat().st_mtime_ns != time]
    assert changed == [page]
    assert "R_0" not in page.read_text().split("</h1>")[0]


def test_a_gallery_reads_the_records_beside_the_pictures(tmp_path):
    record = {"id": "rank-loss", "title": "t", "caption": "c", "claims": [], "runs": ["kind/key"],
              "commit": "0123456789", "dirty": True, "stamp": "s", "files": {}}  # fmt: skip
    (tmp_path / "rank-loss.json").write_text(json.dumps(record))
    assert gallery(tmp_path, tmp_path / "runs") == []
    Image.new("RGBA", (1000, 400), (0, 0, 0, 0)).save(tmp_path / "rank-loss.png")
    (found,) = gallery(tmp_path, tmp_path / "runs")
    assert found.size == (640, 256)
    assert found.commit == "0123456"
    assert found.runs == (Source("kind/key", "", {}),)
    assert found.thumbnail.startswith(b"RIFF")
