"""Timing and provenance: medians of repeats, peak memory of a fresh process, machine."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

import ufm


#: A row of a recorded table: what a cell of the report can show.
Row = dict[str, str | float | bool | None]


def seconds(function: Callable[[], Any], repeats: int = 5, warmup: int = 1) -> float:
    """Median wall time of a call."""
    for _ in range(warmup):
        function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def in_fresh_process(code: str, threads: int = 2) -> dict[str, Any]:
    """Run code that ends in ``result = {...}``; its result with wall time and peak memory added."""
    programme = (
        "import json, pathlib, time\n"
        "started = time.perf_counter()\n"
        f"{code}\n"
        "result['process_s'] = time.perf_counter() - started\n"
        # Not getrusage: its peak is inherited from the process that forked this one.
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "result['peak_mb'] = int(status.split('VmHWM:')[1].split()[0]) / 1024\n"
        "print(json.dumps(result))\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    out = subprocess.run(
        [sys.executable, "-c", programme], env=environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return json.loads(out.stdout.splitlines()[-1])


def machine() -> dict[str, Any]:
    """What the numbers were taken on."""
    model = "unknown"
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "ufm": ufm.__version__,
        "peak_mb_of_this_process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
