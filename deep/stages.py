"""``python -m deep gpu``: what needs a GPU, in stages of minutes that keep what they did.

Speed, the headline row and its baseline, CUDA tests, then the other rows of the tables, the most
telling first: half an hour has something of everything. Results are the small files of
``deep/results``, so what is there is skipped, on this machine or any other.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.util
import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from benchmarks import gpu_batch
from deep import results, throughput
from deep.device import checked
from deep.models.spec import ResNetImageNet, WideResNet
from deep.published import TABLES, Row
from deep.queue import NOT_YET, Stage, clock, left, work
from deep.recipe import Recipe
from deep.recipes import find
from deep.results import provenance
from ufm.runs.files import write_atomic


ROOT = Path(__file__).parents[1]
LOGS = Path("runs/gpu")
# Tables whose rows are trained, in order of interest.
QUEUED = ("cifar10-lt", "cifar100-lt", "haframe", "centers10", "centers100", "lt-other")
# Recipes that come before everything else, and those right behind the CUDA tests: seed 0 of each.
HEADLINE = ("yang2022-cifar10-lt100-etf-dr", "yang2022-cifar10-lt100-ce")
NEXT = ("liang2023-cifar100-haframe", "yang2022-cifar100-lt100-etf-dr",
        "yang2022-cifar100-lt100-ce", "liang2023-cifar100-ce",
        "yan2024-cifar10-lt200-cal", "yan2024-cifar100-lt200-cal")  # fmt: skip
# Files of CUDA tests in one stage.
CHUNK = 5
# Estimated seconds of a seed by kind of network, and of compilation; no GPU was asked. Measured
# times of finished seeds replace them.
COMPILE = 60.0
SECONDS = {"resnet": 60.0, "wide": 420.0, "imagenet": 240.0}
TESTS = 180.0
LIMIT = 540.0


def stages(
    *,
    python: str,
    device: str = "cuda",
    folder: Path | None = None,
    out: Path = Path("runs/deep"),
    root: Path = results.ROOT,
    tables: Sequence[str] = QUEUED,
) -> list[Stage]:
    """All stages, done or not.

    Args:
        python: Interpreter that runs them.
        device: Where networks are trained.
        folder: Where the data is.
        out: Folder of runs and their checkpoints.
        root: Folder of results.
        tables: Tables whose rows are trained.

    Returns:
        The stages, in order.
    """
    places = ["--device", device, *(["--folder", str(folder)] if folder else [])]
    wanted: dict[str, int] = {}
    rank: dict[str, int] = {}
    for table in (TABLES[name] for name in tables):
        for row in table.rows:
            wanted[row.recipe] = max(wanted.get(row.recipe, 0), table.seeds)
            place = _rank(table.name, row)
            rank[row.recipe] = min(rank.get(row.recipe, place), place)
    trained = {
        name: list(_trainings(find(name), wanted[name], python, places, out, root))
        for name in sorted(wanted, key=lambda name: rank[name])
    }
    first = [trained[name].pop(0) for name in HEADLINE if name in trained]
    then = [trained[name].pop(0) for name in NEXT if name in trained]
    rest = [stage for stages in trained.values() for stage in stages]
    speed = _throughput(python, device, root)
    return [speed, *first, _solver(python), *_tests(python, root), *then, *rest]


def _rank(table: str, row: Row) -> int:
    # Rows with a published figure, then those that the text compares, then what stands beside.
    if table == "lt-other":
        return 3
    if row.published:
        return 0
    return 1 if row.recipe.endswith(("-al", "-targets")) else 2


def _trainings(
    recipe: Recipe, seeds: int, python: str, places: list[str], out: Path, root: Path
) -> Iterator[Stage]:
    # Small networks leave a GPU idle: their seeds share a stage. Large ones fill it alone.
    alone = isinstance(recipe.network, WideResNet | ResNetImageNet)
    groups = [(k,) for k in range(seeds)] if alone else [tuple(range(seeds))]
    for group in groups:
        lacking = [str(k) for k in group if results.read(recipe, k, root) is None] or ["0"]
        command = (python, "-m", "deep", "train", recipe.name, "--seeds", *lacking, "--record",
                   "--quiet", "--limit", "{limit}", "--out", str(out), *places)  # fmt: skip
        yield Stage(
            f"{recipe.name}-seed{group[0]}" if alone else recipe.name,
            f"train {recipe.name}, seed {', '.join(map(str, group))}",
            command,
            _estimate(recipe, len(group), root),
            functools.partial(_has_all, recipe, group, root),
        )


def _has_all(recipe: Recipe, seeds: Sequence[int], root: Path) -> bool:
    return all(results.read(recipe, k, root) is not None for k in seeds)


def _estimate(recipe: Recipe, seeds: int, root: Path) -> float:
    measured = [s.content["seconds"] for s in results.read_all(recipe, root)]
    if measured:
        return COMPILE + seeds * sum(measured) / len(measured)
    kind = {WideResNet: "wide", ResNetImageNet: "imagenet"}.get(type(recipe.network), "resnet")
    return COMPILE + seeds * SECONDS[kind]


def _throughput(python: str, device: str, root: Path) -> Stage:
    path = root / throughput.FILE
    command = (python, "-m", "deep", "bench", "--device", device, "--record", str(path))
    return Stage("throughput", "speed against the plain loop and the matrix rate", command, 240.0,
                 lambda: throughput.is_current(path, device))  # fmt: skip


def _solver(python: str) -> Stage:
    path = ROOT / gpu_batch.RESULT
    command = (python, "-m", "benchmarks.gpu_batch", "--record", str(path))
    return Stage("solver", "certified instances a second against the card's ceilings", command,
                 240.0, lambda: gpu_batch.is_current(path))  # fmt: skip


def _tests(python: str, root: Path) -> Iterator[Stage]:
    files = sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"mark\.gpu", path.read_text())
    )
    for start in range(0, len(files), CHUNK):
        chunk = files[start : start + CHUNK]
        name = f"cuda-tests-{start // CHUNK + 1}"
        path = root / "cuda" / f"{name}.json"
        # Warnings of another version of torch or Python are no failures here.
        command = (python, "-m", "pytest", "-q", "-W", "default", "-m", "gpu", *chunk)
        yield Stage(name, f"CUDA tests of {len(chunk)} files", command, TESTS,
                    functools.partial(_passed_before, path, chunk),
                    functools.partial(_keep_tests, path, chunk))  # fmt: skip


def _keep_tests(path: Path, chunk: Sequence[str], output: str) -> bool:
    passed = re.search(r"(\d+) passed", output)
    if not passed:  # all skipped proves nothing
        return False
    record = {
        "files": list(chunk), "passed": int(passed[1]), "sources": sources(),
        "provenance": provenance("cuda" if torch.cuda.is_available() else "cpu"),
    }  # fmt: skip
    write_atomic({path: (json.dumps(record, indent=1) + "\n").encode()}, role="results")
    return True


def _passed_before(path: Path, chunk: Sequence[str]) -> bool:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return record.get("sources") == sources() and record.get("files") == list(chunk)


@functools.cache
def sources() -> str:
    """Digest of the code that CUDA tests are about: they are done again when it changes.

    Returns:
        16 hex digits.
    """
    total = hashlib.sha256()
    for folder in ("ufm", "deep", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            total.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


def show(found: Sequence[Stage]) -> None:
    """Write what is done and what is left, with estimated times.

    Args:
        found: The stages.
    """
    undone = {stage.name for stage in left(found)}
    for stage in found:
        state = f"left, about {clock(stage.seconds)}" if stage.name in undone else "done"
        sys.stdout.write(f"{stage.name:46} {state}\n")
    rest = sum(stage.seconds for stage in found if stage.name in undone)
    sys.stdout.write(f"{len(undone)} of {len(found)} stages left, about {clock(rest)}\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command.

    Args:
        parser: Its parser.
    """
    parser.add_argument("--list", action="store_true", help="what is left, and how long it takes")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--folder", type=Path, help="where the data is (default $UFM_DATA or data)")
    parser.add_argument("--out", type=Path, default=Path("runs/deep"), help="folder of runs")
    parser.add_argument("--limit", type=float, default=LIMIT, help="most seconds of a stage")
    parser.add_argument("--total", type=float, default=math.inf, help="most seconds of all")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="stages named so")


