"""Run the benchmarks: ``python -m benchmarks [NAME ...]``; writes benchmarks/results/."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks import batch, core, flow, frames, losses, measure, resnet_floor, scaling


BENCHMARKS = {
    "fang_sweep": core.fang_sweep,
    "one_instance": core.one_instance,
    "batch": batch.batch,
    "closed_forms": core.closed_forms,
    "start_up": core.start_up,
    "flow": flow.flow,
    "descents": flow.descents,
    "scaling_classes": scaling.scaling_classes,
    "scaling_samples": scaling.scaling_samples,
    "scaling_batch": scaling.scaling_batch,
    "frames": frames.frames,
    "frame_losses": losses.losses,
    "resnet_floor": resnet_floor.resnet_floor,
}
RESULTS = Path(__file__).parent / "results"


def main(names: list[str]) -> int:
    """Run the named benchmarks (all by default) and store their rows with the machine."""
    if {"-h", "--help"} & set(names):
        sys.stdout.write(f"{__doc__}\nNAMEs, all by default: {', '.join(BENCHMARKS)}\n")
        return 0
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        sys.stderr.write(f"names must be among {', '.join(BENCHMARKS)}, got {unknown[0]}\n")
        return 2
    RESULTS.mkdir(exist_ok=True)
    for name in names or BENCHMARKS:
        rows = BENCHMARKS[name]()
        data = {"benchmark": name, "about": BENCHMARKS[name].__doc__, "machine": measure.machine()}
        text = json.dumps({**data, "rows": rows}, indent=1)
        (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        sys.stderr.write(f"{name}\n")
        for row in rows:
            sys.stderr.write("  " + ", ".join(f"{k}: {_short(v)}" for k, v in row.items()) + "\n")
    return 0


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
