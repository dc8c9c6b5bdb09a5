"""``python -m deep``: train, list, data, probe, table, fit, bench, gpu."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys


# Command to the module that has add_arguments(parser) and run(arguments) -> exit status.
COMMANDS = {
    "train": ("deep.commands.train", "train a recipe, or go on with it"),
    "list": ("deep.commands.list", "recipes and what they are"),
    "data": ("deep.commands.data", "what a recipe's data is, and whether it is here"),
    "probe": ("deep.probe_command", "measure a checkpoint, or saved features"),
    "table": ("deep.table", "train what is missing and print a table beside published figures"),
    "fit": ("deep.fit_command", "the model that explains a trained network, and what it predicts"),
    "bench": ("deep.throughput", "speed against the plain loop and the device's rate"),
    "gpu": ("deep.stages", "everything that needs a GPU, in stages of minutes"),
}


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        Exit status: 0 done, 1 failed, 2 usage or input, 128 + n stopped by signal n.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser("python -m deep", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text)
        if name == next((a for a in argv if not a.startswith("-")), None):
            importlib.import_module(module).add_arguments(sub)
    arguments = parser.parse_args(argv)
    try:
        status = importlib.import_module(COMMANDS[arguments.command][0]).run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader, `head` say, has what it wants; the interpreter must not flush into the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (ValueError, ImportError, OSError, MemoryError) as error:
        sys.stderr.write(f"deep {arguments.command}: {error}\n")
        return 2


if __name__ == "__main__":
    status = main()
    if status and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # An orderly end of a CUDA process would wait for the others, who wait for this one.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