def run(arguments: argparse.Namespace) -> int:
    """Do what is left, or list it.

    Args:
        arguments: Parsed arguments.

    Returns:
        0 if all is done, 1 if a stage failed, 3 if some are left.

    Raises:
        ValueError: If there is no such device or stage, or a limit is out of range.
    """
    if not 60 <= arguments.limit <= 600:
        raise ValueError(f"limit must be between 60 and 600 seconds, got {arguments.limit:g}")
    if not arguments.total > 0:
        raise ValueError(f"total must be positive seconds, got {arguments.total:g}")
    found = stages(python=sys.executable, device=arguments.device, folder=arguments.folder,
                   out=arguments.out)  # fmt: skip
    for part in arguments.only:
        if not any(part in stage.name for stage in found):
            raise ValueError(f"only must be parts of stages' names, see --list, got {part!r}")
    if arguments.only:
        found = [stage for stage in found if any(part in stage.name for part in arguments.only)]
    if arguments.list:
        show(found)
        return 0
    checked(arguments.device)
    if importlib.util.find_spec("pytest") is None:
        sys.stdout.write("pytest is not installed: the CUDA tests are left out\n")
        found = [stage for stage in found if not stage.name.startswith("cuda-tests")]
    status = work(found, limit=arguments.limit, total=arguments.total, logs=LOGS, say=_say)
    if status:
        show(left(found))
    return status


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


__all__ = ["NOT_YET", "Stage", "add_arguments", "run", "show", "sources", "stages"]
