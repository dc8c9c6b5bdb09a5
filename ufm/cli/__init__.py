"""The command line. Parsing is torch-free; `commands` is imported only to run something."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

from ufm.cli.arguments import Command


USAGE_ERROR = 2


def main(args: Sequence[str] | None = None) -> None:
    """Run ``ufm`` and exit: 0 certified, 2 usage error, 3 solved but not certified.

    Args:
        args: Arguments; ``sys.argv[1:]`` by default.

    Raises:
        SystemExit: Always, with the exit status.
    """
    command: Command = tyro.cli(
        Annotated[Command, tyro.conf.arg(name="")],  # pyright: ignore[reportArgumentType]
        prog="ufm",
        description="Neural-collapse models: solve, certify, predict.",
        args=args,
        config=(tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitArgPrefixes),
    )
    commands = importlib.import_module("ufm.cli.commands")
    try:
        status = commands.run(command)
    except (ValueError, OSError, ImportError) as error:
        sys.stderr.write(f"ufm: {error}\n")
        status = USAGE_ERROR
    raise SystemExit(status)
