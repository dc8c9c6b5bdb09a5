"""Pages made from records: models and their theorems, theory by paper, benchmarks, the API.

Nothing here states a fact of its own, so that no page can go stale: hypotheses are evaluated on
instances, statuses come from the recorded evidence, numbers from `benchmarks/results`.
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path

from gallery_page import gallery_files

import ufm
from ufm import claims
from ufm.claims import Claim, ClaimStatus
from ufm.geometry import OrthogonalFrame, SimplexETF


ROOT = Path(__file__).parents[1]
TITLES = {
    "papyan2020": "Papyan, Han and Donoho (2020): neural collapse",
    "zhu2021": "Zhu et al. (2021): ridges",
    "fang2021": "Fang et al. (2021): the layer-peeled model, minority collapse",
    "yang2022": "Yang et al. (2022): fixed ETF, dot regression",
    "tirer2022": "Tirer and Bruna (2022): squared error",
    "yaras2022": "Yaras et al. (2022): spheres",
    "hong2024": "Hong and Ling (2024): ridge per class mean",
    "liang2023": "Liang and Davis (2023): hierarchy-aware frames",
    "yan2024": "Yan et al. (2024): multiple centers",
    "markou2024": "Markou, Ajanthan and Gould (2024): the nearest simplex ETF",
}
MODULES = (
    "ufm.problem", "ufm.losses", "ufm.counts", "ufm.center_counts", "ufm.geometry",
    "ufm.hierarchy", "ufm.methods", "ufm.solvers", "ufm.solution", "ufm.status",
    "ufm.certificates", "ufm.certified", "ufm.large", "ufm.maps", "ufm.metrics", "ufm.heads",
    "ufm.theory", "ufm.claims",
)  # fmt: skip
BALANCES = {
    "balanced": (5, 5, 5, 5),
    "step, several majority classes": (9, 9, 3, 3),
    "step, one majority class": (9, 3, 3, 3),
    "all sizes different": (12, 8, 5, 3),
}
_SPECIAL = str.maketrans({c: "\\" + c for c in "\\`*_[]<>|$#"})


def escape(text: str) -> str:
    """Plain text as Markdown that shows it.

    Args:
        text: Plain text.

    Returns:
        Markdown.
    """
    return text.translate(_SPECIAL)


def models() -> dict[str, dict[str, ufm.Problem]]:
    """The models of the decision page, four profiles of class sizes each.

    Returns:
        Model, to profile, to an instance with K = d = 4.
    """
    average, ball = ufm.AverageBudget(E_W=1.0, E_H=2.0), ufm.VectorBudget(E_W=1.0, E_H=2.0)
    sphere, etf = ufm.Sphere(E_W=1.0, E_H=2.0), ufm.Fixed(SimplexETF())
    ridge, mean_ridge = (
        ufm.WeightDecay(lam_W=0.01, lam_H=0.01), ufm.ClassMeanDecay(lam_W=0.01, lam_H=0.01)
    )  # fmt: skip
    dot = ufm.DotRegression(s=2.0**0.5)
    feature_ridge = ufm.WeightDecay(lam_W=0.0, lam_H=0.01)
    orthonormal = ufm.Fixed(OrthogonalFrame())
    named = {
        "cross-entropy, `AverageBudget`, learnable": dict(reg=average),
        "cross-entropy, `VectorBudget`, learnable": dict(reg=ball),
        "cross-entropy, `Sphere`, learnable": dict(reg=sphere),
        "cross-entropy, `WeightDecay`, learnable": dict(reg=ridge),
        "cross-entropy, `WeightDecay`, learnable, `FreeBias`": dict(reg=ridge, bias=ufm.FreeBias()),
        "cross-entropy, `ClassMeanDecay`, learnable": dict(reg=mean_ridge),
        "cross-entropy, `VectorBudget`, fixed ETF": dict(reg=ball, classifier=etf),
        "cross-entropy, `Sphere`, fixed ETF": dict(reg=sphere, classifier=etf),
        "dot regression, `Sphere`, fixed ETF": dict(loss=dot, reg=sphere, classifier=etf),
        "squared error, `WeightDecay`, learnable": dict(loss=ufm.SquaredError(), reg=ridge),
    }
    found = {
        name: {label: ufm.Problem(K=4, d=4, n=n, **model) for label, n in BALANCES.items()}
        for name, model in named.items()
    }
    found["multi-center squared error, `WeightDecay(lam_W=0)`, fixed orthonormal frame"] = {
        label: ufm.Problem(
            K=4, d=4, n=n, reg=feature_ridge, classifier=orthonormal,
            loss=ufm.CenterSquaredError.of(ufm.class_aware_centers(n, 2), n=n, theta=0.2),
        )
        for label, n in BALANCES.items()
    }  # fmt: skip
    return found


def decision_page() -> str:
    """Every claim that applies to each model, found by asking the registry."""
    lines = [
        "# Which model am I looking at",
        "",
        "Find the row of tables by loss, constraint and classifier, then the row of your class "
        "sizes. The theorems are those whose hypotheses hold on an instance with K = d = 4, as "
        "`ufm.predict` and the registry evaluate them; this page is made from that evaluation. "
        "**Bold**: the claim predicts a value, a geometry or a threshold. For your own model: "
        "`ufm predict`, or `[c.id for c in claims.registry().values() if c.applies(problem)]`.",
        "",
        "Constraint by its shape: a bound on the *mean* squared norm is `AverageBudget`, on "
        "*every* vector `VectorBudget`, equality `Sphere`; a penalty on every sample's feature is "
        "`WeightDecay`, on every class mean `ClassMeanDecay`. Weighted losses enter as class "
        "shares: the profile that counts is that of the shares $\\pi_k$.",
        "",
    ]
    for name, instances in models().items():
        lines += [f"## {name[0].upper()}{name[1:]}", ""]
        lines += ["| class sizes | what holds |", "| --- | --- |"]
        for label, problem in instances.items():
            known = claims.registry().values()
            cells = [_link(c) for c in known if c.applies(problem) and not c.fails]
            lines.append(f"| {label} | {', '.join(cells) or 'nothing registered'} |")
        lines.append("")
    seen = {
        claim.id
        for instances in models().values()
        for problem in instances.values()
        for claim in claims.registry().values()
        if claim.applies(problem)
    }
    lines += ["## Under further conditions", "", "Other losses, widths, strengths of the ridge or "
              "frames; the hypotheses, all of which must hold:", ""]  # fmt: skip
    lines += [
        f"- {_link(claim)}: {escape('; '.join(a.name for a in claim.assumptions))}"
        for claim in claims.registry().values()
        if claim.assumptions and not claim.fails and claim.id not in seen
    ]
    return "\n".join(lines) + "\n"


def _link(claim: Claim) -> str:
    link = f"[{claim.id}](theory/{claim.id.split('.')[0]}.md#{anchor(claim)})"
    return f"**{link}**" if claim.rule else link


def anchor(claim: Claim) -> str:
    """Anchor of a claim on its page.

    Args:
        claim: The claim.

    Returns:
        The anchor, without ``#``.
    """
    return "claim-" + claim.id.replace(".", "-")


def theory_page(paper: str) -> str:
    """All claims of a paper, from the registry and the recorded evidence.

    Args:
        paper: Bibliography key.

    Returns:
        Markdown.
    """
    evidence = claims.load_evidence()
    lines = [f"# {TITLES.get(paper, paper)}", "", "Statements that fail as registered name "
             "what replaces them. `ufm claims show ID` prints any of them.", ""]  # fmt: skip
    for claim in claims.registry().values():
        if claim.id.split(".")[0] != paper:
            continue
        own = [e for e in evidence if e.claim == claim.id]
        status = claims.status(claim, evidence)
        lines += [f"({anchor(claim)})=", f"## `{claim.id}`", ""]
        lines += [f"*{claim.kind.value}*, **{status.value}**. {escape(claim.statement)}", ""]
        lines += ["```{math}", claim.formula, "```", ""]
        about = escape(claim.outside) or "; ".join(escape(a.name) for a in claim.assumptions)
        lines += [f"- about: {about}"]
        lines += [f"- source: {escape(str(claim.source))} {{cite:p}}`{claim.source.key}`"]
        if claim.steps:
            lines.append(f"- steps of the proof: {escape(', '.join(claim.steps))}")
        if claim.uses:
            lines.append("- uses " + ", ".join(f"`{id}`" for id in claim.uses))
        if status is ClaimStatus.REFUTED:
            repair = f"`{claim.repaired_by}`" if claim.repaired_by else "no repaired form"
            lines.append(f"- **correction**: fails in this form; see {repair}")
        lines += [f"- {e.kind.value}: {escape(e.domain)}" for e in own]
        lines.append("")
    return "\n".join(lines)


def benchmark_page() -> str:
    """The tables of `benchmarks/results`, as they were measured."""
    lines = ["# Benchmarks", "", "`make bench` measures; these are the records. Wall times are not "
             "reproducible, ratios within one table are.", ""]  # fmt: skip
    for file in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        record = json.loads(file.read_text("utf-8"))
        keys = list(dict.fromkeys(key for row in record["rows"] for key in row))
        machine = ", ".join(f"{key} {value}" for key, value in record["machine"].items())
        about = escape(" ".join(record["about"].split()))
        lines += [f"## {file.stem.replace('_', ' ')}", "", about, "", escape(machine), ""]
        lines += ["| " + " | ".join(escape(key) for key in keys) + " |", "| --- " * len(keys) + "|"]
        for row in record["rows"]:
            lines.append("| " + " | ".join(_cell(row.get(key)) for key in keys) + " |")
        lines.append("")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "—"
    return f"{value:.3g}" if isinstance(value, float) else escape(str(value))


def public_names(module: str) -> dict[str, object]:
    """What a module offers: its ``__all__``, or the classes and functions it defines.

    Args:
        module: Full name.

    Returns:
        Objects by name.
    """
    loaded = importlib.import_module(module)
    names = getattr(loaded, "__all__", None) or [
        name for name, value in vars(loaded).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module
    ]  # fmt: skip
    found = {name: getattr(loaded, name) for name in names}
    return {
        name: value for name, value in found.items()
        if inspect.isclass(value) or inspect.isfunction(value)
    }  # fmt: skip


def api_page(module: str) -> str:
    """Reference of one module: its docstring, a table, and every public name.

    Args:
        module: Full name.

    Returns:
        reStructuredText.
    """
    names = public_names(module)
    lines = [f"``{module}``", "=" * (len(module) + 4), "", f".. automodule:: {module}", ""]
    lines += [f".. currentmodule:: {module}", "", ".. autosummary::", ""]
    lines += [f"   {name}" for name in names] + [""]
    for name, value in names.items():
        directive = "autoclass" if inspect.isclass(value) else "autofunction"
        lines.append(f".. {directive}:: {name}")
        lines += ["   :members:", ""] if inspect.isclass(value) else [""]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Every generated page by its path.

    Returns:
        Paths to text.
    """
    papers = dict.fromkeys(id.split(".")[0] for id in claims.registry())
    found = {"models.md": decision_page(), "benchmarks.md": benchmark_page()}
    found |= {f"theory/{paper}.md": theory_page(paper) for paper in papers}
    return found | {f"api/{module}.rst": api_page(module) for module in MODULES}


def write(folder: Path) -> None:
    """Write the pages that changed, remove those no longer made.

    Args:
        folder: Where. What the gallery of scripts keeps in ``examples`` there is its own.
    """
    made = {folder / path: text.encode() for path, text in pages().items()}
    made |= {folder / path: data for path, data in gallery_files().items()}
    for file, data in made.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_bytes() != data:
            file.write_bytes(data)
    for file in folder.rglob("*.*"):
        if file not in made and not file.is_relative_to(folder / "examples"):
            file.unlink()
