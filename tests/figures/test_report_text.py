"""Formulas, plain-text mathematics, numbers, papers and origins, as the report shows them."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

from figures.report import origins
from figures.report.bibliography import Paper, papers
from figures.report.examples import code, example, listed
from figures.report.formulas import mathml, parts
from figures.report.notation import OWN, notation
from figures.report.proofs import parse, proofs
from figures.report.prose import prose
from figures.report.quantities import evidence_number, quantity, readings
from proofs_check.catalogue import CASES
from ufm import claims


ARITY = {"msup": 2, "msub": 2, "mfrac": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}


@pytest.mark.parametrize("id", claims.registry())
def test_every_formula_is_whole_mathml(id):
    latex = claims.get(id).formula
    tree = ET.fromstring(f"<div>{mathml(latex)}</div>")
    assert len(tree) == len(list(parts(latex)))
    for element in tree.iter():
        name = element.tag
        assert name != "merror"
        assert len(element) == ARITY.get(name, len(element)), ET.tostring(element)
        assert "\\" not in (element.text or "")


def test_a_formula_keeps_its_numbers_and_signs():
    tree = ET.fromstring(mathml(r"a = -\tfrac{1}{K-1} \ge 0"))
    text = "".join(tree.itertext())
    assert text == "a=−1K−1≥0"


def test_formulas_break_at_spaces_outside_of_groups_only():
    matrix = r"b=\begin{pmatrix}1&\quad 2\end{pmatrix},"
    latex = rf"a=1,\quad {matrix}\ c_{{x\quad y}}+f(u,\ v)\qquad\text{{or}}\quad d"
    assert list(parts(latex)) == [
        "a=1,", matrix, r"c_{x\quad y}+f(u,\ v)", r"\text{or}", "d",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("latex", "inside"),
    [
        (r"W=0\implies H=0", "<mo>⟹</mo>"),
        (r"\max_{j} x", '<munder><mo movablelimits="true">max</mo>'),
        (r"w_{k'}", '<mi>k</mi><mo lspace="0" rspace="0">′</mo>'),
        (r"4\log n", '<mn>4</mn><mspace width="0.17em" /><mi>log</mi><mspace width="0.17em" />'),
        (r"\log(1+x)", '<mi>log</mi><mo stretchy="false">('),
        (r"\cos^2\theta", '<mn>2</mn></msup><mspace width="0.17em" />'),
        (r"\bigl(x\bigr)^2", '<msup><mo stretchy="false" style="font-size: 1.2em">)</mo>'),
    ],
)
def test_what_browsers_would_set_badly_is_put_right(latex, inside):
    assert inside in mathml(latex)


def test_an_unknown_command_is_refused():
    with pytest.raises(ValueError, match="must have a form in MathML"):
        mathml(r"\nosuchcommand x")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("K_A, K_B >= 2", "K<sub>A</sub>, K<sub>B</sub> ≥ 2"),
        ("d >= K - 1", "d ≥ K − 1"),
        ("|G D^(-1/2)|_op <= x", "|G D<sup>−1/2</sup>|<sub>op</sub> ≤ x"),
        ("sqrt(lam_W lam_H)", "√(λ<sub>W</sub> λ<sub>H</sub>)"),
        ("e^(sqrt 2 tau/(K-1))", "e<sup>√2 τ/(K−1)</sup>"),
        ("sum_{j != k} e^{z_j}", "sum<sub>j ≠ k</sub> e<sup>z<sub>j</sub></sup>"),
        ("m_{l+1}, 2K x 2K, x = 0", "m<sub>l+1</sub>, 2K × 2K, x = 0"),
        ("1e-4, 2.4e-16, 5e4", "10<sup>−4</sup>, 2.4 · 10<sup>−16</sup>, 5 · 10<sup>4</sup>"),
        ("sqrt(2) >= -|Y|_op, 2 * x", "√2 ≥ −|Y|<sub>op</sub>, 2 · x"),
        ("Sum_k |Hbar_k|^2", "Sum<sub>k</sub> |H\u0304<sub>k</sub>|<sup>2</sup>"),
        ("1.5 +- .2, d1e5", "1.5 ± .2, d1e5"),
        ("-<G,Z> and (Q'-I)(1-s)", "−&lt;G,Z&gt; and (Q&#39;−I)(1−s)"),
        ("cosine -1/(K-1), those of -G", "cosine −1/(K−1), those of −G"),
        ("CIFAR-10 by ResNet-32, q-th powers", "CIFAR-10 by ResNet-32, q-th powers"),
        ("pi_k > mu", "π<sub>k</sub> &gt; μ"),
        ("a <b> & c", "a &lt;b&gt; &amp; c"),
        ("step_weights and multi-center", "step_weights and multi-center"),
        ("a^q + 1e-10", "a<sup>q</sup> + 10<sup>−10</sup>"),
        ("<G,Z> is -lam |Z|_*", "&lt;G,Z&gt; is −λ |Z|<sub>*</sub>"),
        ("`a_b >= 1` at pi_B", "<code>a_b &gt;= 1</code> at π<sub>B</sub>"),
        ("R_0 is R_1", "R<sub>0</sub> is R<sub>1</sub>"),
        ("R0 or R1 (R10, below-R0)", "R<sub>0</sub> or R<sub>1</sub> (R10, below-R0)"),
    ],
)
def test_plain_text_mathematics_is_set(written, shown):
    assert prose(written) == shown


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-10, "≤ 10⁻¹⁰"), (0.0, "0"), (0.6168, "0.6168"), (5e-5, "5e-05"), (12.5, "12.5")],
)
def test_recorded_errors_are_bounds_and_quantities_are_numbers(value, text):
    assert evidence_number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "—"), (True, "yes"), (1592680.1, "1\u202f592\u202f680"), (0.08286, "0.08286"),
     (1.998e-15, "2.0 · 10⁻¹⁵"), (41, "41"), (float("inf"), "∞"), ("optimal", "optimal")],
)  # fmt: skip
def test_quantities_of_tables(value, text):
    assert quantity(value) == text


def test_readings_have_their_intervals_and_names():
    numbers = {"rise": -0.11655, "rise +-": 0.0793884, "error": 1e-12, "z": -5e-5}
    assert list(readings("networks.rise", numbers)) == [
        ("rise", "−0.1166 ± 0.079"), ("error", "≤ 10⁻¹²"), ("z", "−5 · 10⁻⁵"),
    ]  # fmt: skip
    assert list(readings("predictions.x", {"value": 1e-12})) == [
        ("error of the predicted value", "≤ 10⁻¹²")
    ]


def test_every_proof_is_read_from_its_page():
    found = proofs()
    symbolic = {e.check for e in claims.load_evidence() if e.kind is claims.EvidenceKind.SYMBOLIC}
    assert symbolic <= set(found)
    assert all(found[name].equations for name in symbolic)


def test_a_proof_has_its_equations_in_order():
    page = "\n".join([
        "## a.b", "### Proof `a.check`", "", "Symbols: $K$ integer.", "",
        r"1. with |Z|\_\* \<= x", "", "   $$",
        r"   \begin{aligned} a &= b \\ &= c \end{aligned}", "   $$", "",
        "2. the code (limit)", "",
        r"   Compared with the code at 8 points, $K \in [2, 3], x \in [0, 1]$; it gives", "",
        "   From `f(x)` and `g(x)`, which are the same once written down:", "",
        "   $$", "   " + "x + " * 200 + "y", "   $$", "",
        "Altered, each of these terms makes the proof fail:", "", "1. not a step",
    ])  # fmt: skip
    proof = parse(page, "docs/proofs/a.md")["a.check"]
    first, second = proof.equations
    assert "integer" in proof.symbols
    assert first.text == "with |Z|<sub>*</sub> ≤ x"
    assert first.latex == r"a = b \quad = c"
    assert second.notes[1] == "both sides are"
    assert second.notes[0].count("<math") == 2
    assert second.long
    assert not first.long


def test_papers_have_their_accents_and_short_names(tmp_path):
    file = tmp_path / "some.bib"
    file.write_text(
        '@article{a2020, title={On {ETF}s}, author={Sch{\\"o}n, A. and N{\\o}rd, B.}, year={2020},'
        " journal={J}}\n@book{b2021,\n author={One, A. and Two, B. and Three, C.},\n year={2021}}\n"
    )
    found = papers(file)
    assert found["a2020"] == Paper("a2020", "On ETFs", ("Schön", "Nørd"), "2020", "J")
    assert found["a2020"].short == "Schön & Nørd 2020"
    assert found["b2021"].short == "One et al. 2021"
    assert Paper("x").short == "x"
    assert papers(tmp_path / "none.bib") == {}


def test_checks_are_found_in_the_code():
    found = origins.check("zhu2021.tangent_inequality")
    assert found.path == "proofs_check/zhu2021.py"
    line = (origins.ROOT / found.path).read_text().splitlines()[found.line - 1]
    assert line.startswith("def tangent_inequality")
    assert origins.check("predictions.fang2021.r0").about.startswith("Compare certified optima")
    assert "eference" in origins.check("predictions.reference.fang2021.r0").about
    assert origins.check("no_such_module.f") == origins.Check(
        "proofs_check/no_such_module.py", 0, ""
    )


def test_every_record_has_its_commit_where_there_is_git():
    git = ["git", "-C", str(origins.ROOT), "rev-parse", "HEAD"]
    if not shutil.which("git") or subprocess.run(git, capture_output=True).returncode:
        pytest.skip("needs a git checkout")
    commits = origins.recorded()
    assert len(commits) == len(claims.load_evidence())


def test_an_example_is_the_prediction_on_a_problem_of_the_catalogue():
    claim = claims.get("fang2021.balanced")
    found = example(claim)
    case = next(case for case in CASES if case.name == found.case)
    assert found.value == claim.predict(case.problem).value
    assert found.cases == sum(claim.applies(c.problem) for c in CASES)
    assert example(claims.get("fang2021.nuclear")) is None


def test_every_paper_has_its_notation():
    assert set(OWN) <= {id.split(".")[0] for id in claims.registry()}
    for paper in OWN:
        symbols = [symbol for symbol, _ in notation(paper)]
        assert len(symbols) == len(set(symbols))


def test_numbers_of_a_prediction_are_named_in_words():
    assert listed({"inner_product": 2.0, "R_0": -1.5}) == {"inner product": "2", "R_0": "−1.5"}
    assert listed({"bound_0": 0.1, "bound_1": 0.1}) == {"bound": "0.1 for each of 2"}
    assert listed({"level_1": 0.1, "level_2": 0.2}) == {"level 1": "0.1", "level 2": "0.2"}


def test_a_problem_is_shown_as_the_code_that_makes_it():
    import ufm

    names = {name: getattr(ufm, name) for name in dir(ufm) if name[0].isupper()}
    for case in CASES[:12]:
        assert eval(code(case.problem), names) == case.problem
