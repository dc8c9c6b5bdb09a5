"""Why each false statement fails, in words, beside the numbers of its counter-example."""

from __future__ import annotations


REASONS = {
    "fang2021.lq": (
        "Within the same budgets there are points with a smaller loss than the best member of the "
        "stated family: a sparse frame for q < 2, a less symmetric one for K = 5 and q = 3. "
        "`family` is the least loss of the family, `point` the loss of the counter-example, "
        "`margin` the difference."
    ),
    "yang2022.dr-faster": (
        "In the setting of the released code cross-entropy arrives while dot regression is still "
        "on its way. The minimum of dot regression on the sphere is quartic, so halving the angle "
        "takes four times the steps: that is sublinear. `CE angle` and `DR angle` are what is left "
        "after the same number of steps, in radians."
    ),
    "liang2023.ce-collapse": (
        "If it held, every angle below would be zero. At the optimum a feature is its own row "
        "minus a mean of the others in which near relatives weigh most, so it turns away from "
        "them; only where all classes are equally near does the direction stay."
    ),
    "liang2023.mix-collapse": (
        "If it held, every angle below would be zero. The share of cross-entropy turns features "
        "away from their rows, as cross-entropy alone does; the alignment loss holds against it, "
        "and wins only in the limit of long features."
    ),
    "yan2024.thm34": (
        "Where the condition fails for some class the statement says that everything is zero. But "
        "only the classes for which it fails vanish: the others keep their vectors, and the value "
        "is below 1/2, that of zero."
    ),
    "yan2024.cosine-gradient-printed": (
        "A function of the direction of h has a gradient orthogonal to h. The printed one has a "
        "part along h, and the wrong length, unless |h| = 1."
    ),
    "yan2024.propc1": (
        "The scores of the sample itself contain the mean terms of the classes, and the printed "
        "margin adds them once more. At that margin the preference would have to be even; it is "
        "far from it."
    ),
    "yan2024.counts-steps": (
        "For the sizes (3, 3, 1) of the paper's example the steps as written give (2, 4, 3), not "
        "its (1, 4, 4), and so more centers to a class than to a rarer one; on long tails too."
    ),
}
