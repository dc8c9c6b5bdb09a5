"""The queue of stages: skips what is done, stops what takes too long, goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deep import queue
from deep.queue import NOT_YET, Stage, go, left, work


def stage(tmp_path, name: str, code: str = "", *, counts: bool = True) -> Stage:
    """A stage that runs code and is done when its file is there."""
    path = tmp_path / f"{name}.done"
    script = f"from pathlib import Path\ndone = Path({str(path)!r})\n{code or 'done.touch()'}"
    command = (sys.executable, "-c", script, "{limit}")
    return Stage(name, f"stage {name}", command, 1.0, path.exists, lambda output: counts)


def do(tmp_path, stages, *, limit: float = 20, total: float = 1000) -> tuple[int, list[str]]:
    said: list[str] = []
    return work(stages, limit=limit, total=total, logs=tmp_path / "logs", say=said.append), said


def test_everything_is_done_once_and_then_skipped(tmp_path):
    stages = [stage(tmp_path, "a"), stage(tmp_path, "b")]
    status, said = do(tmp_path, stages)
    assert status == 0
    assert [line for line in said if "done" in line] == [said[1], said[3]]
    assert left(stages) == []
    assert do(tmp_path, stages) == (0, [])


def test_a_failure_is_told_and_the_rest_is_done(tmp_path):
    stages = [stage(tmp_path, "a", "raise SystemExit('no data here')"), stage(tmp_path, "b")]
    status, said = do(tmp_path, stages)
    assert status == 1
    assert any("a: failed with status 1; no data here" in line for line in said)
    assert [s.name for s in left(stages)] == ["a"]


def test_exit_zero_without_a_result_or_with_an_output_that_does_not_count_is_a_failure(tmp_path):
    assert do(tmp_path, [stage(tmp_path, "a", "pass")])[0] == 1
    assert do(tmp_path, [stage(tmp_path, "b", counts=False)])[0] == 1


# Counts its goes in a file: saves and says "not yet" on the first, finishes on the second.
TWO_GOES = """
import sys
saved = Path(str(done) + '.saved')
if not saved.exists():
    saved.write_text(sys.argv[1])
    sys.exit(3)
done.touch()
"""


def test_a_stage_that_saves_at_its_limit_goes_on_at_once_while_there_is_time(tmp_path):
    first = stage(tmp_path, "a", TWO_GOES)
    status, said = do(tmp_path, [first])
    assert status == 0
    assert any("goes on next time" in line for line in said)
    # It was told to stop by itself before the queue would stop it.
    assert 0 < float((tmp_path / "a.done.saved").read_text()) < 20


def test_a_stage_beyond_its_limit_is_asked_to_save(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "GRACE", 5.0)
    saves = (
        "import signal, sys, time\n"
        "def save(*_):\n"
        "    Path(str(done) + '.saved').touch(); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    went = go(stage(tmp_path, "a", saves), limit=1.5, log=tmp_path / "log", stop=threading.Event())
    assert went.status == 143
    assert went.seconds < 10
    assert "ready" in went.output
    assert (tmp_path / "a.done.saved").exists()


def test_a_stage_that_ignores_the_request_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "GRACE", 0.5)
    deaf = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"
    went = go(stage(tmp_path, "a", deaf), limit=1.0, log=tmp_path / "log", stop=threading.Event())
    assert went.status == -signal.SIGKILL
    assert went.seconds < 10


def test_a_stage_that_keeps_nothing_is_not_repeated_for_hours(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "GRACE", 0.2)
    slow = stage(tmp_path, "a", f"open({str(tmp_path / 'goes')!r}, 'a').write('x')\n"
                 "import time; time.sleep(60)")  # fmt: skip
    status, said = do(tmp_path, [slow, stage(tmp_path, "b")], limit=1.0)
    assert status == NOT_YET
    assert len((tmp_path / "goes").read_text()) == 2
    assert [line for line in said if line.startswith("b: done")]


# A queue of stages, each of which notes that it began, and that it ended or was asked to.
STAGE = """
import os, signal, sys, time
folder, name = sys.argv[1:]
def note(text):
    with open(folder + "/notes", "a") as notes:
        notes.write(name + " " + text + chr(10))
def save(*_):
    note("saved")
    os._exit(143)
signal.signal(signal.SIGTERM, save)
note("began")
time.sleep(0.4)
open(f"{folder}/{name}.part", "w").close()
os.replace(f"{folder}/{name}.part", f"{folder}/{name}.done")
note("done")
"""
QUEUE = """
import sys
from pathlib import Path
from deep.queue import Stage, work
folder, code = Path(sys.argv[1]), sys.argv[2]
stages = [
    Stage(name, name, (sys.executable, "-c", code, str(folder), name), 1.0,
          (folder / f"{name}.done").exists)
    for name in "abcd"
]
sys.exit(work(stages, limit=60, total=1000, logs=folder / "logs", say=lambda line: None))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's signal at a parent's death")
def test_a_queue_killed_at_any_moment_loses_nothing_and_leaves_nobody_behind(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command, notes = [sys.executable, "-c", QUEUE, str(tmp_path), STAGE], tmp_path / "notes"
    notes.touch()
    for pause in (0.1, 0.3, 0.0):
        seen = notes.read_text().count("began")
        process = subprocess.Popen(command, env=environment)
        until = time.monotonic() + 60
        while notes.read_text().count("began") == seen:
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(pause)
        process.kill()
        process.wait(30)
        # What it left behind ends too: whoever began has saved, or was done.
        while len(notes.read_text().splitlines()) != 2 * notes.read_text().count("began"):
            assert time.monotonic() < until
            time.sleep(0.05)
    assert subprocess.run(command, env=environment, timeout=60, check=False).returncode == 0
    told = notes.read_text().splitlines()
    done = [line for line in told if line.endswith("done")]
    assert done == ["a done", "b done", "c done", "d done"]  # each once, in order
    assert any(line.endswith("saved") for line in told)


def test_no_stage_starts_without_time_for_it(tmp_path):
    stages = [stage(tmp_path, "a")]
    status, said = do(tmp_path, stages, limit=540, total=30)
    assert (status, said) == (NOT_YET, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_queue_and_keeps_what_is_done(number, tmp_path):
    stages = [
        stage(tmp_path, "a"),
        stage(tmp_path, "b", "import time; time.sleep(60)"),
        stage(tmp_path, "c"),
    ]
    before = signal.getsignal(number)

    def interrupt():
        # A signal to the process reaches the main thread, where the queue works.
        while not (tmp_path / "logs" / "b.log").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    killer = threading.Thread(target=interrupt)
    killer.start()
    status, said = do(tmp_path, stages)
    killer.join()
    assert status == NOT_YET
    assert [s.name for s in left(stages)] == ["b", "c"]
    assert not any("c:" in line for line in said)
    assert signal.getsignal(number) is before
