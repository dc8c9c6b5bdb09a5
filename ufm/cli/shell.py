"""What every command line of the project does alike: one-line errors and exit statuses."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro


USAGE_ERROR = 2
INTERRUPTED, READER_LEFT = 128 + 2, 128 + 13  # what a shell reports for SIGINT and SIGPIPE


def exit_status(program: str, run: Callable[[], int]) -> int:
    """Run a command; bad input, a full disk, Ctrl-C and ``| head`` end it without a traceback.

    Args:
        program: Name that starts each message.
        run: The command; returns its exit status.

    Returns:
        The exit status: 2 for bad input, 130 for an interrupt, 141 for a reader that left.
    """
    try:
        return run()
    except KeyboardInterrupt:
        sys.stderr.write(f"{program}: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes at exit, which would complain about the same pipe once more.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return READER_LEFT
    except (ValueError, OSError, ImportError) as error:
        sys.stderr.write(f"{program}: {error}\n")
        return USAGE_ERROR


def parse(command: Any, args: Sequence[str] | None, *, prog: str, **options: Any) -> Any:
    """Parse arguments; what is wrong with them is one line on stderr.

    Args:
        command: Type to parse into.
        args: Arguments; ``sys.argv[1:]`` by default.
        prog: Name of the program.
        **options: Other keyword arguments of ``tyro.cli``.

    Returns:
        The parsed command.

    Raises:
        SystemExit: With status 2 if the arguments are wrong, 0 after ``--help``.
    """
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            return tyro.cli(command, prog=prog, args=args, **options)
    except SystemExit:
        sys.stdout.flush()
        if messages.getvalue():
            name = prog.removeprefix("python -m ")
            line = reworded(messages.getvalue(), help=f"{prog} --help")
            sys.stderr.write(f"{name}: {line}\n")
        raise


def reworded(box: str, *, help: str) -> str:
    """One line from tyro's box: a title, the error, and after a rule or empty line its advice.

    Args:
        box: What tyro printed.
        help: Command that shows what may be given.

    Returns:
        The error. Errors of our own types are kept as they are written.
    """
    lines = [line.strip("│| ").strip() for line in box.splitlines()[1:]]
    paragraphs = itertools.groupby(lines, key=lambda line: bool(line.strip("─-╰╯+ ")))
    words = next((" ".join(group) for is_text, group in paragraphs if is_text), "bad arguments")
    words = words.rstrip(".")
    ours = re.match(r"Error parsing \w+: (.* must .*)", words)
    if ours:
        return ours[1]
    malformed = re.match(r"Error parsing (--\S+): (.*?[\[ ]('.*')\]?)$", words)
    if malformed:
        # tyro names the type only in Python's words; the flags are integers or real numbers.
        flag, reason, value = malformed.groups()
        kind = "a number" if "float" in reason.lower() else "an integer"
        words = f"{flag} must be {'integers' if 'valid parse' in reason else kind}, got {value}"
    return f"{words}; see {help}"
