"""Losses: one family a file; the same objects serve the models and networks. Torch-free imports."""

from ufm.losses._base import Loss as Loss
from ufm.losses.cross_entropy import CrossEntropy as CrossEntropy
from ufm.losses.dot_regression import DotRegression as DotRegression
from ufm.losses.squared_error import SquaredError as SquaredError
