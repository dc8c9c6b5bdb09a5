"""``python -m figures list | build [ID...] | needs [ID...]``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from figures._build import MissingRun, Target, build
from figures._registry import Figure, chosen
from figures._style import Bundle
from figures.report.site import write as write_report
from ufm.cli.shell import exit_status, parse
from ufm.runs import Store, check_writable, default_root


INCOMPLETE = 3


@dataclasses.dataclass(frozen=True)
class List:
    """List the figures."""


@dataclasses.dataclass(frozen=True)
class Build:
    """Compute what is missing, draw what is out of date, write the report.

    Attributes:
        ids: Figures; all by default.
        store: Folder of the runs; $UFM_RUNS or `runs` by default.
        out: Folder of the figures.
        bundle: Venue whose sizes and fonts are used.
        offline: Compute nothing; draw only from runs that are there.
    """

    ids: tyro.conf.Positional[tuple[str, ...]] = ()
    store: Path | None = None
    out: Path = Path("figures/out")
    bundle: Bundle = "icml2024"
    offline: bool = False


@dataclasses.dataclass(frozen=True)
class Needs:
    """Show the runs that figures need, and whether they are there.

    Attributes:
        ids: Figures; all by default.
        store: Folder of the runs; $UFM_RUNS or `runs` by default.
    """

    ids: tyro.conf.Positional[tuple[str, ...]] = ()
    store: Path | None = None


Command = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Build, tyro.conf.subcommand("build")]
    | Annotated[Needs, tyro.conf.subcommand("needs")]
)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: Arguments; ``sys.argv[1:]`` by default.

    Returns:
        0 if all is well, 2 for a usage error, 3 if some figure could not be drawn.
    """
    return exit_status("figures", lambda: _run(args))


def _run(args: Sequence[str] | None) -> int:
    match parse(Command, args, prog="python -m figures"):
        case Build() as command:
            return _build(command)
        case Needs(ids=ids, store=root):
            return _needs(chosen(ids), Store(root or default_root()))
        case _:
            return _write(f"{f.id:20} {f.title}" for f in chosen(()))


def _build(args: Build) -> int:
    figures = chosen(args.ids)
    target = Target(Store(args.store or default_root()), args.out, args.bundle, args.offline)
    check_writable(args.out, role="out")
    failed = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        for figure in figures:
            task = progress.add_task(figure.id, total=len(figure.runs()))
            try:
                drawn = build(figure, target, lambda task=task: progress.advance(task))
            except (MissingRun, ImportError) as error:
                failed.append(f"{figure.id}: {error}")
                continue
            progress.update(task, description=f"{figure.id} ({'drawn' if drawn else 'current'})")
    write_report(args.out, target.store.root)
    for line in failed:
        sys.stderr.write(f"figures: {line}\n")
    _write([str(args.out / "index.html")])
    return INCOMPLETE if failed else 0


def _needs(figures: Sequence[Figure], store: Store) -> int:
    for figure in figures:
        _write([figure.id])
        for job in figure.runs():
            state = "there" if store.has(job.spec) else job.command or "to be computed"
            _write([f"  {job.spec.kind}/{job.spec.key}  {state}"])
    return 0


def _write(lines: Iterable[str]) -> int:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
