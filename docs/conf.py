"""Sphinx configuration: `make docs` builds the site, and any warning fails it."""

from __future__ import annotations

import atexit
import hashlib
import html
import os
import re
import shutil
import sys
import tempfile
from functools import partialmethod
from logging import getLogger
from pathlib import Path
from xml.etree.ElementTree import ParseError

from docutils import nodes
from jupyter_client.manager import KernelManager
from sphinx.util import logging


HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

import generate  # noqa: E402

import ufm  # noqa: E402
from figures.report.formulas import mathml  # noqa: E402


project = "ufm"
author = copyright = "The ufm developers"
version = release = ufm.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
]
# The gallery makes pages of the scripts there; its notebooks and zips are downloads, not pages.
exclude_patterns = ["_build", "examples", "generated/examples/*.ipynb"]
default_role = "literal"

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"

# Pages with code are executed as they are read, and an error fails the build.
nb_execution_mode = "force"
nb_execution_timeout = 60
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_output_stderr = "remove"  # progress, such as the first compilation of a kernel
# Kernels talk through sockets in a folder that goes with the build: no ports, no user's settings.
_kernels = tempfile.mkdtemp(prefix="ufm-docs-")
atexit.register(shutil.rmtree, _kernels, ignore_errors=True)
for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
    os.environ[variable] = _kernels
_ipc = {"transport": "ipc", "ip": f"{_kernels}/kernel"}
KernelManager.__init__ = partialmethod(KernelManager.__init__, **_ipc)
getLogger("traitlets").setLevel("WARNING")

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "generated/examples",
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
    "image_srcset": ["2x"],
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
    "backreferences_dir": None,
}

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autosummary_generate = False
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # shapes such as "*b K d" are no reStructuredText
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"ufm {release}"
html_math_renderer = "mathml"
html_copy_source = False

generate.write(HERE / "generated")


def _digest_of_code() -> str:
    """What executed pages depend on besides themselves: the package."""
    digest = hashlib.sha256()
    for file in sorted((ROOT / "ufm").rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


_CITATION = re.compile(r"\[([a-z]+\d{4}[a-z]*)\]_")
_LINK = re.compile(r"\[([^\]\[]+)\]\(([^)#:\s]+)(#[^)]*)?\)")
_GLOB = re.compile(r"^(\S*\*\S*)\n", re.MULTILINE)
_SHAPED = re.compile(
    r"(?:~?(?:jaxtyping|ufm\._shapes)\.)?(Float|Int|Bool|Real)"
    r"\[(?:~?torch\.)?Tensor, ['\"]([^'\"]*)['\"]\]"
)
_QUALIFIED = re.compile(
    r"~?\b(?:torch|ufm|collections\.abc|typing|pathlib|fractions)\.(?:\w+\.)*(?=\w)"
)


def stale(app, env, added, changed, removed) -> list[str]:
    """Pages to execute again: all with code, where the package changed since they were."""
    digest = _digest_of_code()
    before, env.ufm_digest = getattr(env, "ufm_digest", None), digest
    if before == digest:
        return []
    pages = sorted(set(env.found_docs) - set(added))
    return [page for page in pages if "{code-cell}" in Path(env.doc2path(page)).read_text("utf-8")]


def cite(app, what, name, obj, options, lines: list[str]) -> None:
    """Citations of docstrings, ``[key]_``, become citations of the one bibliography."""
    lines[:] = [_CITATION.sub(r":cite:p:`\1`", line) for line in lines]


def readable(app, what, name, obj, options, signature, returns):
    """Annotations as they are read: ``Float[K d]``, without the modules of the names."""

    def short(text: str | None) -> str | None:
        if text is None:
            return None
        return _QUALIFIED.sub("", _SHAPED.sub(r"\1[\2]", text))

    return short(signature), short(returns)


def say_paths(app, docname: str, source: list[str]) -> None:
    """Links to files of the repository outside the site become the names of those files."""
    folder = Path(app.env.doc2path(docname)).parent

    def plain(match: re.Match) -> str:
        text, target, _ = match.groups()
        file = (folder / target).resolve()
        if file.exists() and not file.is_relative_to(HERE):
            return f"{text} (`{file.relative_to(ROOT)}`)"
        return match[0]

    source[0] = _LINK.sub(plain, source[0])
    if docname == "index":  # a pattern that matches no page yet would be a warning
        source[0] = _GLOB.sub(lambda line: line[0] if any(HERE.glob(line[1])) else "", source[0])


def _html(latex: str, display: str) -> str:
    try:
        # The converter aligns in an `array` only.
        array = latex.replace(r"\begin{aligned}", r"\begin{array}{rl}")
        made = mathml(array.replace(r"\end{aligned}", r"\end{array}").strip())
    except (ValueError, ParseError) as error:
        # A formula without a counterpart in MathML is shown as it was written.
        logging.getLogger(__name__).info("formula kept as LaTeX: %s: %s", error, latex)
        return f"<code>{html.escape(latex)}</code>"
    return made.replace('display="block"', f'display="{display}"')


def visit_inline(self, node) -> None:
    """An inline formula as MathML."""
    self.body.append(_html(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_display(self, node) -> None:
    """A displayed formula as MathML."""
    self.body.append(f'<div class="math">{_html(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app) -> None:
    """Connect the above."""
    app.connect("autodoc-process-docstring", cite)
    app.connect("autodoc-process-signature", readable)
    app.connect("env-get-outdated", stale)
    app.connect("source-read", say_paths)
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
