"""Threads, pieces, announcements and folders of compiled kernels; products and eigenvalues."""

import importlib
import os
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tolerances import EXACT

from ufm.compiled import rows


def fake(calls: list, *, compiled: bool = True, folder: str = ""):
    def kernel(first, last, *arrays):
        calls.append((first, last, threading.get_ident()))
        arrays[0][first:last] += 1

    kernel.signatures = [()] if compiled else []
    kernel.stats = SimpleNamespace(cache_path=folder)
    return kernel


@pytest.mark.parametrize("count", [0, 1, 7, 33, 1000])
@pytest.mark.parametrize("threads", [1, 3])
def test_every_row_once(count, threads):
    before, calls, seen = torch.get_num_threads(), [], np.zeros(count)
    torch.set_num_threads(threads)
    try:
        rows.over_rows(fake(calls), count, seen)
    finally:
        torch.set_num_threads(before)
    assert (seen == 1).all()
    assert max(last - first for first, last, _ in calls) <= rows.PIECE
    assert calls[0][:2] == (0, 0)  # compiled before the threads start


def test_an_error_in_a_thread_is_raised_and_the_rest_given_up(monkeypatch):
    calls = []

    def broken(first, last, *_):
        calls.append(first)
        time.sleep(1e-3 if first else 0)
        if 0 == first < last:
            raise KeyboardInterrupt

    broken.signatures = [()]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(KeyboardInterrupt):
        rows.over_rows(broken, 100_000)
    assert len(calls) < 100_000 // rows.PIECE


def test_a_compilation_is_announced_and_a_cached_kernel_is_not(tmp_path, capsys):
    rows.over_rows(fake([], compiled=False, folder=str(tmp_path)), 1, np.zeros(1))
    assert capsys.readouterr().err.startswith("ufm: compiling a kernel, once on this machine")
    (tmp_path / "test_compiled.kernel-1.py311.nbi").touch()
    rows.over_rows(fake([], compiled=False, folder=str(tmp_path)), 1, np.zeros(1))
    rows.over_rows(fake([]), 1, np.zeros(1))
    assert capsys.readouterr().err == ""


def test_without_a_folder_to_write_to_a_kernel_is_compiled_for_the_process(monkeypatch):
    config = SimpleNamespace(CACHE_DIR="")
    modules = {"numba": SimpleNamespace(config=config)}
    failures = iter(["cannot cache function 'f': no locator available for file 'x'"])

    def import_module(name):
        if name in modules:
            return modules[name]
        for message in failures:
            raise RuntimeError(message)
        return SimpleNamespace(f="compiled")

    monkeypatch.setattr(rows.importlib, "import_module", import_module)
    assert rows.kernel.__wrapped__("some.module", "f") == "compiled"
    assert "ufm-kernels-" in config.CACHE_DIR
    failures = iter(["another reason"])
    with pytest.raises(RuntimeError, match="another reason"):
        rows.kernel.__wrapped__("some.module", "f")


SMALL = """
from numba import njit

@njit(cache=True)
def f(first, last, x):
    for i in range(first, last):
        x[i] += 1
"""


def imported_anew(file):
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.f


@pytest.mark.skipif(not rows.available(), reason="needs numba (extra `fast`)")
def test_a_damaged_store_is_compiled_anew_and_a_full_disk_does_not_matter(
    tmp_path, capsys, monkeypatch
):
    file = tmp_path / "small.py"
    file.write_text(SMALL)
    seen = np.zeros(3)
    rows.over_rows(imported_anew(file), 3, seen)
    capsys.readouterr()
    kept = list((tmp_path / "__pycache__").glob("small.f-*.nb*"))
    index, data = sorted(kept, key=lambda path: path.suffix, reverse=True)
    for path, damage in ((index, b""), (data, data.read_bytes()[:-1]), (index, b"\x80\x05junk")):
        path.write_bytes(damage)
        rows.over_rows(imported_anew(file), 3, seen)
        assert "the store of kernels fails" in capsys.readouterr().err
        rows.over_rows(imported_anew(file), 3, seen)  # stored whole again
        assert capsys.readouterr().err == ""
    assert (seen == 7).all()

    def full(*_):
        raise OSError(28, "No space left on device")

    for path in kept:
        path.unlink()
    f = imported_anew(file)
    monkeypatch.setattr(f._cache._cache_file, "save", full)
    rows.over_rows(f, 3, seen)
    assert (seen == 8).all()


