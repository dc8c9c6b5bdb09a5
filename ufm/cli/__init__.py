"""The command line. Parsing is torch-free; `commands` is imported only to run something."""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
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
    command = _parsed(args)
    commands = importlib.import_module("ufm.cli.commands")
    try:
        status = commands.run(command)
    except (ValueError, OSError, ImportError) as error:
        sys.stderr.write(f"ufm: {error}\n")
        status = USAGE_ERROR
    raise SystemExit(status)


def _parsed(args: Sequence[str] | None) -> Command:
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            return tyro.cli(
                Annotated[Command, tyro.conf.arg(name="")],  # pyright: ignore[reportArgumentType]
                prog="ufm",
                description="Neural-collapse models: solve, certify, predict.",
                args=args,
                config=(tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitArgPrefixes),
            )
    except SystemExit:
        if messages.getvalue():
            sys.stderr.write(f"ufm: {_first_paragraph(messages.getvalue())}; see ufm --help\n")
        raise


def _first_paragraph(box: str) -> str:
    # tyro draws a box: a title, the error, and after a rule or an empty line its advice.
    lines = [line.strip("│| ").strip() for line in box.splitlines()[1:]]
    paragraphs = itertools.groupby(lines, key=lambda line: bool(line.strip("─-╰╯+ ")))
    words = next((" ".join(group) for is_text, group in paragraphs if is_text), "bad arguments")
    return words.rstrip(".")
