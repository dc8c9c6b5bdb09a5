"""Unconstrained-feature and layer-peeled models of neural collapse: solve, certify, predict.

>>> import ufm
>>> problem = ufm.Problem(K=4, d=3, n=(5, 5, 5, 5), reg=ufm.AverageBudget(E_W=3, E_H=2))
>>> sol = ufm.solve(problem)
>>> cert = ufm.certify(sol)
>>> bool(cert.passed.all()), round(float(sol.value[0]), 10)
(True, 0.1083859879)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._lazy import attach


if TYPE_CHECKING:
    from ufm.center_counts import class_aware_centers as class_aware_centers
    from ufm.center_counts import proportional_centers as proportional_centers
    from ufm.certificates import Certificate as Certificate
    from ufm.certificates import certify as certify
    from ufm.certified import solve_certified as solve_certified
    from ufm.counts import balanced_sizes as balanced_sizes
    from ufm.counts import cifar10_lt_sizes as cifar10_lt_sizes
    from ufm.counts import cifar100_lt_sizes as cifar100_lt_sizes
    from ufm.counts import exponential_sizes as exponential_sizes
    from ufm.counts import step_sizes as step_sizes
    from ufm.counts import step_weights as step_weights
    from ufm.geometry import ExplicitFrame as ExplicitFrame
    from ufm.geometry import Geometry as Geometry
    from ufm.geometry import HAFrame as HAFrame
    from ufm.geometry import MultiCenter as MultiCenter
    from ufm.geometry import OrthogonalFrame as OrthogonalFrame
    from ufm.geometry import SimplexETF as SimplexETF
    from ufm.geometry import align as align
    from ufm.geometry import cosines as cosines
    from ufm.geometry import distance as distance
    from ufm.geometry import etf as etf
    from ufm.geometry import nearest_etf as nearest_etf
    from ufm.geometry import norms as norms
    from ufm.geometry import orthogonal as orthogonal
    from ufm.geometry import procrustes_distance as procrustes_distance
    from ufm.geometry import smallest_s as smallest_s
    from ufm.heads import ETFHead as ETFHead
    from ufm.heads import HAFrameHead as HAFrameHead
    from ufm.heads import LearnableHead as LearnableHead
    from ufm.heads import MultiCenterHead as MultiCenterHead
    from ufm.heads import NearestETFHead as NearestETFHead
    from ufm.heads import RotatedHead as RotatedHead
    from ufm.heads import adjusted_scores as adjusted_scores
    from ufm.heads import least_cost_scores as least_cost_scores
    from ufm.hierarchy import Tree as Tree
    from ufm.losses import LDAM as LDAM
    from ufm.losses import AttractionRepulsion as AttractionRepulsion
    from ufm.losses import BatchDotRegression as BatchDotRegression
    from ufm.losses import CenterRegression as CenterRegression
    from ufm.losses import CenterSquaredError as CenterSquaredError
    from ufm.losses import ClassBalanced as ClassBalanced
    from ufm.losses import CosineAlignment as CosineAlignment
    from ufm.losses import CosineRegression as CosineRegression
    from ufm.losses import CrossEntropy as CrossEntropy
    from ufm.losses import DotRegression as DotRegression
    from ufm.losses import FrameTargets as FrameTargets
    from ufm.losses import HAFrameMix as HAFrameMix
    from ufm.losses import KPositives as KPositives
    from ufm.losses import LogitAdjusted as LogitAdjusted
    from ufm.losses import SoftTargets as SoftTargets
    from ufm.losses import SquaredError as SquaredError
    from ufm.losses import effective_weights as effective_weights
    from ufm.methods import LBFGS as LBFGS
    from ufm.methods import ClosedForm as ClosedForm
    from ufm.methods import Convex as Convex
    from ufm.methods import GradientDescent as GradientDescent
    from ufm.methods import GradientFlow as GradientFlow
    from ufm.methods import Newton as Newton
    from ufm.metrics import FeatureStats as FeatureStats
    from ufm.metrics import nc as nc
    from ufm.problem import AverageBudget as AverageBudget
    from ufm.problem import ClassMeanDecay as ClassMeanDecay
    from ufm.problem import Fixed as Fixed
    from ufm.problem import FreeBias as FreeBias
    from ufm.problem import Learnable as Learnable
    from ufm.problem import NoBias as NoBias
    from ufm.problem import NoReg as NoReg
    from ufm.problem import PenalisedBias as PenalisedBias
    from ufm.problem import Problem as Problem
    from ufm.problem import Sphere as Sphere
    from ufm.problem import VectorBudget as VectorBudget
    from ufm.problem import WeightDecay as WeightDecay
    from ufm.problem_batch import ProblemBatch as ProblemBatch
    from ufm.solution import Solution as Solution
    from ufm.solution import SolveError as SolveError
    from ufm.solvers import R0 as R0
    from ufm.solvers import R1 as R1
    from ufm.solvers import has_closed_form as has_closed_form
    from ufm.solvers import polish as polish
    from ufm.solvers import solve as solve
    from ufm.solvers import step_optimum as step_optimum
    from ufm.solvers import vector_R0 as vector_R0
    from ufm.status import Status as Status
    from ufm.theory import predict as predict

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        **dict.fromkeys(("Certificate", "certify"), ".certificates"),
        "solve_certified": ".certified",
        **dict.fromkeys(
            ("balanced_sizes", "cifar10_lt_sizes", "cifar100_lt_sizes", "exponential_sizes",
             "step_sizes", "step_weights"), ".counts"),
        **dict.fromkeys(
            ("ExplicitFrame", "Geometry", "HAFrame", "MultiCenter", "OrthogonalFrame", "SimplexETF",
             "align", "cosines", "distance", "etf", "nearest_etf", "norms", "orthogonal",
             "procrustes_distance", "smallest_s"), ".geometry"),
        **dict.fromkeys(("class_aware_centers", "proportional_centers"), ".center_counts"),
        "Tree": ".hierarchy",
        **dict.fromkeys(
            ("ETFHead", "HAFrameHead", "LearnableHead", "MultiCenterHead", "NearestETFHead",
             "RotatedHead", "adjusted_scores", "least_cost_scores"), ".heads"),
        **dict.fromkeys(
            ("AttractionRepulsion", "BatchDotRegression", "CenterRegression", "CenterSquaredError",
             "ClassBalanced", "CosineAlignment", "CosineRegression", "CrossEntropy",
             "DotRegression", "FrameTargets", "HAFrameMix", "KPositives", "LDAM", "LogitAdjusted",
             "SoftTargets", "SquaredError", "effective_weights"), ".losses"),
        **dict.fromkeys(
            ("LBFGS", "ClosedForm", "Convex", "GradientDescent", "GradientFlow", "Newton"),
            ".methods"),
        **dict.fromkeys(("FeatureStats", "nc"), ".metrics"),
        **dict.fromkeys(
            ("AverageBudget", "ClassMeanDecay", "Fixed", "FreeBias", "Learnable", "NoBias",
             "NoReg", "PenalisedBias", "Problem", "Sphere", "VectorBudget", "WeightDecay"),
            ".problem"),
        "ProblemBatch": ".problem_batch",
        **dict.fromkeys(("Solution", "SolveError"), ".solution"),
        **dict.fromkeys(
            ("R0", "R1", "has_closed_form", "polish", "solve", "step_optimum", "vector_R0"),
            ".solvers"),
        "Status": ".status",
        "predict": ".theory",
    },
)  # fmt: skip
