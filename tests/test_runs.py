"""The run store: keys, atomicity, damage, concurrency, errors in one line."""

from __future__ import annotations

import concurrent.futures
import errno
import json
import logging
import os
from pathlib import Path

import polars as pl
import pytest
import torch
from tolerances import EXACT

import ufm
from ufm.runs import (
    Chunk,
    RunSpec,
    Store,
    default_root,
    get_or_run,
    solved,
    split,
    write_atomic,
)
from ufm.runs import store as store_module
from ufm.runs.files import PARTIAL, publish


PROBLEM = ufm.Problem(K=3, d=2, n=(4, 4, 2), reg=ufm.AverageBudget(E_W=1, E_H=4))
SPEC = RunSpec("test-kind", PROBLEM, ufm.LBFGS(), seeds=2)


class Producer:
    """Counts its calls, so that a test can see whether something was recomputed."""

    def __init__(self, value: float = 1.5):
        self.value = value
        self.calls = 0

    def __call__(self, spec: RunSpec) -> Chunk:
        self.calls += 1
        rows = pl.DataFrame({"seed": list(spec.seeds), "value": [self.value] * len(spec.seeds)})
        return Chunk(rows, {"W": torch.arange(6, dtype=torch.float64).reshape(3, 2)})


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


def test_a_run_is_computed_once_and_read_back_equal(store):
    produce = Producer()
    first, second = get_or_run(SPEC, produce, store), get_or_run(SPEC, produce, store)
    assert produce.calls == 1
    assert first.rows.equals(second.rows)
    assert torch.equal(first.tensors["W"], second.tensors["W"])
    assert second.tensors["W"].dtype == torch.float64
    assert first.record == second.record


def test_a_chunk_is_three_files_named_by_kind_and_key(store):
    get_or_run(SPEC, Producer(), store)
    names = sorted(path.name for path in (store.root / "test-kind").iterdir())
    assert names == [f"{SPEC.key}.{ext}" for ext in ("json", "parquet", "safetensors")]


def test_the_record_says_where_the_run_came_from(store):
    record = get_or_run(SPEC, Producer(), store).record
    assert record["spec"]["subject"]["reg"] == {"type": "AverageBudget", "E_W": 1.0, "E_H": 4.0}
    assert record["ufm"] == ufm.__version__
    assert record["torch"] == torch.__version__
    assert record["threads"] == torch.get_num_threads()
    assert record["seconds"] >= 0
    assert record["device"].startswith("cpu")
    assert record["utc"].endswith("+00:00")
    assert {"commit", "dirty", "numpy"} <= set(record)


@pytest.mark.parametrize(
    "other",
    [
        RunSpec("test-kind", PROBLEM, ufm.LBFGS(), seeds=3),
        RunSpec("test-kind", PROBLEM, ufm.LBFGS(), seeds=2, version=2),
        RunSpec("test-kind", PROBLEM, ufm.Newton(), seeds=2),
        RunSpec("other-kind", PROBLEM, ufm.LBFGS(), seeds=2),
        RunSpec(
            "test-kind",
            ufm.Problem(K=3, d=2, n=(4, 4, 2), reg=ufm.VectorBudget(E_W=1, E_H=4)),
            ufm.LBFGS(),
            seeds=2,
        ),
    ],
    ids=["seeds", "version", "method", "kind", "type of regulariser with equal fields"],
)
def test_every_part_of_the_request_is_in_the_key(other):
    assert other.key != SPEC.key


def test_the_key_is_stable():
    # A changed key recomputes every recorded run: change it on purpose or not at all.
    assert RunSpec("test-kind", PROBLEM, ufm.LBFGS(), seeds=(0, 1)).key == SPEC.key
    assert RunSpec("a", 1.5, version=3).key == "022d965033ec5bc9"


def _truncate(path: Path):
    path.write_bytes(path.read_bytes()[:-7])


