"""Classifier heads of known geometry for any PyTorch network, with their feature transformations.

Plain `torch.nn.Module` objects: frames are buffers of ``state_dict``, nothing assumes a device, and
``forward`` compiles as one graph. See ``docs/heads.md``.
"""

from ufm.heads._head import Head as Head
from ufm.heads.etf import ETFHead as ETFHead
from ufm.heads.haframe import HAFrameHead as HAFrameHead
from ufm.heads.learnable import LearnableHead as LearnableHead
from ufm.heads.multicenter import MultiCenterHead as MultiCenterHead
from ufm.heads.nearest_etf import NearestETFHead as NearestETFHead
from ufm.heads.posthoc import adjusted_scores as adjusted_scores
from ufm.heads.posthoc import least_cost_scores as least_cost_scores
from ufm.heads.rotated import RotatedHead as RotatedHead
from ufm.heads.rules import Rule as Rule
from ufm.heads.rules import class_scores as class_scores
from ufm.heads.transform import ResidualBlock as ResidualBlock
from ufm.heads.transform import ResidualTransform as ResidualTransform
from ufm.heads.transform import UnitFeatures as UnitFeatures
