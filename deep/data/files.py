"""Where the files of a published set are, their checksums, and their bytes."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from deep.data.sources import PUBLISHED, File, Layout, Published


ENVIRONMENT = "UFM_DATA"
EXCERPTS = ("full", "lt50", "lt100", "lt200")


def data_folder(folder: Path | None = None) -> Path:
    """Folder in which archives are looked for.

    Args:
        folder: The caller's choice.

    Returns:
        That, else the environment variable ``UFM_DATA``, else ``data`` in the current folder.
    """
    return Path(folder or os.environ.get(ENVIRONMENT) or "data")


def candidates(
    name: str, folder: Path, *, own: bool = False
) -> Iterable[tuple[Layout | None, Path]]:
    """Places where a published set may lie, best first.

    Args:
        name: Source name.
        folder: The data folder, or one of the set's files.
        own: Whether the folder is known to be the set's own, so that bare names such as
            ``train.bin`` in it are the set's.

    Yields:
        Layout (None for an ``.npz``) and the existing folder, archive or file.
    """
    if folder.is_file():
        for layout in PUBLISHED[name].layouts:
            if layout.archive is not None and layout.archive.name == folder.name:
                yield layout, folder
        if folder.suffix == ".npz":
            yield None, folder
        return
    roots = [folder, folder / name]
    for layout in PUBLISHED[name].layouts:
        for place in [root / layout.folder for root in roots] + roots[::-1]:
            named = place.name in (layout.folder, name)
            if _holds(place, layout, own=named or (own and place == folder)):
                yield layout, place
        for root in roots if layout.archive is not None else []:
            if layout.archive is not None and (root / layout.archive.name).is_file():
                yield layout, root / layout.archive.name
    stem = PUBLISHED[name].excerpt
    for path in (root / f"{stem}-{part}.npz" for part in EXCERPTS for root in roots if stem):
        if path.is_file():
            yield None, path


def missing(name: str, folder: Path) -> str:
    """What to fetch and where to put it, as one line.

    Args:
        name: Source name.
        folder: The data folder.

    Returns:
        The line.
    """
    layout = PUBLISHED[name].layouts[0]
    target = folder if layout.archive is not None else folder / layout.folder
    files = ", ".join(f"{file.url} (MD5 {file.md5})" for file in layout.published)
    return (
        f"{name} must be in {folder} (set {ENVIRONMENT} or folder=), got nothing; "
        f"put into {target}: {files}, or run `python -m deep data {name}`"
    )


def check_md5(path: Path, file: File) -> None:
    """Compare a file with its published checksum.

    Args:
        path: The file.
        file: What it should be.

    Raises:
        ValueError: If the checksum differs: truncated, or another file.
    """
    with path.open("rb") as stream:
        got = hashlib.file_digest(stream, "md5").hexdigest()
    if got != file.md5:
        raise ValueError(
            f"{path} must have MD5 {file.md5}, got {got} ({path.stat().st_size} bytes): truncated "
            f"or another file; delete it and fetch {file.url} again"
        )


def read_members(
    place: Path, layout: Layout, names: tuple[str, ...], *, verify: bool = True
) -> list[bytes]:
    """Bytes of a layout's members, from a folder or straight from the archive.

    Args:
        place: Folder or archive, as `candidates` yields.
        layout: The layout.
        names: Members wanted.
        verify: Whether checksums are compared first.

    Returns:
        Their bytes, in that order.

    Raises:
        ValueError: If a checksum differs, the archive is damaged or lacks a member.
    """
    if place.is_dir():
        published = {file.name: file for file in layout.files}
        paths = [_member(place, name) for name in names]
        for path in paths:
            if verify and path.name in published:
                check_md5(path, published[path.name])
        return [path.read_bytes() for path in paths]
    if verify and layout.archive is not None:
        check_md5(place, layout.archive)
    wanted = {f"{layout.folder}/{name}": name for name in names}
    found: dict[str, bytes] = {}
    try:
        # Members are read, never unpacked: no path in an archive reaches the disk.
        with tarfile.open(place, "r:*") as tar:
            for member in tar:
                name = wanted.get(member.name.removeprefix("./"))
                stream = tar.extractfile(member) if name and member.isfile() else None
                if name and stream is not None:
                    found[name] = stream.read()
                    if len(found) == len(wanted):
                        break
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{place} must be a whole archive, got {error}") from error
    for name in names:
        if name not in found:
            raise ValueError(f"{place} must hold {layout.folder}/{name}, got {len(found)} members")
    return [found[name] for name in names]


def overview(name: str = "", folder: Path | None = None) -> str:
    """Text table of the sources: files, where they belong, checksums, present or missing.

    Args:
        name: One source; empty for all.
        folder: The data folder.

    Returns:
        Lines of text.

    Raises:
        ValueError: If the source is unknown.
    """
    if name and name not in (*PUBLISHED, "digits"):
        raise ValueError(f"name must be one of digits, {', '.join(PUBLISHED)}, got {name!r}")
    folder = data_folder(folder)
    lines = [f"data folder: {folder} (argument, ${ENVIRONMENT}, or ./data)"]
    if name in ("", "digits"):
        lines.append("digits: present with scikit-learn (8 x 8, 1442 training and 355 test images)")
    for source in (name,) if name else PUBLISHED:
        if source in PUBLISHED:
            lines += _described(source, PUBLISHED[source], folder)
    if not name:
        lines.append(
            "imagenet-lt, inaturalist, tieredimagenet-h, fgvc-aircraft, folder: image folders with "
            "list files, Data(path=...); npz: any .npz of uint8 images and labels"
        )
    return "\n".join(lines)


def _described(name: str, source: Published, folder: Path) -> list[str]:
    place = next((str(place) for _, place in candidates(name, folder)), "missing")
    C, H, W = source.shape
    lines = [f"{name}: {place} (K={len(source.n)}, {sum(source.n)} + {source.n_test}, {C}x{H}x{W})"]
    for layout in source.layouts:
        target = folder if layout.archive is not None else folder / layout.folder
        lines += [
            f"  {target / file.name}  md5 {file.md5}  {file.url}" for file in layout.published
        ]
    if source.excerpt:
        lines.append(f"  or {folder / source.excerpt}-PROFILE.npz, PROFILE {', '.join(EXCERPTS)}")
    return lines


def _holds(place: Path, layout: Layout, *, own: bool) -> bool:
    # Bare names such as train-images-idx3-ubyte belong to several sets.
    if not own or not place.is_dir():
        return False
    names = (*layout.train, *layout.test)
    if not names:
        return (place / "train").is_dir()
    return all(_member(place, name).is_file() for name in names)


def _member(place: Path, name: str) -> Path:
    plain = place / name
    return plain if plain.is_file() else place / f"{name}.gz"
