"""Imports every module of evidence, so that its checks are registered, in the papers' order."""

from __future__ import annotations

from proofs_check import (
    fang2021,
    fang2021_collapse,
    fang2021_instances,
    fang2021_landscape,
    fang2021_lq,
    fang2021_monotone,
    fang2021_refined,
    fang2021_step,
    hong2024,
    liang2023,
    liang2023_features,
    liang2023_frame,
    liang2023_instances,
    liang2023_shrunk,
    liang2023_targets,
    liang2023_targets_instances,
    markou2024,
    networks,
    networks_fashion,
    papyan2020,
    papyan2020_instances,
    predictions,
    ridge_instances,
    tirer2022,
    yan2024,
    yan2024_instances,
    yan2024_losses,
    yan2024_rates,
    yan2024_rules,
    yan2024_simulations,
    yang2022,
    yang2022_angles,
    yang2022_descent,
    yang2022_regimes,
    yaras2022,
    zhu2021,
    zhu2021_bias,
    zhu2021_factors,
    zhu2021_instances,
)
from proofs_check._harness import Check, checks


MODULES = (
    papyan2020,
    papyan2020_instances,
    zhu2021_factors,
    zhu2021,
    zhu2021_bias,
    zhu2021_instances,
    fang2021,
    fang2021_landscape,
    fang2021_refined,
    fang2021_lq,
    fang2021_collapse,
    fang2021_monotone,
    fang2021_step,
    fang2021_instances,
    yang2022,
    yang2022_descent,
    yang2022_regimes,
    yang2022_angles,
    tirer2022,
    yaras2022,
    liang2023,
    liang2023_frame,
    liang2023_features,
    liang2023_targets,
    liang2023_shrunk,
    liang2023_instances,
    liang2023_targets_instances,
    hong2024,
    ridge_instances,
    yan2024,
    yan2024_instances,
    yan2024_losses,
    yan2024_rates,
    yan2024_rules,
    yan2024_simulations,
    markou2024,
    predictions,
    networks,
    networks_fashion,
)


def registered() -> tuple[Check, ...]:
    """All checks of all modules.

    Returns:
        The checks.
    """
    return checks()
