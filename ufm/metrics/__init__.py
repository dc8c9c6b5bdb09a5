"""Neural-collapse metrics: streaming feature statistics and the record of NC1 to NC4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._lazy import attach


if TYPE_CHECKING:
    from ufm.metrics.accuracy import AccuracyRecord as AccuracyRecord
    from ufm.metrics.accuracy import tally as tally
    from ufm.metrics.batched import observe as observe
    from ufm.metrics.calibration import CalibrationRecord as CalibrationRecord
    from ufm.metrics.calibration import calibrate as calibrate
    from ufm.metrics.calibration import calibrate_answers as calibrate_answers
    from ufm.metrics.generalised import nc5_ood_dev as nc5_ood_dev
    from ufm.metrics.generalised import riesz_energy as riesz_energy
    from ufm.metrics.generalised import riesz_spread as riesz_spread
    from ufm.metrics.hierarchical import HierarchyRecord as HierarchyRecord
    from ufm.metrics.hierarchical import confidence_interval as confidence_interval
    from ufm.metrics.hierarchical import hd_floor as hd_floor
    from ufm.metrics.hierarchical import hierarchy_metrics as hierarchy_metrics
    from ufm.metrics.hierarchical import random_severity as random_severity
    from ufm.metrics.moments import Moments as Moments
    from ufm.metrics.moments import Weighting as Weighting
    from ufm.metrics.multicenter import MultiCenterCollapse as MultiCenterCollapse
    from ufm.metrics.multicenter import collapsed_sigma as collapsed_sigma
    from ufm.metrics.multicenter import multicenter_collapse as multicenter_collapse
    from ufm.metrics.nc1 import nc1_cdnv as nc1_cdnv
    from ufm.metrics.nc1 import nc1_pinv as nc1_pinv
    from ufm.metrics.nc1 import nc1_quot as nc1_quot
    from ufm.metrics.nc1 import nc1_share as nc1_share
    from ufm.metrics.nc1 import nc1_svd as nc1_svd
    from ufm.metrics.nc2 import equiangle as equiangle
    from ufm.metrics.nc2 import equinorm as equinorm
    from ufm.metrics.nc2 import etf_err as etf_err
    from ufm.metrics.nc2 import maxangle as maxangle
    from ufm.metrics.nc2 import of_err as of_err
    from ufm.metrics.nc3 import nc3_dual_err as nc3_dual_err
    from ufm.metrics.nc3 import nc3_self_dual as nc3_self_dual
    from ufm.metrics.nc3 import nc3u_uni_dual as nc3u_uni_dual
    from ufm.metrics.nc4 import Agreement as Agreement
    from ufm.metrics.nc4 import decisions_agree as decisions_agree
    from ufm.metrics.network import collect as collect
    from ufm.metrics.network import nc_network as nc_network
    from ufm.metrics.record import NCRecord as NCRecord
    from ufm.metrics.record import measure as measure
    from ufm.metrics.record import nc as nc
    from ufm.metrics.stats import FeatureStats as FeatureStats

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "observe": ".batched",
        **dict.fromkeys(("AccuracyRecord", "tally"), ".accuracy"),
        **dict.fromkeys(("CalibrationRecord", "calibrate", "calibrate_answers"), ".calibration"),
        **dict.fromkeys(("nc5_ood_dev", "riesz_energy", "riesz_spread"), ".generalised"),
        **dict.fromkeys(("Moments", "Weighting"), ".moments"),
        **dict.fromkeys(("nc1_cdnv", "nc1_pinv", "nc1_quot", "nc1_share", "nc1_svd"), ".nc1"),
        **dict.fromkeys(("equiangle", "equinorm", "etf_err", "maxangle", "of_err"), ".nc2"),
        **dict.fromkeys(("nc3_dual_err", "nc3_self_dual", "nc3u_uni_dual"), ".nc3"),
        **dict.fromkeys(("Agreement", "decisions_agree"), ".nc4"),
        **dict.fromkeys(("collect", "nc_network"), ".network"),
        **dict.fromkeys(("NCRecord", "measure", "nc"), ".record"),
        "FeatureStats": ".stats",
        **dict.fromkeys(
            (
                "HierarchyRecord",
                "confidence_interval",
                "hd_floor",
                "hierarchy_metrics",
                "random_severity",
            ),
            ".hierarchical",
        ),
        **dict.fromkeys(
            ("MultiCenterCollapse", "collapsed_sigma", "multicenter_collapse"), ".multicenter"
        ),
    },
)
