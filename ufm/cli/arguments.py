"""The commands and their flags, as dataclasses for tyro. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ufm.cli.model import AnyMethod, Model, Sizes
from ufm.hierarchy.tree import Convention
from ufm.methods import LBFGS


@dataclass(frozen=True, kw_only=True)
class Solve(Model):
    """Solve a model and certify the result.

    Attributes:
        method: The solver.
        seeds: Number of seeds, solved as one batch.
        polish: Take Newton steps after the solver.
        rigorous: Prove a bracket of the optimum in ball arithmetic (extra `rigorous`).
        device: Where to solve, for example cpu or cuda.
        out: Write the solution to this safetensors file.
        json: Print the result as JSON on stdout.
    """

    method: AnyMethod = LBFGS()
    seeds: int = 1
    polish: bool = False
    rigorous: bool = False
    device: str = "cpu"
    out: Path | None = None
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Certify(Model):
    """Certify anybody's (W, H): a file of `ufm solve --out`, or an .npz with W, H and maybe b.

    Attributes:
        file: The file. An .npz has W (K x d) and H (d x K or d x N) and needs the model's flags.
        rigorous: Prove a bracket of the optimum in ball arithmetic (extra `rigorous`).
        json: Print the result as JSON on stdout.
    """

    file: tyro.conf.Positional[Path]
    rigorous: bool = False
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Nc:
    """Neural-collapse metrics of saved features: an .npz with W (K x d), H (d x N), y (N), maybe b.

    With `centers` (F x d) and `owner` (F) in the file also those of a multi-center frame, with
    --tree those of mistakes against a hierarchy.

    Attributes:
        file: The file; one of `ufm solve --out` works too.
        tree: Hierarchy of the classes, for top-1, mistake severity and hierarchical distance@k: a
            file, or cifar100 or cifar100_superclasses.
        convention: Distance of the tree: height of the lowest common ancestor, or the tree's height
            less its depth, the scale of the published tables.
        k: The k of hierarchical distance@k; by default those of 1, 5 and 20 that are below K.
        json: Print the result as JSON on stdout.
    """

    file: tyro.conf.Positional[Path]
    tree: str | None = None
    convention: Convention = "height"
    k: tuple[int, ...] = ()
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Counts(Sizes):
    """Class-aware numbers of centers: both readings of the published rule, and in proportion.

    Attributes:
        f: Mean number of centers a class, >= 1; f K must be an integer.
        json: Print the result as JSON on stdout.
    """

    f: float = 20.0
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Predict(Model):
    """Every theorem whose hypotheses hold for a model, and what it predicts.

    Attributes:
        json: Print the result as JSON on stdout.
    """

    json: bool = False


@dataclass(frozen=True, kw_only=True)
class List:
    """All claims with their computed status, or those about something.

    Attributes:
        words: Show only claims with all of these words, in any field: fang2021, refuted, collapse.
        json: Print the result as JSON on stdout.
    """

    words: tyro.conf.Positional[tuple[str, ...]] = ()
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Show:
    """One claim: statement, source, assumptions, prediction and evidence.

    Attributes:
        id: Id of the claim, for example fang2021.thm5.
        json: Print the result as JSON on stdout.
    """

    id: tyro.conf.Positional[str]
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Which claim rests on which."""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """The registry of claims.

    Attributes:
        action: What to do.
    """

    action: Annotated[
        List | Show | Graph,
        tyro.conf.arg(name=""),
    ]


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The store of runs.

    Attributes:
        action: `list` shows what is stored, `verify` checks every chunk against its hashes.
        store: Folder of the store; $UFM_RUNS or `runs` by default.
        json: Print the result as JSON on stdout.
    """

    action: tyro.conf.Positional[Literal["list", "verify"]]
    store: Path | None = None
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class MapFlags:
    """What all maps have.

    Attributes:
        size: Pixels along each side.
        store: Folder of the store; $UFM_RUNS or `runs` by default.
        device: Where to solve, for example cpu or cuda.
        json: Print the summary as JSON on stdout.
    """

    size: int = 128
    store: Path | None = None
    device: str = "cpu"
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Phase(MapFlags):
    """Minority collapse: imbalance ratio against energy, beside the closed thresholds R0 and R1.

    Attributes:
        K_A: Majority classes.
        K_B: Minority classes.
        ratio: Largest ratio.
        energy: Largest sqrt(E_W E_H).
    """

    K_A: int = 5
    K_B: int = 5
    ratio: float = 1e4
    energy: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Survival(MapFlags):
    """Classes of the multi-center problem P that survive: ridge against imbalance.

    Attributes:
        K: Number of classes.
        n_max: Size of the largest.
        f: Mean number of centers a class.
        counts: Equal counts, or the class-aware ones.
        theta: Angle of the centers.
    """

    K: int = 6
    n_max: int = 1000
    f: int = 3
    counts: Literal["equal", "class-aware"] = "equal"
    theta: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Angles(MapFlags):
    """Optimal features off a hierarchy-aware frame: feature norm against weight of the alignment.

    Attributes:
        tree: balanced, caterpillar or mixed (eight classes), or a hierarchy as for `ufm solve`.
        gamma: Decay of the tree's similarities.
        asymptote: Their asymptote; s* by default.
        norm: Largest feature norm.
    """

    tree: str = "balanced"
    gamma: float = 2.0
    asymptote: float | None = None
    norm: float = 32.0


@dataclass(frozen=True, kw_only=True)
class Map:
    """Certified maps, solved in bands and stored; an interrupted one continues where it stopped.

    Attributes:
        action: Which map.
    """

    action: Annotated[
        Phase | Survival | Angles,
        tyro.conf.arg(name=""),
    ]


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """What this installation can do: versions, devices, store; what is missing for which feature.

    Attributes:
        json: Print the result as JSON on stdout.
    """

    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Print a script that completes commands and flags: eval "$(ufm completion bash)".

    Attributes:
        shell: The shell that will read it.
    """

    shell: tyro.conf.Positional[Literal["bash", "zsh"]]


Command = Solve | Certify | Nc | Counts | Predict | Claims | Map | Runs | Doctor | Completion
