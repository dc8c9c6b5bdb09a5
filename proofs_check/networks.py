"""Evidence from trained networks: what the stored results of `deep` say of each prediction.

Each check states its band before it reads a number. A network is no instance of a model: it stops
after finitely many noisy steps, its weights decay instead of its features, and it may not be able
to move its features as it likes. So a miss is recorded with its numbers and contradicts no theorem.
All numbers come from the tracked files of ``deep/results``; nothing is trained here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from deep import results
from deep.methods import Centers
from deep.predicted import cosines_of, model_of, sigma_of, sizes
from deep.published import command_for
from deep.recipes import find
from deep.results import DamagedResult, Stored, interval
from proofs_check._harness import Measurement, MissingResult, evidence
from proofs_check._proof import ProofFailure
from ufm.claims import Claim, EvidenceKind
from ufm.geometry import cosines
from ufm.theory.fang2021_collapse import LOST_CLASSES
from ufm.theory.liang2023_features import MIX_LIMIT
from ufm.theory.liang2023_targets import EMERGING_FRAME, FIXED_TARGETS
from ufm.theory.papyan2020 import NC1, NC2, NC3, NC4
from ufm.theory.yan2024 import COR_37
from ufm.theory.yan2024_losses import COSINE_MINIMISER, VARIABILITY
from ufm.theory.yang2022 import DR_MINIMISER, FIXED_ETF_CE


SEEDS = 3
# Bands. Degrees of the class means to what is predicted, averaged over classes; the rest as named.
ANGLE, SIGMA, LENGTH, COSINE = 5.0, 0.02, 0.1, 0.1
DIGITS = (
    "scikit-learn's digits, balanced and rho = 10, MLP 256-256, 300 epochs with weight decay, "
    "seeds 0-2, training images at the last epoch"
)
BALANCED = DIGITS.replace("balanced and rho = 10", "balanced")
LONG_TAIL = DIGITS.replace("balanced and rho = 10", "rho = 10")


def both(*names: str) -> tuple[str, ...]:
    """Recipes of methods on balanced and on long-tailed digits.

    Args:
        *names: The methods.

    Returns:
        Names of recipes.
    """
    return tuple(f"{data}-{name}" for name in names for data in ("digits", "digits-lt"))


def seeds_of(name: str) -> list[Stored]:
    """Results of the first seeds of a recipe.

    Args:
        name: The recipe.

    Returns:
        One result a seed.

    Raises:
        MissingResult: If one is missing or damaged; the message names the command that makes it.
    """
    recipe = find(name)
    try:
        found = [results.read(recipe, seed, results.ROOT) for seed in range(SEEDS)]
    except DamagedResult as error:
        raise MissingResult(str(error)) from error
    there = [stored for stored in found if stored is not None]
    if len(there) < SEEDS:
        raise MissingResult(
            f"{len(there)} of {SEEDS} seeds of {name} are in deep/results; `{command_for(name)}` "
            "makes them"
        )
    return there


def keep(measure: Measurement, name: str, values: Sequence[float]) -> None:
    """Record mean and half width of the 95 % interval over seeds.

    Args:
        measure: Where.
        name: Name of the number.
        values: One a seed.
    """
    mean, half = interval(values)
    measure.record(name, mean)
    measure.record(f"{name} +-", half)


def angles(measure: Measurement, recipes: Sequence[str]) -> None:
    """Angles of class means to the directions they are meant to take, within the band.

    Args:
        measure: Where they are kept.
        recipes: Names of recipes.

    Raises:
        ProofFailure: If one seed is outside.
    """
    found = {
        name: [s.final["train"]["angle_mean"] for s in stored]
        for name, stored in {name: seeds_of(name) for name in recipes}.items()
    }
    for name, values in found.items():
        keep(measure, f"degrees, {name}", values)
    worst = max(max(values) for values in found.values())
    measure.below("degrees, worst seed", worst, ANGLE)


FRAMES: tuple[tuple[Claim, str, tuple[str, ...]], ...] = (
    (DR_MINIMISER, "the fixed simplex ETF under dot regression in three normalisations",
     both("etf-dr", "etf-dr-paper", "etf-dr-global")),
    (FIXED_ETF_CE, "the fixed simplex ETF under cross-entropy, features of length 5",
     both("etf-ce")),
    (MIX_LIMIT, "the hierarchy-aware frame under cross-entropy and alignment, alpha = .4",
     both("haframe")),
    (COSINE_MINIMISER, "the mean centers under the cosine losses AL and CAL", both("al", "cal")),
    (COR_37, "the mean centers under the regression P", both("p")),
)  # fmt: skip


def _register(claim: Claim, frame: str, recipes: tuple[str, ...]) -> None:
    @evidence(
        claim,
        EvidenceKind.NETWORK,
        domain=f"{DIGITS}: angle of the class means to {frame}; band stated: {ANGLE:g} degrees on "
        "average over classes, every seed (weight decay and finitely many steps keep it from 0)",
        name=f"networks.{claim.id.partition('.')[2].replace('-', '_')}_angles",
    )
    def check(measure: Measurement) -> None:
        angles(measure, recipes)


for _claim, _frame, _recipes in FRAMES:
    _register(_claim, _frame, _recipes)


@evidence(
    VARIABILITY,
    EvidenceKind.NETWORK,
    domain=f"{DIGITS}, AL and CAL (f = 20, theta = .2): |sigma - its limit|; band stated: "
    f"{SIGMA:g}, every seed (features have not wholly collapsed)",
)
def sigma_near_its_limit(measure: Measurement) -> None:
    """The published variability tends to its positive limit, not to zero."""
    stored = {name: seeds_of(name) for name in both("al", "cal")}
    worst = 0.0
    for name, seeds in stored.items():
        method = find(name).method
        assert isinstance(method, Centers)
        limit = sigma_of(method, sizes(seeds[0]))
        values = [s.final["train"]["sigma"] for s in seeds]
        keep(measure, f"sigma, {name}", values)
        measure.record(f"limit, {name}", limit)
        worst = max(worst, *(abs(value - limit) for value in values))
    measure.below("|sigma - limit|, worst seed", worst, SIGMA)


@evidence(
    FIXED_TARGETS,
    EvidenceKind.NETWORK,
    domain=f"{DIGITS}: calibrated soft targets, beta = 5, classifier fixed to their frame: angle "
    "of the class means to it, and root mean square length of the features over beta; band stated: "
    f"{ANGLE:g} degrees and {100 * LENGTH:g} %, every seed (weight decay shortens features)",
)
def fixed_targets(measure: Measurement) -> None:
    """Directions and lengths of the features."""
    recipes = both("targets")
    ratios = [(s.final["train"]["E_H"] ** 0.5) / 5 for r in recipes for s in seeds_of(r)]
    keep(measure, "length / beta", ratios)
    angles(measure, recipes)
    measure.below("|length / beta - 1|, worst seed", max(abs(x - 1) for x in ratios), LENGTH)


@evidence(
    EMERGING_FRAME,
    EvidenceKind.NETWORK,
    domain=f"{BALANCED}: calibrated soft targets with a learned classifier: cosines of the class "
    f"means against those of beta (S P S)^(1/2); band stated: {COSINE:g} for all pairs, every seed "
    "(the claim is of least norms of classifier and features; here weights of all layers decay)",
)
def emerging_frame(measure: Measurement) -> None:
    """The Gram matrix of the class means is the predicted one."""
    name = "digits-targets-learnable"
    errors = []
    for stored in seeds_of(name):
        expected = cosines_of(find(name).method, stored)
        assert expected is not None
        measured = cosines(torch.tensor(stored.final["train"]["gram_H"]).to(expected))
        errors.append((measured - expected).abs())
    keep(measure, "mean error of a cosine", [float(error.mean()) for error in errors])
    worst = max(float(error.max()) for error in errors)
    measure.below("largest error of a cosine", worst, COSINE)


@evidence(
    LOST_CLASSES,
    EvidenceKind.NETWORK,
    domain=f"{LONG_TAIL}: cross-entropy, learned classifier: classes of which most training images "
    "are answered wrongly, against those that the model with the network's class sizes and mean "
    "norms loses; band stated: the same classes, every seed",
)
def lost_classes(measure: Measurement) -> None:
    """The classes lost are the same; the angle of the two rarest is recorded beside the model's."""
    compare_lost(measure, "digits-lt-ce")


