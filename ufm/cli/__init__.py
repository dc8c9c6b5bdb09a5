"""The command line. Parsing is torch-free; `commands` is imported only to run something."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, Any

import tyro

from ufm.cli import shell
from ufm.cli.arguments import Command, Completion
from ufm.cli.overview import overview


def main(args: Sequence[str] | None = None) -> None:
    """Run ``ufm`` and exit: 0 certified, 2 usage error, 3 solved but not certified.

    Without arguments it says what there is to do.

    An interrupt exits with 130 and a reader that leaves (``ufm ... | head``) with 141.

    Args:
        args: Arguments; ``sys.argv[1:]`` by default.

    Raises:
        SystemExit: Always, with the exit status.
    """
    raise SystemExit(shell.exit_status("ufm", lambda: _run(args)))


def _run(args: Sequence[str] | None) -> int:
    if not (sys.argv[1:] if args is None else args):
        sys.stdout.write(overview(metadata.version("ufm")))
        return 0
    command = _parsed(args)
    if isinstance(command, Completion):
        _parsed(["--tyro-print-completion", command.shell])  # prints it and exits
    return importlib.import_module("ufm.cli.commands").run(command)


def _parsed(args: Sequence[str] | None) -> Any:
    return shell.parse(
        Annotated[Command, tyro.conf.arg(name="")],
        args,
        prog="ufm",
        description="Neural-collapse models: solve, certify, predict.",
        config=(tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitArgPrefixes),
    )
