"""What `ufm` without arguments prints: what there is to do, with commands that run. Torch-free."""

from __future__ import annotations

from typing import NamedTuple


class Topic(NamedTuple):
    """Something to do.

    Attributes:
        title: A few words.
        commands: Commands, each of which works as it stands.
    """

    title: str
    commands: tuple[str, ...]


TOPICS = (
    Topic(
        "Solve a model and certify the global optimum (exit status 0: certified)",
        (
            "ufm solve --K 4 average-budget --E-W 1 --E-H 5",
            "ufm solve --K 10 --K-A 5 --R 12.5 average-budget --E-H 5 --polish --out best.st",
        ),
    ),
    Topic(
        "Ask the theorems, and what each of them rests on",
        (
            "ufm predict --K 10 --K-A 5 --R 12.5 average-budget --E-H 5",
            "ufm claims list collapse            # with these words; all without any",
            "ufm claims show fang2021.r0",
        ),
    ),
    Topic(
        "Judge what you have: any (W, H), or features of a trained network",
        (
            "ufm certify point.npz --K 4 average-budget --E-H 5    # holds W, H and maybe b",
            "ufm nc features.npz                                   # holds W, H, y and maybe b",
        ),
    ),
    Topic(
        "Frames and class-aware numbers of centers",
        (
            "ufm solve --frame haframe --tree cifar100 --gamma 2 "
            "soft-targets --beta 5 vector-budget",
            "ufm counts --K 10 --n-max 5000 --rho 100 --f 20",
        ),
    ),
    Topic(
        "Maps of certified optima, kept in a store and continued where they stopped",
        (
            "ufm map phase --size 16             # also survival, angles",
            "ufm runs list",
        ),
    ),
    Topic(
        "This installation",
        (
            "ufm doctor                          # what is missing for what, how to install it",
            'eval "$(ufm completion bash)"       # completes commands and flags; zsh too',
            "ufm COMMAND --help",
        ),
    ),
)
CHECKOUT = (
    "In a checkout: `make figures` writes the report (figures/out/index.html), `make docs` the\n"
    "documentation; `python -m figures|proofs_check|deep|benchmarks --help` do the parts."
)


def overview(version: str) -> str:
    """The whole text.

    Args:
        version: Version of the package.

    Returns:
        Lines of at most 100 characters.
    """
    lines = [f"ufm {version}: models of neural collapse, solved, certified, predicted.", ""]
    for topic in TOPICS:
        lines += [topic.title, *(f"  {command}" for command in topic.commands), ""]
    return "\n".join([*lines, CHECKOUT]) + "\n"