def _flip_a_bit(path: Path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [_truncate, _flip_a_bit, Path.unlink])
@pytest.mark.parametrize("suffix", ["parquet", "safetensors", "json"])
def test_damage_is_seen_reported_in_one_line_and_recomputed(store, caplog, damage, suffix):
    get_or_run(SPEC, Producer(1.5), store)
    damage(store.stem(SPEC).with_suffix(f".{suffix}"))
    again = Producer(2.5)
    with caplog.at_level(logging.WARNING, "ufm.runs"):
        run = get_or_run(SPEC, again, store)
    # A bit flipped in the record's free text (a date) damages no number and is not detectable.
    if (damage, suffix) != (_flip_a_bit, "json") or again.calls:
        assert again.calls == 1
        assert run.rows["value"].to_list() == [2.5, 2.5]
        (line,) = [record.getMessage() for record in caplog.records]
        assert SPEC.key in line
        assert "\n" not in line
    assert all(row["ok"] for row in store.verify())
    assert get_or_run(SPEC, Producer(), store).rows.equals(run.rows)


def test_verify_names_what_is_wrong_and_changes_nothing(store):
    get_or_run(SPEC, Producer(), store)
    _flip_a_bit(store.stem(SPEC).with_suffix(".parquet"))
    (store.stem(SPEC).parent / f".x{PARTIAL}").write_bytes(b"")
    before = sorted(store.root.rglob("*"))
    rows = store.verify()
    assert [row["problem"] for row in rows] == [
        f"{SPEC.key}.parquet differs from its recorded hash",
        "left over from an interrupted write",
    ]
    assert not any(row["ok"] for row in rows)
    assert sorted(store.root.rglob("*")) == before


def test_a_record_moved_under_another_key_is_refused(store):
    get_or_run(SPEC, Producer(), store)
    other = RunSpec("test-kind", PROBLEM, ufm.LBFGS(), seeds=5)
    for suffix in ("json", "parquet", "safetensors"):
        os.rename(
            store.stem(SPEC).with_suffix(f".{suffix}"), store.stem(other).with_suffix(f".{suffix}")
        )
    assert store.read(other) is None


def test_a_full_disk_leaves_the_old_chunk_and_no_partial_file(store, monkeypatch):
    get_or_run(SPEC, Producer(), store)
    other = RunSpec("test-kind", PROBLEM, ufm.LBFGS(), seeds=5)
    real = os.fsync
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:  # the probe and the first of the three files still fit
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"store must be a writable folder.*No space left") as caught:
        get_or_run(other, Producer(), store)
    assert str(store.root) in str(caught.value)
    assert "\n" not in str(caught.value)
    names = sorted(path.name for path in (store.root / "test-kind").iterdir())
    assert names == [f"{SPEC.key}.{ext}" for ext in ("json", "parquet", "safetensors")]


def test_an_unusable_store_is_refused_before_anything_is_computed(tmp_path):
    (tmp_path / "file").write_text("")
    produce = Producer()
    with pytest.raises(OSError, match="store must be a writable folder with space, got"):
        get_or_run(SPEC, produce, Store(tmp_path / "file"))
    assert produce.calls == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_store_is_read_but_not_written(store):
    get_or_run(SPEC, Producer(), store)
    folder = store.root / "test-kind"
    folder.chmod(0o500)
    try:
        assert get_or_run(SPEC, Producer(), store).rows.height == 2
        with pytest.raises(OSError, match="Permission denied"):
            get_or_run(RunSpec("test-kind", PROBLEM, seeds=9), Producer(), store)
    finally:
        folder.chmod(0o700)


def test_concurrent_writers_of_one_key_leave_one_usable_chunk(store):
    # Different values stand for producers that are not bitwise deterministic, the worst case.
    # Threads interleave their renames as processes do (forked ones would inherit polars' locks).
    def write_many(value: int):
        for version in range(1, 15):
            get_or_run(RunSpec("race", PROBLEM, version=version), Producer(value), store)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(write_many, value) for value in range(4)]:
            future.result(60)
    assert all(row["ok"] for row in store.verify())
    assert len(store.list()) == 14


def test_a_chunk_that_appeared_in_the_meantime_is_kept(store):
    def overtaken(spec: RunSpec) -> Chunk:
        get_or_run(spec, Producer(1.0), store)
        return Producer(2.0)(spec)

    assert get_or_run(SPEC, overtaken, store).rows["value"].to_list() == [1.0, 1.0]


def test_a_disk_that_loses_what_is_written_is_reported(store, monkeypatch):
    real = store_module.publish

    def losing(files):
        real(files)
        _flip_a_bit(next(iter(files)))

    monkeypatch.setattr(store_module, "publish", losing)
    with pytest.raises(OSError, match="differs from its recorded hash right after it was written"):
        get_or_run(SPEC, Producer(), store)


