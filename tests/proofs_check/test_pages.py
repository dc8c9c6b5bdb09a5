"""``docs/proofs``: what the proofs say, in Markdown that shows it and formulas that can be set."""

from __future__ import annotations

import re

import pytest

from figures.report.formulas import mathml
from proofs_check import __main__ as cli
from proofs_check import _pages
from proofs_check.papers import registered
from ufm.claims import EvidenceKind, registry


FENCE = re.compile(r"^(?: *)\$\$\n(.*?)\n *\$\$$", re.MULTILINE | re.DOTALL)
PAPERS = sorted({id.partition(".")[0] for id in registry()})


@pytest.fixture(scope="module")
def page():
    return _pages.page("yang2022")


def test_every_proof_is_on_the_page_of_its_paper(page):
    names = [
        c.name
        for c in registered()
        if c.kind is EvidenceKind.SYMBOLIC and c.claim.startswith("yang2022.")
    ]
    assert len(names) >= 8
    assert all(f"### Proof `{name}`" in page for name in names)
    assert all(f"## {id}\n" in page for id in registry() if id.startswith("yang2022."))


def test_a_step_shows_what_was_checked(page):
    assert r"\frac{w \left(1 - p_{k}\right)}{K - 1} = \frac{K w \left(1 - p_{k}\right)}" in page
    assert "$K$ integer positive" in page
    assert re.search(r"Compared with the code at 6 points, \$z_\{j\} \\in \[", page)
    assert re.search(r"- curvature: \$.*\$, altered to \$\\frac\{8 ", page)


@pytest.mark.parametrize("paper", PAPERS)
def test_recorded_formulas_can_be_set(paper):
    formulas = FENCE.findall((_pages.FOLDER / f"{paper}.md").read_text("utf-8"))
    assert formulas
    for formula in formulas:
        one_line = re.sub(
            r"\\(?:begin|end)\{aligned\}| \\\\ &?(?==)", "", formula.replace("&=", "=")
        )
        mathml(one_line.strip())


def test_sides_that_are_alike_once_written_down_are_shown_as_written(page):
    assert "From `count * length ** 2` and `gamma`, which are the same once written down" in page
    assert r"L \left(1 - \mathrm{cos}\right)" in page


def test_a_claim_without_proof_says_why():
    text = _pages.page("papyan2020")
    assert "An observation on trained networks: measured, not proved." in text
    text = (_pages.FOLDER / "fang2021.md").read_text("utf-8")
    assert "A conjecture: we know of no proof for general K" in text


def test_markdown_shows_plain_text_unchanged():
    assert _pages.prose("Z* < a and :math:`x_1 * y`, `R_*`") == r"Z\* \< a and $x_1 * y$, `R_*`"


def test_stale_pages_are_named_and_rewritten(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_pages, "FOLDER", tmp_path / "proofs")
    monkeypatch.setattr(_pages, "pages", lambda: {"a.md": "new\n", "b.md": "same\n"})
    assert cli.main(["pages", "--check"]) == 1
    assert "docs/proofs/a.md differs from what the proofs give" in capsys.readouterr().err
    assert not (tmp_path / "proofs").exists()
    assert cli.main(["pages"]) == 0
    (tmp_path / "proofs" / "gone.md").write_text("left over")
    assert _pages.stale(_pages.pages()) == ["gone.md"]
    assert cli.main(["pages"]) == 0
    assert cli.main(["pages", "--check"]) == 0
