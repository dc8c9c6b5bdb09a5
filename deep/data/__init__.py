"""Image sets: read, cut to a profile, augmented on the device.

`deep.data.spec` and `deep.data.sources` are torch-free; the names below load torch when used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._lazy import attach


if TYPE_CHECKING:
    from deep.data.augment import augmented as augmented
    from deep.data.augment import mixed as mixed
    from deep.data.augment import normalised as normalised
    from deep.data.fetch import download as download
    from deep.data.files import overview as overview
    from deep.data.images import Images as Images
    from deep.data.images import ImageSet as ImageSet
    from deep.data.plan import EpochPlan as EpochPlan
    from deep.data.plan import draw_epoch as draw_epoch
    from deep.data.reading import load as load

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "augmented": ".augment",
        "mixed": ".augment",
        "normalised": ".augment",
        "download": ".fetch",
        "overview": ".files",
        "Images": ".images",
        "ImageSet": ".images",
        "EpochPlan": ".plan",
        "draw_epoch": ".plan",
        "load": ".reading",
    },
)