def test_publish_renames_nothing_if_one_file_cannot_be_written(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(FileNotFoundError):
        publish({target: b"new", tmp_path / "missing" / "b": b"x"})
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_write_atomic_makes_its_folder_and_names_it_when_it_cannot(tmp_path):
    write_atomic({tmp_path / "a" / "b.txt": b"hello"})
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"hello"
    with pytest.raises(OSError, match=r"out must be a writable folder.*b.txt"):
        write_atomic({tmp_path / "a" / "b.txt" / "c": b""})


def test_list_and_provenance_find_runs_by_key(store):
    get_or_run(SPEC, Producer(), store)
    get_or_run(RunSpec("other", (PROBLEM, PROBLEM)), Producer(), store)
    rows = store.list()
    assert [(row["kind"], row["rows"], row["version"]) for row in rows] == [
        ("other", 1, 1),
        ("test-kind", 2, 1),
    ]
    assert store.provenance(SPEC.key[:6])["key"] == SPEC.key
    with pytest.raises(ValueError, match="key must name one run"):
        store.provenance("zz")
    assert Store(store.root / "nowhere").list() == []


def test_split_covers_the_problems_in_order_with_distinct_keys():
    problems = tuple(ufm.Problem(K=2, d=1, n=(k, 1)) for k in range(1, 8))
    parts = list(split(RunSpec("a", problems), 3))
    assert tuple(p for part in parts for p in part.subject) == problems
    assert [len(part.subject) for part in parts] == [3, 3, 1]
    assert len({part.key for part in parts}) == 3
    with pytest.raises(ValueError, match="subject must be a tuple"):
        list(split(RunSpec("a", PROBLEM), 3))


def test_an_interrupted_sweep_goes_on_where_it_stopped(store):
    problems = tuple(ufm.Problem(K=2, d=1, n=(k, 1)) for k in range(1, 7))
    parts = list(split(RunSpec("a", problems), 2))
    for part in parts[:2]:
        get_or_run(part, Producer(), store)
    produce = Producer()
    for part in parts:
        get_or_run(part, produce, store)
    assert produce.calls == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "../up"}, "kind must be"),
        ({"kind": ""}, "kind must be"),
        ({"subject": object()}, "subject must be a spec of plain numbers"),
        ({"subject": torch.ones(2)}, "subject must be a spec of plain numbers"),
        ({"method": "LBFGS"}, "method must be a Method"),
        ({"seeds": ()}, "seeds must hold"),
        ({"seeds": 0}, "seeds must be an integer of at least 1"),
        ({"seeds": (-1,)}, r"seeds\[0\] must be"),
        ({"version": 0}, "version must be"),
    ],
)
def test_bad_requests_are_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message) as caught:
        RunSpec(**{"kind": "a", "subject": PROBLEM, **fields})
    assert "\n" not in str(caught.value)


def test_the_default_root_is_the_environment_s_or_runs(monkeypatch, tmp_path):
    monkeypatch.delenv("UFM_RUNS", raising=False)
    assert default_root() == Path("runs")
    monkeypatch.setenv("UFM_RUNS", str(tmp_path))
    assert Store.default().root == tmp_path


def test_files_of_equal_runs_have_equal_bytes(tmp_path):
    hashes = [get_or_run(SPEC, Producer(), Store(tmp_path / name)).record["files"] for name in "ab"]
    assert hashes[0] == hashes[1]
    json.dumps(hashes)


STEPS = tuple(
    ufm.Problem(
        K=4, d=3, n=(1,) * 4, reg=ufm.AverageBudget(E_W=1, E_H=E_H),
        weights=ufm.step_weights(K=4, K_A=2, R=R),
    )
    for R in (1.0, 2.0, 30.0) for E_H in (0.5, 5.0)
)  # fmt: skip


def test_the_producer_records_the_certificate_and_the_points_it_is_about(store):
    run = get_or_run(RunSpec("solved", STEPS, ufm.LBFGS()), solved, store)
    again = ufm.certify(
        ufm.Solution.from_arrays(STEPS[3], run.tensors["W"][3], run.tensors["H"][3])
    )
    assert run.rows["certified"].to_list() == [True] * 6
    assert abs(run.rows["dual"][3] - float(again.dual)) <= EXACT
    with pytest.raises(ValueError, match="method must be LBFGS"):
        solved(RunSpec("solved", STEPS, ufm.Newton()))
