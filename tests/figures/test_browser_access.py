"""axe-core on the report, light and dark, phone and desktop; no page wider than its screen."""

from __future__ import annotations

import itertools

import pytest
from browser import OTHERS, PAGES, violations


# Each page in one of the combinations, all of which occur; everything with everything is slow.
COMBINATIONS = tuple(itertools.product((False, True), (False, True)))
DEFAULT = [(name, *COMBINATIONS[i % 4]) for i, name in enumerate(PAGES + OTHERS)]
WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
FAULTS = (
    '<p style="color: #999; background: #aaa">pale</p>'
    '<form><input type="text"></form><img src="data:,"><a href="#claims"></a>'
)


@pytest.mark.parametrize(("name", "dark", "phone"), DEFAULT)
def test_pages_are_accessible_and_fit_their_screen(visitor, name, dark, phone):
    page = visitor.open(name, dark=dark, phone=phone, reduced_motion="reduce")
    width, room = page.evaluate(WIDTHS)
    assert width <= room
    assert violations(page) == []


@pytest.mark.slow
@pytest.mark.parametrize(("dark", "phone"), COMBINATIONS)
def test_every_page_there_is(visitor, folder, dark, phone):
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))
    assert len(names) > 90
    page = visitor.open(names[0], dark=dark, phone=phone, reduced_motion="reduce")
    wrong = {}
    for name in names:
        page.goto(visitor.base + name)
        width, room = page.evaluate(WIDTHS)
        wrong[name] = violations(page) + [f"{width} px wide"] * (width > room)
    assert {name: found for name, found in wrong.items() if found} == {}


def test_faults_would_be_found(visitor):
    page = visitor.open("corrections.html")
    page.evaluate(f"document.querySelector('main').innerHTML = `<h1>Faults</h1>{FAULTS}`")
    rules = {line.split(":")[0] for line in violations(page)}
    assert {"color-contrast", "label", "image-alt", "link-name"} <= rules