def compare_lost(measure: Measurement, recipe: str) -> None:
    """Classes that cross-entropy loses, in networks and in the model with their mean norms.

    Args:
        measure: Where numbers are kept.
        recipe: Its name; classes stand from the largest to the rarest.

    Raises:
        ProofFailure: If they differ in one seed.
    """
    cosine, own, counts, same = [], [], [], True
    for stored in seeds_of(recipe):
        row, model = stored.final["train"], model_of(stored)
        K = len(model.Z)
        expected = [k for k in range(K) if int(model.Z[:, k].argmax()) != k]
        lost = [k for k, share in enumerate(row["per_class"]) if share < 0.5]
        same &= lost == expected
        counts.append(len(lost))
        measure.record("classes lost by the model", len(expected))
        cosine.append(float(cosines(torch.tensor(row["gram_H"]))[K - 1, K - 2]))
        own.append(float(cosines(model.gram_H)[K - 1, K - 2]))
    measure.record("classes lost by the network, worst seed", max(counts))
    keep(measure, "cosine of the two rarest class means", cosine)
    keep(measure, "the same in the model", own)
    measure.true("the network loses the classes that the model loses", same)


def _collapses(metric: str, limit: float) -> Callable[[Measurement], None]:
    def check(measure: Measurement) -> None:
        runs = [
            [p["train"][metric] for p in s.probes if p["train"]["accuracy"] == 1]
            for s in seeds_of("digits-ce")
        ]
        if not all(runs):
            raise ProofFailure("training error must reach zero at a measured epoch")
        keep(measure, "first epoch without errors", [run[0] for run in runs])
        keep(measure, "last epoch", [run[-1] for run in runs])
        measure.below("last epoch, worst seed", max(run[-1] for run in runs), limit)
        measure.true("it falls in every seed", all(run[-1] < run[0] for run in runs))

    return check


