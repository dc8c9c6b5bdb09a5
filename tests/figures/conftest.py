"""The report in a browser: a small one, built once, opened from disk or from a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Visitor, launched, served
from recorded_flow import recorded

from figures._build import Target, build
from figures._registry import chosen
from figures.report import site
from ufm.runs import Store


# Every claim, table and page that moves, from the recorded evidence; figures whose runs take 0.1 s.
FIGURES = ("center-counts",)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    yield from launched()


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    target = Target(Store(tmp_path_factory.mktemp("runs")), tmp_path_factory.mktemp("report"))
    for figure in chosen(FIGURES):
        build(figure, target)
    recorded(target.out / "etf-3d.parquet")
    site.write(target.out, target.store.root)
    return target.out


@pytest.fixture(scope="session")
def server(folder) -> Iterator[str]:
    with served(folder) as address:
        yield address


@pytest.fixture
def visitor(request, chromium) -> Iterator[Visitor]:
    """Opens pages from disk, or from where the test says; whatever it did, nothing may be wrong."""
    place = getattr(request, "param", "disk")
    base = request.getfixturevalue("folder").as_uri() + "/"
    found = Visitor(chromium, base if place == "disk" else request.getfixturevalue("server"))
    yield found
    found.close()
    assert found.complaints == []
    assert found.foreign() == []
