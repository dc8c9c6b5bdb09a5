"""The machine's own Chromium, headless: pages are opened, driven by keys and pointer, watched."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from javascript import CHROMIUM

from figures.report import site


PAGES = [name for name, _ in site.NAVIGATION if "#" not in name]
OTHERS = ["claims/fang2021.r0.html", "claims/yan2024.thm34.html", "figures/center-counts.html"]
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
# What a key or a drag does is shown in the next frames; a page that does nothing fails after this.
PATIENCE = 60_000
# Focus as a reader sees it: the element, its outline, and whether it lies below the sticky bar.
FOCUS = """() => {
  const e = document.activeElement, box = e.getBoundingClientRect(), style = getComputedStyle(e);
  const bar = document.querySelector('.bar');
  return {
    name: [e.tagName, e.name || e.id || e.getAttribute('href') || e.textContent].join(' '),
    index: window.stops ? window.stops.indexOf(e) : -1,
    outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    uncovered: bar.contains(e) || e.matches('.skip') ||
      box.bottom > bar.getBoundingClientRect().bottom,
    seen: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight,
  };
}"""
STOPS = """() => { window.stops = Array.from(
  document.querySelectorAll('a[href], button, select, input, summary, [tabindex="0"]'),
).filter((e) => !e.disabled && e.checkVisibility({ visibilityProperty: true }));
return stops.length; }"""


def launched() -> Iterator[Any]:
    """A running Chromium; skips, with the reason, without it or the library that drives it."""
    if CHROMIUM is None:
        pytest.skip("needs chromium (Debian: apt install chromium); not installed")
    driver = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright (pip install '.[dev]'); not installed"
    )
    with driver.sync_playwright() as playwright:
        # The sandbox needs rights that containers lack; the pages are our own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address of a server of a folder on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Visitor:
    """Opens pages below an address; keeps what they complain about and what they fetch."""

    def __init__(self, browser: Any, base: str):
        self.browser, self.base = browser, base
        self.complaints: list[str] = []
        self.fetched: list[str] = []

    def open(self, name: str, *, dark: bool = False, phone: bool = False, **options: Any) -> Any:
        """A page, loaded and run."""
        context = self.browser.new_context(
            viewport=PHONE if phone else DESKTOP,
            color_scheme="dark" if dark else "light",
            has_touch=phone,
            **options,
        )
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", self.heard)
        page.on("pageerror", lambda error: self.complaints.append(f"{name}: {error}"))
        page.on("requestfailed", lambda r: self.complaints.append(f"{name}: {r.url}: {r.failure}"))
        page.on("request", lambda request: self.fetched.append(request.url))
        page.goto(urljoin(self.base, name))
        return page

    def heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location}")

    def foreign(self) -> list[str]:
        """Addresses fetched that are not the report's own."""
        own = (self.base, "data:", "blob:")
        return [address for address in self.fetched if not address.startswith(own)]

    def close(self) -> None:
        for context in self.browser.contexts:
            context.close()


def settled(page: Any, condition: str) -> Any:
    """Wait until an expression is true; its value."""
    return page.wait_for_function(condition).json_value()


def drawn(page: Any, expression: str, *, frames: int = 1) -> Any:
    """Value of an expression once what was asked for is drawn, and some more frames.

    Frames are drawn in the order in which they were asked for, so what is pending comes first.
    """
    return page.evaluate(
        "(frames) => new Promise((done) => {"
        f" const next = () => (frames-- ? requestAnimationFrame(next) : done({expression}));"
        " next(); })",
        frames + 1,
    )


def violations(page: Any) -> list[str]:
    """What axe-core finds wrong with a page, a line each; all its rules."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="needs axe-playwright-python (pip install '.[dev]'); not installed",
    )
    # Preloading would fetch the style sheets once more, which a page from disk may not.
    options = {"resultTypes": ["violations"], "preload": False}
    found = axe.Axe().run(page, options=options).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:120]}: {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]
