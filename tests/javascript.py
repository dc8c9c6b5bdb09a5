"""Running the report's scripts outside of a page: in node, else in headless Chromium."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


NODE = shutil.which("node")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for name in BROWSERS if (path := shutil.which(name))), None)
TIMEOUT = 120


def evaluate(scripts: list[Path], expression: str, folder: Path) -> Any:
    """Value of a JavaScript expression after some scripts; infinities and NaN become strings.

    Skips the test, with the reason, where neither node nor Chromium is installed.
    """
    text = "\n".join(path.read_text("utf-8") for path in scripts)
    shown = (
        f"JSON.stringify({expression}, (_, v) => "
        "typeof v === 'number' && !isFinite(v) ? String(v) : v)"
    )
    if NODE:
        program = folder / "program.js"
        program.write_text(f"{text}\nprocess.stdout.write({shown});\n", "utf-8")
        done = subprocess.run(
            [NODE, str(program)], capture_output=True, text=True, check=True, timeout=TIMEOUT
        )
        return json.loads(done.stdout)
    if not CHROMIUM:
        pytest.skip("needs node or chromium to run JavaScript; neither is installed")
    page = folder / "page.html"
    page.write_text(
        f"<pre id=out></pre><script>{text}\nout.textContent = {shown};</script>", "utf-8"
    )
    match = re.search(r'<pre id="out">(.*?)</pre>', dump(page, folder), re.DOTALL)
    assert match
    return json.loads(html.unescape(match[1]))


def dump(page: Path, folder: Path, *options: str) -> str:
    """The document of a page after its scripts ran, in headless Chromium."""
    assert CHROMIUM
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu",
        f"--user-data-dir={folder / 'profile'}", *options, "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT)
    return done.stdout
