"""What a card can do at most, measured on it, and what a solve must do at least, counted."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Callable

import torch


CHAINS, TURNS, BLOCK = 8, 4096, 256
# Flops of one float64 exponential, and of the elementwise work of an entry of the softmax.
EXPONENTIAL, ENTRY = 25, 10
# Flops of a certificate at K = 10: six sweeps of Jacobi, six products, logarithms.
CERTIFICATE = 70_000
# Pairs of the kernel, and programs of 168 registers that a multiprocessor of 65536 holds.
PAIRS, RESIDENT = 4, 12


def event_seconds(call: Callable[[], object], repeats: int = 7, warmup: int = 2) -> float:
    """Median device time of a call, between two events."""
    for _ in range(warmup):
        call()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(times)


def replayed_seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """Median device time of a call captured as a graph: without what the host takes to launch."""
    call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return event_seconds(graph.replay, repeats)


def multiply_add_rate(device: torch.device) -> float:
    """Float64 operations a second of the vector units, two a multiply-add."""
    kernel = importlib.import_module("benchmarks._gpu_kernels").multiply_add
    programs = 32 * torch.cuda.get_device_properties(device).multi_processor_count
    x = torch.rand(programs * BLOCK, dtype=torch.float64, device=device) / 2
    seconds = event_seconds(lambda: kernel[(programs,)](x, TURNS, SIZE=BLOCK, num_warps=4))
    return 2 * CHAINS * TURNS * x.numel() / seconds


def matrix_rate(device: torch.device, size: int = 4096) -> float:
    """Float64 operations a second of a square product by the library: the matrix unit."""
    A, B = (torch.rand(size, size, dtype=torch.float64, device=device) for _ in range(2))
    return 2 * size**3 / event_seconds(lambda: A @ B)


def copy_rate(device: torch.device) -> float:
    """Bytes read and written a second by a copy larger than the caches."""
    count = min(2**28, torch.cuda.mem_get_info(device)[0] // 32)
    source = torch.rand(count, dtype=torch.float64, device=device)
    target = torch.empty_like(source)
    return 2 * 8 * count / event_seconds(lambda: target.copy_(source))


def launch_seconds(device: torch.device, count: int = 1000) -> dict[str, float]:
    """Seconds of one small kernel, launched one by one and replayed from a graph."""
    x = torch.zeros(1, dtype=torch.float64, device=device)

    def many() -> None:
        for _ in range(count):
            x.add_(1.0)

    single = event_seconds(many, repeats=3) / count
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        many()
    return {"launched": single, "replayed": event_seconds(graph.replay, repeats=3) / count}


def solve_flops(K: int, d: int, *, evaluations: float, steps: float) -> float:
    """Operations of one instance: three products, softmax, vectors; per step also the pairs.

    Products ``6 K^2 d``; softmax ``35 K^2``; six passes over the ``N = 2 K d`` coordinates (trial,
    norm, gradient, its norm); pairs ``8 m N`` for the two reductions and the combination, and four
    passes for the new pair and the direction.
    """
    N = 2 * K * d
    each = 6 * K * K * d + (EXPONENTIAL + ENTRY) * K * K + 12 * N
    return evaluations * each + steps * (8 * PAIRS * N + 8 * N) + CERTIFICATE


def solve_bytes(K: int, d: int) -> int:
    """Bytes of device memory that one instance needs: start, weights, radius, results, bounds."""
    start, end = 2 * K * d + K + 1, 2 * K * d + 2
    return 8 * (start + end) + 3 * 4 + 8 * (2 * K * d + K + 1 + 3)
