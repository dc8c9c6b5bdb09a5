"""Markou, Ajanthan and Gould (2024): the simplex ETF nearest to given class means."""

from __future__ import annotations

from ufm.claims import Claim, Kind, Provenance, Source, register


NEAREST = register(
    Claim(
        id="markou2024.nearest-etf",
        kind=Kind.OURS,
        statement="The simplex ETF nearest to given class means, over all rotations of one of "
        "given scale, is a Procrustes problem: the squared norms are constant, and the polar "
        "factor of the means in a basis of the zero-sum vectors solves it; no Riemannian solver is "
        "needed. It is the only one iff the centred means span K-1 dimensions.",
        formula=r"\min_{Q^\top Q=I_{K-1}}\|\bar H-cQB^\top\|_F^2=\|\bar H\|_F^2+c^2(K-1)-"
        r"2c\,\|\bar HB\|_*,\quad Q=\operatorname{polar}(\bar HB),\ BB^\top=I-\tfrac1K11^\top",
        source=Source("markou2024", "2411.01248", Provenance.DERIVED),
        outside="frames nearest to given class means",
        steps=("constant norms", "bound", "attained", "unique"),
        uses=("papyan2020.etf-gram",),
    )
)
