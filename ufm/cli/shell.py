"""What every command line of the project does alike: one-line errors and exit statuses."""

from __future__ import annotations

import contextlib
import difflib
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Collection, Sequence
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
            given = list(sys.argv[1:] if args is None else args)
            first = given[:1] if set(given[:1]) <= names(command, [], **options) else []
            known = names(command, first, **options)
            line = reworded(messages.getvalue(), known=known, page=" ".join([prog, *first]))
            sys.stderr.write(f"{prog.removeprefix('python -m ')}: {line}\n")
        raise


def names(command: Any, words: Sequence[str], **options: Any) -> set[str]:
    """Commands that may follow some words, as the help page lists them.

    Args:
        command: Type to parse into.
        words: Commands.
        **options: Other keyword arguments of ``tyro.cli``.

    Returns:
        Their names.
    """
    page = io.StringIO()
    with (
        contextlib.suppress(SystemExit),
        contextlib.redirect_stdout(page),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        tyro.cli(command, args=[*words, "--help"], **options)
    return set(re.findall(r"• ([a-z][\w-]*)", page.getvalue()))


def reworded(box: str, *, known: Collection[str], page: str) -> str:
    """One line from tyro's box: a title, the error, and after a rule or empty line its advice.

    Args:
        box: What tyro printed.
        known: Commands that could have been meant.
        page: Command whose ``--help`` shows what may be given.

    Returns:
        What was wrong, what it should have been, and where that stands. Errors of our own types
        are kept as they are written.
    """
    lines = [line.strip("│| ").strip() for line in box.splitlines()[1:]]
    paragraphs = itertools.groupby(lines, key=lambda line: bool(line.strip("─-╰╯+ ")))
    words = next((" ".join(group) for is_text, group in paragraphs if is_text), "bad arguments")
    words = words.rstrip(". ")
    if ours := re.match(r"Error parsing \w+: (.* must .*)", words):
        return ours[1]
    if malformed := re.match(r"Error parsing (--\S+): (.*?[\[ ]('.*')\]?)$", words):
        # tyro names the type only in Python's words; the flags are integers or real numbers.
        flag, reason, value = malformed.groups()
        kind = "a number" if "float" in reason.lower() else "an integer"
        words = f"{flag} must be {'integers' if 'valid parse' in reason else kind}, got {value}"
    elif unknown := re.match(r"Unrecognized (?:or misplaced )?options: ([^,\s]+)", words):
        words = _unknown(unknown[1], " ".join(lines), known, page)
    elif missing := re.match(r"Expected one of \{(.*)\}$", words):
        words = f"{page} must be followed by one of {missing[1]}, got nothing"
    elif needed := re.match(r"Missing from (.*): \{(.*?)\}", words):
        command, choices = needed.groups()
        words = f"{command} must be followed by one of {choices.replace(',', ', ')}, got nothing"
    elif needed := re.match(r"Missing from (.*): [A-Z]+ (.*) \(required\)$", words):
        words = f"{needed[1]} must be followed by what it is about, got nothing. {needed[2]}"
        words = words.rstrip(". ")
    elif choice := re.match(
        r"invalid choice '(.*)' for argument '(.*)'. .* one of \((.*)\)", words
    ):
        value, name, choices = choice.groups()
        words = f"{name} must be one of {choices.replace(chr(39), '')}, got {value!r}"
    return f"{words}; see {page} --help"


def _unknown(word: str, box: str, known: Collection[str], page: str) -> str:
    if word.startswith("-"):
        flag = re.search(r"Perhaps you meant: .*?(--[\w-]+)", box)
        meant = f"; did you mean {flag[1]}?" if flag else ""
        return f"flags must be those of {page}, got {word!r}{meant}"
    close = difflib.get_close_matches(word, sorted(known), n=1)
    meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
    return f"commands must be those of {page}, got {word!r}; {meant}"
