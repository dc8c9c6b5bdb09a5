"""What each command does. Tables go to stderr, JSON to stdout, the verdict is the exit status."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import ufm
from ufm import claims
from ufm._spec import encode
from ufm.certificates import Certificate, certify
from ufm.certificates.rigorous import check_balls
from ufm.cli import report
from ufm.cli.arguments import (
    Certify,
    Claims,
    Command,
    Counts,
    Doctor,
    Graph,
    List,
    Map,
    Nc,
    Predict,
    Runs,
    Show,
    Solve,
)
from ufm.cli.features import show_metrics
from ufm.cli.files import check_file, check_writable, read_arrays
from ufm.cli.installed import installation
from ufm.cli.maps import draw_up
from ufm.cli.model import Model
from ufm.problem import NoBias, Problem
from ufm.runs import Store, default_root
from ufm.solution import Solution
from ufm.solvers import polish, solve
from ufm.theory import predict


PASSED, NOT_CERTIFIED = 0, 3
NOT_PROVED = (
    "The gap to the lower bound is not closed: the point may be a saddle or a local optimum, or "
    "the bound not tight (d below K). Try `ufm solve` with --polish, with lbfgs --start random and "
    "more --seeds, or with a larger --d."
)
NOT_PROVED_GIVEN = (
    "The point is for the model above, and its value at most `gap` from the global minimum, if the "
    "bound is tight (d >= K). Numbers rounded to float32 leave a gap of about 1e-8; in Python "
    "ufm.polish(solution) takes Newton steps from the point."
)
ADVICE = {ufm.Status.CONVERGED: NOT_PROVED, ufm.Status.GIVEN: NOT_PROVED_GIVEN}
NO_THEOREM = (
    "No theorem's hypotheses hold for this model. `ufm solve` with the same flags finds and "
    "certifies its optimum; `ufm claims list` has all theorems, `ufm claims show ID` their "
    "hypotheses."
)


def run(command: Command) -> int:
    """Run a parsed command.

    Args:
        command: What was asked.

    Returns:
        The exit status.

    Raises:
        ValueError: If an input is wrong; the message is one line.
    """
    match command:
        case Solve():
            return _solve(command)
        case Certify():
            return _certify(command)
        case Nc():
            show_metrics(command)
            return PASSED
        case Counts():
            return _counts(command)
        case Predict():
            return _predict(command)
        case Claims(action=List(words=words, json=json)):
            return _claims_list(words, json=json)
        case Claims(action=Show(id=claim_id, json=json)):
            return _claims_show(claim_id, json=json)
        case Claims(action=Graph()):
            report.text(claims.graph_text())
            return PASSED
        case Map(action=action):
            return PASSED if draw_up(action) else NOT_CERTIFIED
        case Runs():
            return _runs(command)
        case Doctor():
            return _doctor(command)
        case _:
            raise ValueError(f"command must be a known one, got {command!r}")


def _solve(args: Solve) -> int:
    check_writable(args.out)
    problem = args.problem()
    if args.rigorous:
        check_balls([problem])  # before the work is done
    sol = solve(problem, args.method, seeds=args.seeds, device=args.device, throw=False)
    if args.polish:
        sol = polish(sol)
    if args.out is not None:
        sol.save(args.out)
    return _report_certificate(sol, rigorous=args.rigorous, json=args.json)


def _certify(args: Certify) -> int:
    return _report_certificate(_read(args.file, args), rigorous=args.rigorous, json=args.json)


def _report_certificate(sol: Solution, *, rigorous: bool, json: bool) -> int:
    cert = certify(sol, rigorous=rigorous)
    rows = [_row(sol, cert, i) for i in range(len(sol))]
    if json:
        report.json({"version": ufm.__version__, "instances": rows})
    if len(rows) == 1:
        first = sol[0] if sol.batch_shape else sol
        shown = {key: value for key, value in rows[0].items() if key != "problem" and value != ""}
        shown["bracket"] = [repr(x) for x in shown["bracket"]] or "only with --rigorous"
        report.record("certificate", {"model": _model(first.problem), **shown})
    else:
        names = ("seed", "status", "value", "gap", "margin", "rank", "certified", "bound")
        report.table("certificates", rows, names)
        for advice in sorted({row["advice"] for row in rows if row["advice"]}):
            report.text(advice)
    return PASSED if all(row["certified"] for row in rows) else NOT_CERTIFIED


def _model(problem: Problem) -> str:
    # Names only where a specification holds a whole tree.
    frame = getattr(problem.classifier, "frame", None)
    parts = [
        f"K={problem.K}, d={problem.d}, N={problem.N}",
        type(problem.loss).__name__,
        repr(problem.reg),
        *([repr(problem.bias)] if problem.bias != NoBias() else []),
        *([f"Fixed({type(frame).__name__})"] if frame is not None else []),
    ]
    return "; ".join(parts)


def _row(sol: Solution, cert: Certificate, i: int) -> dict:
    single, one = (sol[i], cert[i]) if sol.batch_shape else (sol, cert)
    status = single.status
    assert isinstance(status, ufm.Status)
    certified = bool(one.passed)
    return {
        "seed": single.seeds[0],
        "status": status.name,
        "steps": int(single.steps),
        "value": float(one.primal),
        "lower_bound": float(one.dual),
        "gap": float(one.gap),
        "raw_gap": float(one.raw_gap),
        "margin": float(one.margin),
        "infeasibility": float(one.infeasibility),
        "stationarity": float(one.stationarity),
        "rank": int(one.rank),
        "bound": one.bound[0],
        "certified": certified,
        "bracket": list(one.bracket[0]) if one.bracket is not None else [],
        "problem": encode(single.problem),
        "advice": "" if certified else ADVICE.get(status, status.value),
    }


def _counts(args: Counts) -> int:
    K = args.K or len(args.n)
    if K < 2:
        raise ValueError("K must be given as --K, or the sizes as --n, got nothing")
    n, f = args.sizes(K), args.f
    if len(n) != K:
        raise ValueError(f"n must have K={K} entries, got {len(n)}")
    rules = {
        "small end": ufm.class_aware_centers(n, f),
        "large end": ufm.class_aware_centers(n, f, end="large"),
        "in proportion": ufm.proportional_centers(n, f),
    }
    needed = sum(rules["small end"]) + K
    if args.json:
        report.json({"version": ufm.__version__, "n": n, "f": f, "d": needed, **rules})
    rows = [
        {"class": k, "n": n[k], **{name: counts[k] for name, counts in rules.items()}}
        for k in range(K)
    ]
    report.table(f"centers of each class, in at least {needed} dimensions", rows, tuple(rows[0]))
    return PASSED


def _predict(args: Predict) -> int:
    problem, evidence = args.problem(), claims.load_evidence()
    rows = [
        {
            "claim": p.claim.id,
            "kind": p.claim.kind.value,
            "status": claims.status(p.claim, evidence).value,
            "value": p.value,
            "unique": p.unique,
            "numbers": dict(p.numbers),
            "says": p.note or p.claim.statement,
        }
        for p in predict(problem)
    ]
    if args.json:
        report.json({"problem": encode(problem), "predictions": rows})
    if rows:
        names = ("claim", "status", "value", "unique", "says")
        report.table("theorems that hold here", rows, names)
    else:
        report.text(NO_THEOREM)
    return PASSED


def _claims_list(words: Sequence[str], *, json: bool) -> int:
    evidence = claims.load_evidence()
    rows = [
        {
            "id": claim.id,
            "kind": claim.kind.value,
            "status": claims.status(claim, evidence).value,
            "source": str(claim.source),
            "statement": claim.statement,
        }
        for claim in claims.registry().values()
    ]
    found = [row for row in rows if all(w.lower() in " ".join(row.values()).lower() for w in words)]
    if not found:
        raise ValueError(
            f"words must occur in one of the {len(rows)} claims, got {' '.join(words)}"
        )
    rows = found
    if json:
        report.json(rows)
    report.table("claims", rows, ("id", "kind", "status", "statement"))
    return PASSED


def _claims_show(claim_id: str, *, json: bool) -> int:
    claim, evidence = claims.get(claim_id), claims.load_evidence()
    data = {
        "id": claim.id,
        "kind": claim.kind.value,
        "status": claims.status(claim, evidence).value,
        "statement": claim.statement,
        "formula": claim.formula,
        "source": str(claim.source),
        "assumptions": [a.name for a in claim.assumptions] or [claim.outside],
        "uses": list(claim.uses),
        "repaired by": claim.repaired_by,
        "evidence": [
            {
                "check": e.check,
                "kind": e.kind.value,
                "domain": e.domain,
                "passed": e.passed,
                "numbers": dict(e.numbers),
                **({"note": e.note} if e.note else {}),
            }
            for e in evidence
            if e.claim == claim.id
        ],
    }
    if json:
        report.json(data)
    checks = [line for item in data["evidence"] for line in _evidence_lines(item)]
    report.record(claim_id, data | {"evidence": checks or "none"})
    return PASSED


def _evidence_lines(item: dict) -> list[str]:
    lines = [
        f"{'passed' if item['passed'] else 'FAILED'}: {item['check']} ({item['kind']})",
        f"  for {item['domain']}",
    ]
    lines += [f"  {name}: {value:.6g}" for name, value in item["numbers"].items()]
    return lines + ([f"  {item['note']}"] if item.get("note") else [])


def _runs(args: Runs) -> int:
    root = args.store or default_root()
    if not root.is_dir():
        raise ValueError(
            f"store must be an existing folder, got {root}; `make figures` and `ufm map` fill one"
        )
    store = Store(root)
    rows = store.list() if args.action == "list" else store.verify()
    if args.json:
        report.json(rows)
    report.table(f"runs in {root}", rows, tuple(rows[0]) if rows else ("kind", "key"))
    return PASSED if all(row.get("ok", True) for row in rows) else NOT_CERTIFIED


def _doctor(args: Doctor) -> int:
    data = installation()
    if args.json:
        report.json(data)
    features = data.pop("features")
    report.record("ufm", data)
    states = {
        row["feature"]: [f"needs {', '.join(row['missing'])}", row["install"]]
        if row["missing"]
        else "ready"
        for row in features
    }
    report.record("features", states)
    return PASSED


def _read(file: Path, model: Model) -> Solution:
    if file.suffix != ".npz":
        check_file(file)
        if file.suffix in (".npy", ".pt", ".pth", ".mat", ".csv"):
            raise ValueError(
                f"file must be one of `ufm solve --out` or an .npz with W and H, got {file}; "
                "numpy.savez('point.npz', W=W, H=H) writes one"
            )
        return Solution.load(file)
    arrays = read_arrays(file, required=("W", "H"))
    if arrays["W"].ndim >= 2:  # else the statement of the problem refuses it
        K, d = arrays["W"].shape[-2:]
        model = dataclasses.replace(model, K=model.K or K, d=model.d or d)
    return Solution.from_arrays(model.problem(), arrays["W"], arrays["H"], arrays.get("b"))
