"""Geometry: frames, the rotation-free Gram triple of a solution, and distances between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._lazy import attach


if TYPE_CHECKING:
    from ufm.geometry.comparison import distance as distance
    from ufm.geometry.comparison import procrustes_distance as procrustes_distance
    from ufm.geometry.frames import FixedRows as FixedRows
    from ufm.geometry.frames import align as align
    from ufm.geometry.frames import etf as etf
    from ufm.geometry.frames import frame as frame
    from ufm.geometry.frames import helmert as helmert
    from ufm.geometry.frames import orthogonal as orthogonal
    from ufm.geometry.gram import Geometry as Geometry
    from ufm.geometry.gram import cosines as cosines
    from ufm.geometry.gram import norms as norms
    from ufm.geometry.gram_frames import cholesky_frame as cholesky_frame
    from ufm.geometry.gram_frames import eigh_frame as eigh_frame
    from ufm.geometry.gram_frames import grid_search_s as grid_search_s
    from ufm.geometry.gram_frames import similarity_of_distances as similarity_of_distances
    from ufm.geometry.gram_frames import smallest_s_of_matrix as smallest_s_of_matrix
    from ufm.geometry.haframe import embed as embed
    from ufm.geometry.haframe import hierarchy_frame as hierarchy_frame
    from ufm.geometry.haframe import node_frame as node_frame
    from ufm.geometry.haframe import similarity_matrix as similarity_matrix
    from ufm.geometry.multicenter import Centers as Centers
    from ufm.geometry.multicenter import center_gain as center_gain
    from ufm.geometry.multicenter import center_mean_cos as center_mean_cos
    from ufm.geometry.multicenter import class_mean_cos as class_mean_cos
    from ufm.geometry.multicenter import general_rule as general_rule
    from ufm.geometry.multicenter import mean_rule as mean_rule
    from ufm.geometry.multicenter import multicenter_frame as multicenter_frame
    from ufm.geometry.multicenter import regular_rule as regular_rule
    from ufm.geometry.multicenter_optimum import MultiCenterOptimum as MultiCenterOptimum
    from ufm.geometry.multicenter_optimum import cosine_residual as cosine_residual
    from ufm.geometry.multicenter_optimum import fixed_frame_optimum as fixed_frame_optimum
    from ufm.geometry.multicenter_optimum import learnable_frame_optimum as learnable_frame_optimum
    from ufm.geometry.multicenter_optimum import survival_index as survival_index
    from ufm.geometry.multicenter_optimum import survival_threshold as survival_threshold
    from ufm.geometry.nearest import nearest_etf as nearest_etf
    from ufm.geometry.nearest import nearest_etf_from as nearest_etf_from
    from ufm.geometry.nearest import nearest_rotation as nearest_rotation
    from ufm.geometry.nearest import polar as polar
    from ufm.geometry.similarity import Exponential as Exponential
    from ufm.geometry.similarity import Linear as Linear
    from ufm.geometry.similarity import Similarity as Similarity
    from ufm.geometry.similarity import Table as Table
    from ufm.geometry.specs import ExplicitFrame as ExplicitFrame
    from ufm.geometry.specs import Frame as Frame
    from ufm.geometry.specs import HAFrame as HAFrame
    from ufm.geometry.specs import MultiCenter as MultiCenter
    from ufm.geometry.specs import OrthogonalFrame as OrthogonalFrame
    from ufm.geometry.specs import SimplexETF as SimplexETF
    from ufm.geometry.tree_network import smallest_s as smallest_s

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "distance": ".comparison",
        "procrustes_distance": ".comparison",
        "FixedRows": ".frames",
        "align": ".frames",
        "etf": ".frames",
        "frame": ".frames",
        "helmert": ".frames",
        "orthogonal": ".frames",
        "Geometry": ".gram",
        "cosines": ".gram",
        "norms": ".gram",
        "ExplicitFrame": ".specs",
        "Frame": ".specs",
        "OrthogonalFrame": ".specs",
        "SimplexETF": ".specs",
        **dict.fromkeys(
            (
                "cholesky_frame",
                "eigh_frame",
                "grid_search_s",
                "similarity_of_distances",
                "smallest_s_of_matrix",
            ),
            ".gram_frames",
        ),
        **dict.fromkeys(
            ("embed", "hierarchy_frame", "node_frame", "similarity_matrix"), ".haframe"
        ),
        **dict.fromkeys(
            (
                "Centers",
                "center_gain",
                "center_mean_cos",
                "class_mean_cos",
                "general_rule",
                "mean_rule",
                "multicenter_frame",
                "regular_rule",
            ),
            ".multicenter",
        ),
        **dict.fromkeys(
            (
                "MultiCenterOptimum",
                "cosine_residual",
                "fixed_frame_optimum",
                "learnable_frame_optimum",
                "survival_index",
                "survival_threshold",
            ),
            ".multicenter_optimum",
        ),
        **dict.fromkeys(
            ("nearest_etf", "nearest_etf_from", "nearest_rotation", "polar"), ".nearest"
        ),
        **dict.fromkeys(("Exponential", "Linear", "Similarity", "Table"), ".similarity"),
        **dict.fromkeys(("HAFrame", "MultiCenter"), ".specs"),
        "smallest_s": ".tree_network",
    },
)
