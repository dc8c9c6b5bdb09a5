"""Angle map of the hierarchy-aware frame: feature norm against weight of the auxiliary loss."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
import torch

from ufm._spec import spec
from ufm._typing import Float, Tensor
from ufm.geometry import Exponential, HAFrame, frame
from ufm.hierarchy import Tree
from ufm.maps._ball_newton import MixRows, angle_bound, ball_gap, minimise
from ufm.maps.grid import Axis, Map
from ufm.methods import Method, Newton


TREES = {
    "balanced": Tree.from_nested([[[0, 1], [2, 3]], [[4, 5], [6, 7]]]),
    "caterpillar": Tree.from_nested([0, [1, [2, [3, [4, [5, [6, 7]]]]]]]),
    "mixed": Tree.from_nested([[0, 1, 2, 3], [4, [5, 6]], 7]),
}
# Proved error of an angle, in degrees, that counts as certified.
ANGLE = 1e-6


@spec
class AngleMap(Map):
    r"""How far the optimal feature is from its row of a fixed hierarchy-aware frame.

    The loss is :math:`(1-\alpha)\,\mathrm{CE} + \alpha\sum_c(\cos(w_c, h) - S_{yc})^2` on the
    sphere of radius x. Every class of every pixel is solved by itself, and both its excess and its
    angle to the exact optimum are bounded. No closed form is known, so nothing is compared but at
    :math:`\alpha = 1`, where the optimum is the frame.

    Attributes:
        frame: The classifier, unit rows.
        x: Norm of the features.
        y: Weight alpha of the auxiliary loss, in [0, 1].
        tree: What its rows call the tree.
    """

    frame: HAFrame = HAFrame(TREES["balanced"], Exponential(2.0))
    x: Axis = Axis(0.5, 32.0, 512, "log")
    y: Axis = Axis(0.0, 1.0, 512)
    tree: str = "balanced"
    kind: ClassVar[str] = "angle-map"
    names: ClassVar[tuple[str, str]] = ("radius", "alpha")

    def __post_init__(self):
        if not isinstance(self.frame, HAFrame) or self.frame.E_W != 1:
            raise ValueError(f"frame must be a HAFrame with unit rows, got {self.frame!r}")
        if self.y.high > 1:
            raise ValueError(f"y must have weights of at most 1, got {self.y.high}")

    @property
    def method(self) -> Newton:
        """Newton's method on the spheres."""
        return Newton()

    def rows(self) -> Float[Tensor, "K d"]:
        """Rows of the frame in the dimension of their span.

        Returns:
            Unit rows.
        """
        return frame(self.frame, self.frame.tree.K, self.frame.rank)

    def solve(
        self, lines: tuple[float, ...], method: Method, *, device: str = "cpu"
    ) -> pl.DataFrame:
        """Solve all classes of all pixels, starting at the frame.

        Args:
            lines: Weights alpha.
            method: Newton.
            device: Where to solve.

        Returns:
            Rows: tree, radius, alpha, ``angle`` (largest over the classes, degrees), ``error``
            (bound of what each class's angle is off, degrees), gap, certified, decided, agrees.

        Raises:
            ValueError: If the method is not Newton.
        """
        if not isinstance(method, Newton):
            raise ValueError(f"method must be Newton for an angle map, got {method!r}")
        W = self.rows().to(device)
        K, radii = len(W), W.new_tensor(self.x.values())
        radius, alpha = (
            v.flatten().repeat_interleave(K)
            for v in torch.meshgrid(radii, W.new_tensor(lines), indexing="xy")
        )
        y = torch.arange(K, device=device).repeat(len(radii) * len(lines))
        losses = MixRows.of(W, y, radius=radius, alpha=alpha)
        H = minimise(losses, W[y], steps=method.max_steps, tol=method.gtol)
        g, _ = losses.slopes(H)
        chord = torch.linalg.vector_norm(H / radius.unsqueeze(-1) - W[y], dim=-1)
        error = torch.rad2deg(angle_bound(losses, H)).unflatten(0, (-1, K)).amax(-1)
        angle = torch.rad2deg(2 * (chord / 2).clamp(max=1).asin()).unflatten(0, (-1, K)).amax(-1)
        columns = {
            "radius": radius[::K], "alpha": alpha[::K], "angle": angle, "error": error,
            "gap": ball_gap(g, H).unflatten(0, (-1, K)).amax(-1),
            "certified": error < ANGLE, "decided": error < ANGLE,
            "agrees": torch.ones_like(error, dtype=torch.bool),
        }  # fmt: skip
        rows = pl.DataFrame({name: values.cpu().numpy() for name, values in columns.items()})
        return rows.with_columns(tree=pl.lit(self.tree))