def test_a_damaged_store_that_may_not_be_cleared_is_left_alone(tmp_path, monkeypatch):
    calls, config = [], SimpleNamespace(CACHE_DIR="")

    def f(first, last, *_):
        calls.append(config.CACHE_DIR)
        if not config.CACHE_DIR:
            raise EOFError

    f.signatures, f.stats = [], SimpleNamespace(cache_path=str(tmp_path))
    f.enable_caching = lambda: calls.append("enabled")
    monkeypatch.setattr(rows.importlib, "import_module", lambda _: SimpleNamespace(config=config))
    # A folder in place of the file cannot be unlinked.
    (tmp_path / "test_compiled.f-1.py311.nbi").mkdir()
    rows.over_rows(f, 1)
    assert calls[:2] == ["", "enabled"]
    assert len(calls) == 4
    config.CACHE_DIR = ""
    (tmp_path / "test_compiled.f-1.py311.nbi").rmdir()
    with pytest.raises(EOFError):  # an error of another origin stays one
        rows.over_rows(f, 1)


def test_a_stored_kernel_older_than_what_it_calls_is_dropped(tmp_path):
    f = fake([], folder=str(tmp_path))
    stem = f"{f.__module__.rpartition('.')[2]}.{f.__name__}"
    old, new, other = (tmp_path / name for name in (f"{stem}-1.nbi", f"{stem}-2.nbi", "g-1.nbi"))
    for path in (old, new, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (0, 0))
    rows._drop_outdated(f)
    assert not old.exists()
    assert new.exists()
    assert other.exists()


def test_an_installation_that_fails_is_as_none(monkeypatch, capsys):
    def import_module(name):
        raise ImportError(f"{name} needs NumPy 2.2 or less\nand more")

    monkeypatch.setattr(rows.importlib, "import_module", import_module)
    monkeypatch.setattr(rows.importlib.util, "find_spec", lambda _name: object())
    assert not rows.available.__wrapped__()
    assert capsys.readouterr().err == (
        "ufm: no compiled kernels, numba cannot be imported: numba needs NumPy 2.2 or less\n"
    )
    monkeypatch.setattr(rows.importlib.util, "find_spec", lambda _name: None)
    assert not rows.available.__wrapped__()
    assert capsys.readouterr().err == ""


@pytest.mark.slow  # compiles
@pytest.mark.skipif(not rows.available(), reason="needs numba (extra `fast`)")
def test_products_and_eigenvalues_against_numpy():
    from numba import njit

    product = importlib.import_module("ufm.compiled._product").product
    symmetric = importlib.import_module("ufm.compiled._symmetric")

    @njit
    def multiplied(C, A, B, *steps):
        product(C, A, B, *steps)

    @njit
    def decomposed(A, n, values, off, scale, w, vectors):
        symmetric.reduce_to_tridiagonal(A, n, values, off, scale, w)
        symmetric.accumulate(A, n, scale, vectors)
        return symmetric.diagonalise(values, off, n, vectors, n)

    generator = np.random.default_rng(0)
    for m, q, n in [(2, 1, 1), (2, 3, 2), (3, 2, 3), (5, 4, 4), (7, 3, 6), (10, 9, 10)]:
        A, B = generator.standard_normal((m, q)), generator.standard_normal((q, n))
        for left, steps in ((A, (q, 1)), (np.ascontiguousarray(A.T), (1, m))):
            C = np.zeros((m, n))
            multiplied(C, left, B, m, q, n, *steps)
            np.testing.assert_allclose(C, A @ B, rtol=0, atol=EXACT)
    special = [np.zeros((4, 4)), np.eye(3), np.diag([1.0, 1e-20, 3.0]), np.ones((5, 5))]
    for A in [*special, *(generator.standard_normal((k, k)) for k in (2, 3, 6, 11, 30))]:
        A, n = A + A.T, len(A)
        values, vectors = np.empty(n), np.empty((n, n))
        scratch = [np.empty(n) for _ in range(3)]
        assert decomposed(A.copy(), n, values, *scratch, vectors)
        size = max(1.0, np.abs(A).sum())
        np.testing.assert_allclose(
            np.sort(values), np.linalg.eigvalsh(A), rtol=0, atol=EXACT * size
        )
        np.testing.assert_allclose(vectors @ vectors.T, np.eye(n), rtol=0, atol=EXACT)
        np.testing.assert_allclose(
            vectors.T @ (values[:, None] * vectors), A, rtol=0, atol=EXACT * size
        )
    broken = np.full((3, 3), np.nan)
    assert not decomposed(
        broken, 3, np.empty(3), *(np.empty(3) for _ in range(3)), np.empty((3, 3))
    )
