"""Imports every module of evidence, so that its checks are registered, in the papers' order."""

from __future__ import annotations

from proofs_check import (
    fang2021,
    fang2021_collapse,
    fang2021_instances,
    fang2021_lq,
    fang2021_step,
    hong2023,
    papyan2020,
    papyan2020_instances,
    predictions,
    ridge_instances,
    yang2022,
    zhu2021,
    zhu2021_instances,
)


MODULES = (
    papyan2020,
    papyan2020_instances,
    zhu2021,
    zhu2021_instances,
    fang2021,
    fang2021_lq,
    fang2021_collapse,
    fang2021_step,
    fang2021_instances,
    yang2022,
    hong2023,
    ridge_instances,
    predictions,
)
