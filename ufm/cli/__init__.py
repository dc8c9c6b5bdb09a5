"""The command line. Parsing is torch-free; `commands` is imported only to run something."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Annotated

import tyro

from ufm.cli import shell
from ufm.cli.arguments import Command


def main(args: Sequence[str] | None = None) -> None:
    """Run ``ufm`` and exit: 0 certified, 2 usage error, 3 solved but not certified.

    An interrupt exits with 130 and a reader that leaves (``ufm ... | head``) with 141.

    Args:
        args: Arguments; ``sys.argv[1:]`` by default.

    Raises:
        SystemExit: Always, with the exit status.
    """
    raise SystemExit(shell.exit_status("ufm", lambda: _run(args)))


def _run(args: Sequence[str] | None) -> int:
    command = shell.parse(
        Annotated[Command, tyro.conf.arg(name="")],
        args,
        prog="ufm",
        description="Neural-collapse models: solve, certify, predict.",
        config=(tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitArgPrefixes),
    )
    return importlib.import_module("ufm.cli.commands").run(command)