for _claim, _metric, _limit, _words in (
    (NC1, "nc1_quot", 0.05, "within over between scatter"),
    (NC2, "nc2_etf_err", 0.1, "distance of the normalised Gram matrix to the simplex ETF's"),
    (NC3, "nc3_self_dual", 0.1, "distance of classifier and class means, both normalised"),
):
    evidence(
        _claim,
        EvidenceKind.NETWORK,
        domain=f"{BALANCED}: cross-entropy, learned classifier: {_words} from the first measured "
        f"epoch without training error to the last; band stated: it falls, and ends at most at "
        f"{_limit:g}, every seed (a small network with weight decay on all layers need not follow "
        "the model, whose features are free)",
        name=f"networks.ce_{_claim.id.partition('.')[2]}",
    )(_collapses(_metric, _limit))


@evidence(
    NC4,
    EvidenceKind.NETWORK,
    domain=f"{BALANCED}: cross-entropy, learned classifier: share of training images where it "
    "answers the nearest class mean; band stated: at least .99, every seed",
)
def ce_nc4(measure: Measurement) -> None:
    """Agreement of the linear and the nearest-class-mean rule."""
    values = [s.final["train"]["nc4_agree"] for s in seeds_of("digits-ce")]
    keep(measure, "agreement", values)
    measure.above("agreement, worst seed", min(values), 0.99)
