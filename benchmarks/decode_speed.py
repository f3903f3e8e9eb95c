"""What a decode step costs in every format, beside torch's own kernels and beside the memory's bound.

    python benchmarks/decode_speed.py [--rounds 12] [--prompt 128] [--quality]

GPT-2 small, batch 1, one thread, CPU time per token. The formats take turns in one process, and so does the
shim's read sweep of one thread, on whose bandwidth the bound stands: least bytes of a step / bandwidth. "of
bound" is the step's time over that bound, 1 at best. Ratios are medians over rounds. A format passes that is
as many times as fast as our fp32 as `LEAST` says, and takes at most `MOST_OF_BOUND` times its bound.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from harness.shim.cpu import routines
from harness.system import native
from workloads import registry
from workloads.compress.registry import COMPRESSORS
from workloads.engine import quality
from workloads.engine.job import prepare
from workloads.engine.setup import Chosen, Setup
from workloads.kernels import library
from workloads.sizes import resolve_size

SWEEP = 1 << 24
"""Doubles that the shim's sweep reads: more than any cache holds."""
STEPS = 3
FORMATS = {
    "torch fp32": ("fp32", None, False),
    "torch bf16": ("bf16", None, False),
    "torch int8_weight": ("fp32", "int8_weight", False),
    "torch int4_weight": ("bf16", "int4_weight", False),
    "fp32": ("fp32", None, True),
    "bf16": ("bf16", None, True),
    "int8_weight": ("fp32", "int8_weight", True),
    "int4_weight": ("bf16", "int4_weight", True),
}
"""Precision, compressor, and whether our kernels run."""
LEAST = {"fp32": 1.0, "bf16": 1.7, "int8_weight": 2.8, "int4_weight": 4.0}
"""How many times as fast as our fp32 a format's step is to be."""
MOST_OF_BOUND = 1.3
"""How much longer than its bound a step may take."""


def setup_of(precision: str, compressor: str | None) -> Setup:
    """Return the setup of a format."""
    if compressor is None:
        return Setup(precision=precision)
    settings = {key: each.default for key, each in COMPRESSORS.get(compressor).spec.settings.items()}
    return Setup(precision=precision, compress=Chosen(compressor, settings))


def step_of(name: str, prompt: int) -> tuple[Callable[[], None], float]:
    """Return a decode step of a format, and its least bytes."""
    precision, compressor, ours = FORMATS[name]
    library.build_with(native.load if ours else None)
    kind = registry.get("gpt")
    size = resolve_size(kind.spec, "base", {"batch": 1, "prompt": prompt})
    job = prepare(kind("decode", size), setup_of(precision, compressor))

    def step() -> None:
        library.build_with(native.load if ours else None)
        job.step(0, lambda _mark: None)

    return step, job.units(0).least_bytes


def cpu_seconds(step: Callable[[], None], count: int) -> float:
    """Return the CPU time of the fastest of `count` steps, as it is taken of the sweeps."""
    times = []
    for _ in range(count):
        began = time.process_time()
        step()
        times.append(time.process_time() - began)
    return min(times)


def sqnr_db(name: str) -> float:
    """Return the signal to noise of a format's logits against fp32's, at GPT-2 small's shape."""
    precision, compressor, ours = FORMATS[name]
    library.build_with(native.load if ours else None)
    kind = registry.get("gpt")
    size = resolve_size(kind.spec, "base", {"batch": 1, "prompt": 64})
    return quality.measure(kind("prefill", size), setup_of(precision, compressor)).sqnr_db


def main() -> int:
    """Run the rounds and print a line for each format; 1 where a format misses its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--quality", action="store_true", help="logits error of every format too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps = {name: step_of(name, options.prompt) for name in FORMATS}
    for step, _ in steps.values():
        cpu_seconds(step, 2)
    times: dict[str, list[float]] = {name: [] for name in FORMATS}
    bandwidths = []
    for _ in range(options.rounds):
        swept = routines.run("sum", SWEEP, [routines.NOT_PINNED], 3)
        bandwidths.append(SWEEP * 8 / (min(swept.cpu_ns) / 1e9))
        for name, (step, _) in steps.items():
            times[name].append(cpu_seconds(step, STEPS))
    print(f"read bandwidth of one thread {median(bandwidths) / 1e9:.1f} GB/s; {library.missing() or 'built'}")
    print(f"{'format':20}{'ms':>8}{'MB':>8}{'x fp32':>8}{'x torch fp32':>14}{'of bound':>10}{'':6}", end="")
    print(f"{'SQNR dB':>10}" if options.quality else "")
    missed = False
    for name, (_, least) in steps.items():
        own, torchs, bounds = (
            median(above / mine for above, mine in zip(others, times[name], strict=True))
            for others in (times["fp32"], times["torch fp32"], [least / b for b in bandwidths])
        )
        print(f"{name:20}{1e3 * median(times[name]):8.2f}{least / 1e6:8.0f}", end="")
        verdict = ""
        if name in LEAST:
            kept = own >= LEAST[name] and 1 / bounds <= MOST_OF_BOUND
            verdict, missed = ("pass", missed) if kept else ("FAIL", True)
        print(f"{own:8.2f}{torchs:14.2f}{1 / bounds:10.2f}{verdict:>6}", end="")
        print(f"{sqnr_db(name):10.1f}" if options.quality else "", flush=True)
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
