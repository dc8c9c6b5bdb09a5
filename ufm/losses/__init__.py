"""Losses: one family a file; the same objects serve the models and networks. Torch-free imports.

A `Loss` is a function of a logit column and its label, primal and dual: models, solvers and
certificates work with it, and networks too. A `FeatureLoss` needs features and frame; it is for
networks and small numerical checks.
"""

from ufm.losses._base import Loss as Loss
from ufm.losses._features import FeatureLoss as FeatureLoss
from ufm.losses._features import mixup as mixup
from ufm.losses.adjusted import LDAM as LDAM
from ufm.losses.adjusted import AttractionRepulsion as AttractionRepulsion
from ufm.losses.adjusted import LogitAdjusted as LogitAdjusted
from ufm.losses.batch_dot_regression import BatchDotRegression as BatchDotRegression
from ufm.losses.class_balanced import ClassBalanced as ClassBalanced
from ufm.losses.class_balanced import effective_weights as effective_weights
from ufm.losses.contrastive import KPositives as KPositives
from ufm.losses.cosine_regression import CosineRegression as CosineRegression
from ufm.losses.cross_entropy import CrossEntropy as CrossEntropy
from ufm.losses.dot_regression import DotRegression as DotRegression
from ufm.losses.haframe_mix import CosineAlignment as CosineAlignment
from ufm.losses.haframe_mix import FrameTargets as FrameTargets
from ufm.losses.haframe_mix import HAFrameMix as HAFrameMix
from ufm.losses.multicenter_mse import CenterRegression as CenterRegression
from ufm.losses.multicenter_mse import CenterSquaredError as CenterSquaredError
from ufm.losses.soft_target import SoftTargets as SoftTargets
from ufm.losses.squared_error import SquaredError as SquaredError
