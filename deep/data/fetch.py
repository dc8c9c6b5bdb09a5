"""Fetch the published archives, checked against their published checksums."""

from __future__ import annotations

from pathlib import Path

from deep.data.files import candidates, data_folder
from deep.data.sources import PUBLISHED


def download(name: str, *, folder: Path | None = None) -> Path:
    """Fetch a published image set unless it is there.

    Args:
        name: Source name.
        folder: The data folder; default as in `load`.

    Returns:
        The folder or archive that `load` will read.

    Raises:
        ValueError: If the set is not one that is fetched, or a checksum differs.
        ImportError: If pooch is not installed.
        OSError: If there is no network; says what to fetch by hand and where to put it.
    """
    if name not in PUBLISHED:
        raise ValueError(f"name must be one of {', '.join(PUBLISHED)}, got {name!r}")
    folder = data_folder(folder)
    for _, place in candidates(name, folder):
        return place
    try:
        import pooch
    except ImportError as error:
        raise ImportError("downloads need pooch: pip install 'ufm[deep]'") from error
    layout = PUBLISHED[name].layouts[0]
    target = folder if layout.archive is not None else folder / layout.folder
    for file in layout.published:
        # pooch writes to a temporary name, compares, then renames: nothing broken is left.
        try:
            pooch.retrieve(file.url, known_hash=f"md5:{file.md5}", fname=file.name, path=target)
        except OSError as error:
            raise OSError(
                f"{file.url} cannot be fetched; put it into {target} (MD5 {file.md5}): {error}"
            ) from error
    return next(place for _, place in candidates(name, folder))
